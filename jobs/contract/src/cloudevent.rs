//! CloudEvents 1.0 in binary mode, as Kafka record headers, without any Kafka type.

use jiff::Timestamp;

use crate::trace::{HEADER, TraceParent};
use crate::{Alert, Invalid, Notification, Telemetry, VehicleEvent};

/// Content type of every record value.
pub const CONTENT_TYPE: &str = "application/json";
/// The version of CloudEvents.
pub const SPEC_VERSION: &str = "1.0";

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// [`Telemetry`]
    Telemetry,
    /// [`VehicleEvent`]
    VehicleEvent,
    /// [`Alert`]
    Alert,
    /// [`Notification`]
    Notification,
    /// [`crate::DeadLetter`]
    DeadLetter,
}

impl EventType {
    /// The value of `ce_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "dev.millrace.telemetry.v1",
            Self::VehicleEvent => "dev.millrace.vehicle-event.v1",
            Self::Alert => "dev.millrace.alert.v1",
            Self::Notification => "dev.millrace.notification.v1",
            Self::DeadLetter => "dev.millrace.dead-letter.v1",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Telemetry,
            Self::VehicleEvent,
            Self::Alert,
            Self::Notification,
            Self::DeadLetter,
        ]
        .into_iter()
        .find(|t| t.as_str() == text)
    }
}

/// The attributes of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// Unique together with `source`.
    pub id: String,
    /// Who made it: a URI reference such as `/millrace/gateway`.
    pub source: String,
    /// What it is.
    pub event_type: EventType,
    /// Event time.
    pub time: Timestamp,
    /// Vehicle id, where it is known.
    pub subject: Option<String>,
    /// The vehicle's sequence number (telemetry only).
    pub sequence: Option<u64>,
    /// The trace that it belongs to, where one is known (the extension Distributed Tracing).
    pub trace: Option<TraceParent>,
}

impl CloudEvent {
    /// The attributes of a telemetry event. Equal for a repeated (vehicle, sequence), as CloudEvents asks.
    pub fn of_telemetry(t: &Telemetry, source: &str) -> Self {
        Self {
            id: format!("{}/{}", t.vehicle, t.sequence),
            source: source.to_owned(),
            event_type: EventType::Telemetry,
            time: t.time,
            subject: Some(t.vehicle.clone()),
            sequence: Some(t.sequence),
            trace: None,
        }
    }

    /// The attributes of a vehicle event. Equal for a repeated (vehicle, id), as CloudEvents asks.
    pub fn of_vehicle_event(e: &VehicleEvent, source: &str) -> Self {
        Self {
            // Not the id of the telemetry event with that number.
            id: format!("{}/events/{}", e.vehicle, e.id),
            source: source.to_owned(),
            event_type: EventType::VehicleEvent,
            time: e.time,
            subject: Some(e.vehicle.clone()),
            sequence: None,
            trace: None,
        }
    }

    /// The attributes of an alert.
    pub fn of_alert(a: &Alert, source: &str) -> Self {
        Self {
            id: a.id.clone(),
            source: source.to_owned(),
            event_type: EventType::Alert,
            time: a.event_time,
            subject: Some(a.vehicle.clone()),
            sequence: None,
            trace: None,
        }
    }

    /// The attributes of a notification.
    pub fn of_notification(n: &Notification, source: &str) -> Self {
        Self {
            id: n.id.clone(),
            source: source.to_owned(),
            event_type: EventType::Notification,
            time: n.event_time,
            subject: Some(n.vehicle.clone()),
            sequence: None,
            trace: None,
        }
    }

    /// The attributes of a dead letter; `id` is chosen by the caller (a version 4 UUID, for instance).
    pub fn of_dead_letter(letter: &crate::DeadLetter, id: String, source: &str) -> Self {
        Self {
            id,
            source: source.to_owned(),
            event_type: EventType::DeadLetter,
            time: letter.received_at,
            subject: letter.vehicle.clone(),
            sequence: None,
            trace: None,
        }
    }

    /// The same event as a part of a trace.
    #[must_use]
    pub fn traced(mut self, trace: Option<TraceParent>) -> Self {
        self.trace = trace;
        self
    }

    /// The record headers.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![
            ("ce_specversion".to_owned(), SPEC_VERSION.to_owned()),
            ("ce_id".to_owned(), self.id.clone()),
            ("ce_source".to_owned(), self.source.clone()),
            ("ce_type".to_owned(), self.event_type.as_str().to_owned()),
            ("ce_time".to_owned(), self.time.to_string()),
            ("content-type".to_owned(), CONTENT_TYPE.to_owned()),
        ];
        if let Some(subject) = &self.subject {
            headers.push(("ce_subject".to_owned(), subject.clone()));
        }
        if let Some(sequence) = self.sequence {
            headers.push(("ce_sequence".to_owned(), sequence.to_string()));
        }
        if let Some(trace) = self.trace {
            headers.push((HEADER.to_owned(), trace.to_string()));
        }
        headers
    }

    /// Reads record headers; unknown ones (extensions) are ignored, and a trace that cannot be read.
    ///
    /// # Errors
    /// A required attribute is missing or cannot be read; names the header.
    pub fn from_headers<'a, V: AsRef<[u8]> + ?Sized + 'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a V)>,
    ) -> Result<Self, Invalid> {
        let mut found: [Option<&'a str>; 8] = [None; 8];
        for (name, value) in headers {
            if let Some(i) = NAMES.iter().position(|n| n.eq_ignore_ascii_case(name)) {
                found[i] = Some(std::str::from_utf8(value.as_ref()).map_err(|_| {
                    Invalid::new(
                        name,
                        "(bytes)",
                        "not UTF-8",
                        "write CloudEvents attributes as UTF-8 text",
                    )
                })?);
            }
        }
        let [
            version,
            id,
            source,
            event_type,
            time,
            subject,
            sequence,
            trace,
        ] = found;
        let required = |value: Option<&'a str>, name: &str| {
            value.filter(|v| !v.is_empty()).ok_or_else(|| {
                Invalid::new(name, "", "missing", "write CloudEvents 1.0 in binary mode")
            })
        };
        let version = required(version, "ce_specversion")?;
        if version != SPEC_VERSION {
            return Err(Invalid::new(
                "ce_specversion",
                version,
                "not a version of CloudEvents that is understood",
                format!("write CloudEvents {SPEC_VERSION}"),
            ));
        }
        let event_type = required(event_type, "ce_type")?;
        let time = required(time, "ce_time")?;
        Ok(Self {
            id: required(id, "ce_id")?.to_owned(),
            source: required(source, "ce_source")?.to_owned(),
            event_type: EventType::parse(event_type).ok_or_else(|| {
                Invalid::new(
                    "ce_type",
                    event_type,
                    "unknown",
                    "use one of dev.millrace.*.v1",
                )
            })?,
            time: time.parse().map_err(|_| {
                Invalid::new(
                    "ce_time",
                    time,
                    "not RFC 3339",
                    "write for instance 2026-01-01T00:00:00Z",
                )
            })?,
            subject: subject.map(str::to_owned),
            sequence: sequence
                .map(|s| {
                    s.parse().map_err(|_| {
                        Invalid::new(
                            "ce_sequence",
                            s,
                            "not a whole number",
                            "write a number from 0 on",
                        )
                    })
                })
                .transpose()?,
            trace: trace.and_then(|text| text.parse().ok()),
        })
    }
}

const NAMES: [&str; 8] = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_subject",
    "ce_sequence",
    HEADER,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        let t = Telemetry::new("car-1", 42, "2026-01-01T00:00:00.5Z".parse().unwrap());
        let trace = TraceParent::new(7, 9);
        let event = CloudEvent::of_telemetry(&t, "/millrace/gateway").traced(Some(trace));
        let headers = event.headers();
        let get = |n: &str| {
            headers
                .iter()
                .find(|(k, _)| k == n)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(get("ce_specversion"), Some("1.0"));
        assert_eq!(get("ce_type"), Some("dev.millrace.telemetry.v1"));
        assert_eq!(get("ce_time"), Some("2026-01-01T00:00:00.5Z"));
        assert_eq!(get("ce_subject"), Some("car-1"));
        assert_eq!(get("ce_sequence"), Some("42"));
        assert_eq!(get("content-type"), Some("application/json"));
        assert_eq!(get("ce_traceparent"), Some(&*trace.to_string()));
        let read = CloudEvent::from_headers(headers.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        assert_eq!(read.unwrap(), event);
    }

    #[test]
    fn missing_attributes_are_named() {
        let e =
            CloudEvent::from_headers([("ce_specversion", "1.0"), ("ce_type", "x")]).unwrap_err();
        assert_eq!(e.field, "ce_time");
        let e = CloudEvent::from_headers([("ce_specversion", "0.3")]).unwrap_err();
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("ce_specversion", "0.3")
        );
    }
}
