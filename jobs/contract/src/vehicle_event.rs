//! What happens to a vehicle besides what it measures: it is checked, repaired, maintained, hired out, or breaks down.
//!
//! Workshops, hire desks and the vehicles themselves send these. The kinds and components are tables here; the JSON
//! Schema and the page of the contract are generated from them.

mod codec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Invalid;

pub use codec::{decode, decode_inbound, encode};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// One event in the life of one vehicle. No text about a person is in it, only the pseudonym of the hire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VehicleEvent {
    /// Vehicle id.
    pub vehicle: String,
    /// Chosen by the sender; a repeated id of a vehicle is a repeated event.
    pub id: String,
    /// When it happened, in whole microseconds.
    #[serde(deserialize_with = "crate::time::micros")]
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// What it is about; absent: the vehicle as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// Distance travelled in the life of the vehicle, in m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odometer: Option<f64>,
    /// Model of the vehicle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Pseudonym of the hire, the same as in the telemetry of that hire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire: Option<String>,
    /// Code of what was found or done, such as P0217: never a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An event as it is sent: with who hires. The latter two stay inside of the gateway.
#[derive(Clone, PartialEq)]
pub struct InboundEvent {
    /// The event; `hire` is still `None`.
    pub event: VehicleEvent,
    /// Raw driver id, JSON field `driver`.
    pub driver: Option<String>,
    /// Raw hire id, JSON field `hire`.
    pub hire_id: Option<String>,
}

impl InboundEvent {
    /// The JSON object that a sender sends.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // Writing this struct into memory cannot fail, see encode.
        let mut json = serde_json::to_value(&self.event).unwrap_or_default();
        if let Some(object) = json.as_object_mut() {
            let ids = [("driver", &self.driver), ("hire", &self.hire_id)];
            for (name, id) in ids {
                if let Some(id) = id {
                    object.insert(name.to_owned(), id.as_str().into());
                }
            }
        }
        json
    }
}

impl std::fmt::Debug for InboundEvent {
    /// Leaves out who hires: debug output ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboundEvent")
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// What can happen to a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It was looked at.
    Check,
    /// Something broken was mended or replaced.
    Repair,
    /// What is due by time or distance was done.
    Maintenance,
    /// It could not go on, or not safely.
    Breakdown,
    /// A hire began.
    HireStarted,
    /// A hire ended.
    HireEnded,
}

impl EventKind {
    /// All of them, with what they mean.
    pub const ALL: [(Self, &'static str); 6] = [
        (
            Self::Check,
            "It was looked at, and nothing had to be mended",
        ),
        (Self::Repair, "Something broken was mended or replaced"),
        (
            Self::Maintenance,
            "What is due by time or distance was done: oil, filters, tyres of the season",
        ),
        (
            Self::Breakdown,
            "It could not go on, or not safely; `time` and `odometer` are those of the breakdown",
        ),
        (Self::HireStarted, "A hire began"),
        (Self::HireEnded, "A hire ended"),
    ];

    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Repair => "repair",
            Self::Maintenance => "maintenance",
            Self::Breakdown => "breakdown",
            Self::HireStarted => "hire_started",
            Self::HireEnded => "hire_ended",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().map(|(kind, _)| *kind);
        all.find(|kind| kind.as_str() == word)
    }

    /// Whether somebody had to see to the vehicle: check, repair or maintenance.
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Self::Check | Self::Repair | Self::Maintenance)
    }

    /// Whether it is about a hire, and not about a part of the vehicle.
    #[must_use]
    pub fn is_hire(self) -> bool {
        matches!(self, Self::HireStarted | Self::HireEnded)
    }

    /// Whether the vehicle itself can know of it. What is done in a workshop only the workshop knows.
    #[must_use]
    pub fn is_known_to_vehicle(self) -> bool {
        matches!(self, Self::Breakdown | Self::HireStarted | Self::HireEnded)
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The parts of a vehicle that events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The engine itself.
    Engine,
    /// Radiator, thermostat, fan, coolant.
    Cooling,
    /// Tank, pump, injection.
    Fuel,
    /// Exhaust and its treatment.
    Exhaust,
    /// Clutch, gearbox, drive shafts.
    Transmission,
    /// Low-voltage battery.
    Battery,
    /// Alternator or DC converter, and its belt.
    Charging,
    /// Battery that drives the vehicle.
    TractionBattery,
    /// Electric motor that drives the vehicle.
    TractionMotor,
    /// Wiring, lights, control units.
    Electrics,
    /// Brakes.
    Brakes,
    /// Steering.
    Steering,
    /// Springs, dampers, wheels.
    Suspension,
    /// Tyres; which one is not known, or all of them.
    Tyre,
    /// Front left tyre.
    TyreFrontLeft,
    /// Front right tyre.
    TyreFrontRight,
    /// Rear left tyre.
    TyreRearLeft,
    /// Rear right tyre.
    TyreRearRight,
    /// Body, doors, glass.
    Body,
    /// None of these.
    Other,
}

impl Component {
    /// All of them, with what they are.
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::Engine, "The engine itself"),
        (Self::Cooling, "Radiator, thermostat, fan, coolant"),
        (Self::Fuel, "Tank, pump, injection"),
        (Self::Exhaust, "Exhaust and its treatment"),
        (Self::Transmission, "Clutch, gearbox, drive shafts"),
        (Self::Battery, "Low-voltage battery"),
        (Self::Charging, "Alternator or DC converter, and its belt"),
        (Self::TractionBattery, "Battery that drives the vehicle"),
        (
            Self::TractionMotor,
            "Electric motor that drives the vehicle",
        ),
        (Self::Electrics, "Wiring, lights, control units"),
        (Self::Brakes, "Brakes"),
        (Self::Steering, "Steering"),
        (Self::Suspension, "Springs, dampers, wheels"),
        (Self::Tyre, "Tyres; which one is not known, or all of them"),
        (Self::TyreFrontLeft, "Front left tyre"),
        (Self::TyreFrontRight, "Front right tyre"),
        (Self::TyreRearLeft, "Rear left tyre"),
        (Self::TyreRearRight, "Rear right tyre"),
        (Self::Body, "Body, doors, glass"),
        (Self::Other, "None of these"),
    ];

    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Cooling => "cooling",
            Self::Fuel => "fuel",
            Self::Exhaust => "exhaust",
            Self::Transmission => "transmission",
            Self::Battery => "battery",
            Self::Charging => "charging",
            Self::TractionBattery => "traction_battery",
            Self::TractionMotor => "traction_motor",
            Self::Electrics => "electrics",
            Self::Brakes => "brakes",
            Self::Steering => "steering",
            Self::Suspension => "suspension",
            Self::Tyre => "tyre",
            Self::TyreFrontLeft => "tyre_front_left",
            Self::TyreFrontRight => "tyre_front_right",
            Self::TyreRearLeft => "tyre_rear_left",
            Self::TyreRearRight => "tyre_rear_right",
            Self::Body => "body",
            Self::Other => "other",
        }
    }

    /// The component with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().map(|(component, _)| *component);
        all.find(|component| component.as_str() == word)
    }

    /// The tyre of a wheel, by its name in alerts: `front_left`, `front_right`, `rear_left` or `rear_right`.
    #[must_use]
    pub fn tyre_of(wheel: &str) -> Option<Self> {
        match wheel {
            "front_left" => Some(Self::TyreFrontLeft),
            "front_right" => Some(Self::TyreFrontRight),
            "rear_left" => Some(Self::TyreRearLeft),
            "rear_right" => Some(Self::TyreRearRight),
            _ => None,
        }
    }

    /// Whether it is a tyre, known or not.
    #[must_use]
    pub fn is_tyre(self) -> bool {
        matches!(
            self,
            Self::Tyre
                | Self::TyreFrontLeft
                | Self::TyreFrontRight
                | Self::TyreRearLeft
                | Self::TyreRearRight
        )
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Longest `id`, in characters.
pub const MAX_ID_LENGTH: usize = 64;

/// Checks ids, codes, odometer, and what belongs together.
///
/// # Errors
/// The first field that is not acceptable.
pub fn check(event: &mut VehicleEvent) -> Result<(), Invalid> {
    crate::check_vehicle_id(&event.vehicle)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if event.id.is_empty() || event.id.len() > MAX_ID_LENGTH || !event.id.chars().all(fits) {
        return Err(Invalid::new(
            "id",
            &event.id,
            format!("not 1 to {MAX_ID_LENGTH} letters, digits, dots, hyphens and underscores"),
            "send a UUID, or a number of your system with its name before it, such as garage7-20931",
        ));
    }
    if event.kind.is_hire()
        && let Some(component) = event.component
    {
        return Err(Invalid::new(
            "component",
            component.as_str(),
            format!("a {} is about no component", event.kind),
            "leave the field out, or send what happened to the component as an event of its own",
        ));
    }
    crate::codec::check_model(event.model.as_deref())?;
    if let Some(note) = &event.note {
        crate::codec::check_code("note", note, "send codes such as P0217, and no texts")?;
    }
    if let (Some(odometer), Some(field)) = (event.odometer, crate::telemetry::field("odometer")) {
        event.odometer = field.accept(odometer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
