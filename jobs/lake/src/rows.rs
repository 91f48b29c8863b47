//! Records of Kafka as rows.
//!
//! Nothing of a record's value is lost: what the columns cannot say (no JSON, unknown fields, wrong types) keeps its
//! value as it was in the column `raw`.

mod batch;
mod column;
mod event;
mod json;
mod mark;
mod quick;
mod time;

use arrow_schema::SchemaRef;

use crate::layout::Hour;
use crate::schema;

pub use batch::Rows;
use event::Columns;
pub use json::{Parsed, parse};
use quick::Values;
use time::micros;

/// A record of Kafka, borrowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<'a> {
    /// Its offset.
    pub offset: i64,
    /// The time that Kafka has for it, in milliseconds since 1970.
    pub kafka_time: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its header `ce_source`.
    pub source: Option<&'a str>,
    /// Its header `ce_type`.
    pub kind: Option<&'a str>,
    /// Its header `ce_time`.
    pub time: Option<&'a str>,
    /// All its headers as a JSON object. Not kept for telemetry.
    pub headers: Option<&'a str>,
}

/// What a topic's records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Telemetry: a column for each field.
    Telemetry,
    /// Vehicle events: columns for what they say, and the value as it was.
    VehicleEvents,
    /// Alerts: columns for what they say, and the value as it was.
    Alerts,
    /// Anything: the value as it was.
    Plain,
}

impl Shape {
    /// That of a topic's records.
    #[must_use]
    pub fn of_topic(topic: &str) -> Self {
        match topic {
            millrace_contract::topics::TELEMETRY => Self::Telemetry,
            millrace_contract::topics::VEHICLE_EVENTS => Self::VehicleEvents,
            millrace_contract::topics::ALERTS => Self::Alerts,
            _ => Self::Plain,
        }
    }

    /// Its columns.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Telemetry => schema::telemetry(),
            Self::VehicleEvents | Self::Alerts | Self::Plain => {
                let columns = self.columns();
                schema::events(columns.texts, columns.numbers)
            }
        }
    }

    /// Whether the headers of records are kept: telemetry says everything in its value.
    #[must_use]
    pub fn keeps_headers(self) -> bool {
        self != Self::Telemetry
    }

    fn columns(self) -> &'static Columns {
        match self {
            Self::VehicleEvents => &event::VEHICLE_EVENTS,
            Self::Alerts => &event::ALERTS,
            Self::Telemetry | Self::Plain => &event::NONE,
        }
    }

    /// Understands a record's value.
    #[must_use]
    pub fn parse<'a>(self, raw: &Raw<'a>) -> Parsed<'a> {
        let mut parsed = Parsed::default();
        Reader::new(self).read(raw, &mut parsed);
        parsed
    }
}

/// Understands the values of many records, one after the other.
#[derive(Debug)]
pub struct Reader {
    shape: Shape,
    values: Values,
}

impl Reader {
    /// For records of that shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            values: Values::default(),
        }
    }

    /// Understands a record's value; `parsed` says nothing any more of what it said before.
    pub fn read<'a>(&mut self, raw: &Raw<'a>, parsed: &mut Parsed<'a>) {
        match self.shape {
            Shape::Telemetry => self.values.read(raw.value, parsed),
            Shape::VehicleEvents | Shape::Alerts | Shape::Plain => {
                parsed.clear();
                parsed.exact = false;
                let own = self.shape.columns().time_of(raw.value);
                parsed.time = own.or_else(|| raw.time.and_then(micros));
            }
        }
    }
}

/// The hour a row belongs to: of its event time, else of Kafka's.
#[must_use]
pub fn hour(raw: &Raw<'_>, parsed: &Parsed<'_>) -> Hour {
    parsed
        .time
        .and_then(Hour::of_micros)
        .or_else(|| {
            raw.kafka_time
                .and_then(|ms| ms.checked_mul(1000))
                .and_then(Hour::of_micros)
        })
        .unwrap_or(Hour::first())
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Float64Type;
    use arrow_array::{Array as _, RecordBatch};
    use millrace_contract::{Telemetry, codec};

    use super::*;
    use crate::content::Content;

    fn rows(values: &[&[u8]]) -> RecordBatch {
        let mut rows = Rows::new(Shape::Telemetry, Shape::Telemetry.schema(), 3);
        for (n, value) in values.iter().enumerate() {
            let raw = Raw {
                offset: i64::try_from(n).unwrap(),
                kafka_time: Some(1_790_000_000_000),
                key: Some(b"car-1"),
                value: Some(value),
                source: Some("/millrace/gateway"),
                ..Raw::default()
            };
            rows.push(&raw, &Shape::Telemetry.parse(&raw));
        }
        assert_eq!(rows.len(), values.len());
        rows.finish().unwrap()
    }

    #[test]
    fn an_event_of_the_gateway_is_in_its_columns_alone() {
        let mut event = Telemetry::new("car-1", 7, "2026-11-28T13:00:00.123456Z".parse().unwrap());
        event.speed = Some(81.5);
        event.mil_on = Some(true);
        event.dtc_list = Some(vec!["P0217".to_owned(), "P0301".to_owned()]);
        event.latitude = Some(48.0);
        let value = codec::encode(&event);
        let batch = rows(&[&value]);
        assert!(batch.column_by_name(schema::RAW).unwrap().is_null(0));
        let speed = batch
            .column_by_name("speed")
            .unwrap()
            .as_primitive::<Float64Type>();
        assert_eq!(speed.value(0), 81.5);
        assert!(
            batch
                .column_by_name("mil_on")
                .unwrap()
                .as_boolean()
                .value(0)
        );
        let codes = batch
            .column_by_name("dtc_list")
            .unwrap()
            .as_list::<i32>()
            .value(0);
        assert_eq!(codes.as_string::<i32>().value(1), "P0301");
        assert!(batch.column_by_name("engine_speed").unwrap().is_null(0));
        assert_eq!(Content::of(&batch).unwrap().rows, 1);
    }

    #[test]
    fn what_the_columns_cannot_say_is_kept_as_it_was() {
        let good = br#"{"vehicle":"car-1","sequence":1,"time":"2026-11-28T13:00:00Z","speed":1}"#;
        let newer =
            br#"{"vehicle":"car-1","sequence":2,"time":"2026-11-28T13:00:00Z","mood":"fine"}"#;
        let wrong =
            br#"{"vehicle":"car-1","sequence":3,"time":"2026-11-28T13:00:00Z","speed":"fast"}"#;
        let large =
            br#"{"vehicle":"car-1","sequence":18446744073709551615,"time":"2026-11-28T13:00:00Z"}"#;
        let values: [&[u8]; 6] = [good, newer, wrong, large, b"no json", br#"{"vehicle":"x""#];
        let batch = rows(&values);
        let raw = batch
            .column_by_name(schema::RAW)
            .unwrap()
            .as_binary::<i32>();
        assert!(raw.is_null(0));
        for (n, value) in values.iter().enumerate().skip(1) {
            assert_eq!(raw.value(n), *value, "{n}");
        }
        let vehicles = batch.column_by_name("vehicle").unwrap();
        assert!(vehicles.is_valid(2) && vehicles.is_null(4) && vehicles.is_null(5));
    }

    #[test]
    fn an_hour_is_that_of_the_event_else_that_of_kafka() {
        let of = |value: &[u8], kafka_time| {
            let raw = Raw {
                value: Some(value),
                kafka_time,
                ..Raw::default()
            };
            hour(&raw, &Shape::Telemetry.parse(&raw)).to_string()
        };
        let event = br#"{"vehicle":"c","sequence":1,"time":"2026-11-28T13:59:59Z"}"#;
        assert_eq!(of(event, Some(0)), "date=2026-11-28/hour=13");
        assert_eq!(of(b"?", Some(1_790_000_000_000)), "date=2026-09-21/hour=14");
        assert_eq!(of(b"?", None), "date=1970-01-01/hour=00");
    }
}
