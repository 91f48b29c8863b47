//! The kinds of events that are sent to the gateway, as records of their topics.

use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, VehicleEvent, codec, topics, vehicle_event};

use super::ingest::SOURCE;
use super::intake::{Judge, Judged};

/// An event that is stored in a topic of its own kind.
pub trait Event: Sized {
    /// The topic.
    const TOPIC: &'static str;

    /// Judges a body of such events.
    fn judge(judge: &Judge<'_>, body: &[u8], now: Timestamp) -> Judged<Self>;

    /// The vehicle, which is the record's key.
    fn vehicle(&self) -> &str;

    /// What is told of it in the record's headers.
    fn attributes(&self) -> CloudEvent;

    /// The record's value.
    fn payload(&self) -> Vec<u8>;
}

impl Event for Telemetry {
    const TOPIC: &'static str = topics::TELEMETRY;

    fn judge(judge: &Judge<'_>, body: &[u8], now: Timestamp) -> Judged<Self> {
        judge.telemetry(body, now)
    }

    fn vehicle(&self) -> &str {
        &self.vehicle
    }

    fn attributes(&self) -> CloudEvent {
        CloudEvent::of_telemetry(self, SOURCE)
    }

    fn payload(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

impl Event for VehicleEvent {
    const TOPIC: &'static str = topics::VEHICLE_EVENTS;

    fn judge(judge: &Judge<'_>, body: &[u8], now: Timestamp) -> Judged<Self> {
        judge.vehicle_events(body, now)
    }

    fn vehicle(&self) -> &str {
        &self.vehicle
    }

    fn attributes(&self) -> CloudEvent {
        CloudEvent::of_vehicle_event(self, SOURCE)
    }

    fn payload(&self) -> Vec<u8> {
        vehicle_event::encode(self)
    }
}
