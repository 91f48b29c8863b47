//! What the gateway counts and measures.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The channel an event came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// HTTP POST.
    Http,
    /// MQTT PUBLISH.
    Mqtt,
    /// Vehicle events by HTTP POST, of all vehicles.
    Events,
    /// Vehicle events by HTTP POST, of the vehicle itself.
    OwnEvents,
}

impl Channel {
    const ALL: [Self; 4] = [Self::Http, Self::Mqtt, Self::Events, Self::OwnEvents];

    /// The channel with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == word)
    }

    /// Its word in metrics and dead letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::Events => "http-events",
            Self::OwnEvents => "http-own-events",
        }
    }
}

/// Label of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByChannel {
    channel: &'static str,
}

/// Labels of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    channel: &'static str,
    reason: &'static str,
}

/// Why something was refused, as a label: few values, never an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The event is not valid.
    Invalid,
    /// Not authenticated or not allowed.
    Auth,
    /// Body or batch too large.
    TooLarge,
    /// Too many in flight.
    Busy,
    /// Kafka did not acknowledge.
    Kafka,
    /// No telemetry is taken in for now.
    Throttled,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Auth => "auth",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::Kafka => "kafka",
            Self::Throttled => "throttled",
        }
    }
}

/// The gateway's metrics.
#[derive(Debug)]
pub struct Metrics {
    accepted: Family<ByChannel, Counter>,
    refused: Family<ByReason, Counter>,
    /// Dead letters written.
    pub dead_letters: Counter,
    acknowledge: Family<ByChannel, Histogram>,
    /// Open MQTT sessions.
    pub sessions: Gauge,
    /// Sessions closed for a newer one of the same vehicle.
    pub sessions_taken_over: Counter,
    /// Notifications accepted for delivery.
    pub notifications: Counter,
    /// Notifications sent to a vehicle, repetitions included.
    pub sends: Counter,
    /// Notifications acknowledged by a vehicle.
    pub deliveries: Counter,
    /// Notifications that nobody received before they expired.
    pub expired: Counter,
    /// Seconds from the event to its acknowledged delivery.
    pub event_to_delivery: Histogram,
    /// Vehicles enrolled.
    pub vehicles: Gauge,
    /// Events that wait for Kafka.
    pub in_flight: Gauge,
    /// Certificates taken into use after the first one.
    pub certificates_reloaded: Counter,
    /// New certificates that could not be used; the last good one stays.
    pub certificates_rejected: Counter,
    /// Dead letters put back where they came from.
    pub redriven: Counter,
    /// 1 while no telemetry is taken in.
    pub throttled: Gauge,
}

fn acknowledge_histogram() -> Histogram {
    Histogram::new([
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
    ])
}

impl Metrics {
    /// Makes them and registers them under `millrace_gateway_`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            accepted: Family::default(),
            refused: Family::default(),
            dead_letters: Counter::default(),
            acknowledge: Family::new_with_constructor(acknowledge_histogram),
            sessions: Gauge::default(),
            sessions_taken_over: Counter::default(),
            notifications: Counter::default(),
            sends: Counter::default(),
            deliveries: Counter::default(),
            expired: Counter::default(),
            event_to_delivery: Histogram::new([
                0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 300.0, 3600.0,
            ]),
            vehicles: Gauge::default(),
            in_flight: Gauge::default(),
            certificates_reloaded: Counter::default(),
            certificates_rejected: Counter::default(),
            redriven: Counter::default(),
            throttled: Gauge::default(),
        };
        let r = registry.sub_registry_with_prefix("millrace_gateway");
        r.register(
            "throttled",
            "1 while no telemetry is taken in, by order of ingest.yaml",
            metrics.throttled.clone(),
        );
        r.register(
            "events_accepted",
            "Events that Kafka acknowledged",
            metrics.accepted.clone(),
        );
        r.register(
            "events_refused",
            "Events or requests refused, by reason",
            metrics.refused.clone(),
        );
        r.register(
            "dead_letters",
            "Dead letters written",
            metrics.dead_letters.clone(),
        );
        r.register(
            "acknowledge_seconds",
            "Seconds from reception of a request to Kafka's acknowledgement",
            metrics.acknowledge.clone(),
        );
        r.register("sessions", "Open MQTT sessions", metrics.sessions.clone());
        r.register(
            "sessions_taken_over",
            "Sessions closed for a newer one of the same vehicle, here or on another replica",
            metrics.sessions_taken_over.clone(),
        );
        r.register(
            "notifications",
            "Notifications accepted for delivery",
            metrics.notifications.clone(),
        );
        r.register(
            "sends",
            "Notifications sent to vehicles, repetitions included",
            metrics.sends.clone(),
        );
        r.register(
            "deliveries",
            "Notifications acknowledged by vehicles",
            metrics.deliveries.clone(),
        );
        r.register(
            "expired",
            "Notifications that expired undelivered",
            metrics.expired.clone(),
        );
        r.register(
            "event_to_delivery_seconds",
            "Seconds from the event to the vehicle's acknowledgement of the notification",
            metrics.event_to_delivery.clone(),
        );
        r.register("vehicles", "Enrolled vehicles", metrics.vehicles.clone());
        r.register(
            "in_flight",
            "Events that wait for Kafka",
            metrics.in_flight.clone(),
        );
        r.register(
            "certificates_reloaded",
            "New certificates taken into use",
            metrics.certificates_reloaded.clone(),
        );
        r.register(
            "certificates_rejected",
            "New certificates that could not be used; the last good one stays",
            metrics.certificates_rejected.clone(),
        );
        r.register(
            "dead_letters_redriven",
            "Dead letters put back where they came from",
            metrics.redriven.clone(),
        );
        metrics
    }

    /// Events that Kafka acknowledged, and how long it took.
    pub fn accepted(&self, channel: Channel, events: usize, seconds: f64) {
        let label = ByChannel {
            channel: channel.as_str(),
        };
        self.accepted.get_or_create(&label).inc_by(events as u64);
        self.acknowledge.get_or_create(&label).observe(seconds);
    }

    /// Events or a request refused.
    pub fn refused(&self, channel: Channel, reason: Refusal, count: usize) {
        let label = ByReason {
            channel: channel.as_str(),
            reason: reason.as_str(),
        };
        self.refused.get_or_create(&label).inc_by(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_exported_under_their_names() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.accepted(Channel::Http, 3, 0.004);
        metrics.refused(Channel::Mqtt, Refusal::Invalid, 1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("millrace_gateway_events_accepted_total{channel=\"http\"} 3"),
            "{text}"
        );
        assert!(text.contains("reason=\"invalid\""), "{text}");
    }

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.accepted(Channel::Http, 3, 0.004);
        metrics.refused(Channel::Mqtt, Refusal::Invalid, 1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(
            millrace_contract::metric::differences("millrace_gateway_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
