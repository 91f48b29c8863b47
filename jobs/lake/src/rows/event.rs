//! Events that are few: what they say has columns, and the value stays beside them as it was. So nothing of it can be lost,
//! whatever a sender writes.

use arrow_array::ArrayRef;
use arrow_array::builder::{ArrayBuilder, Float64Builder, StringBuilder};
use serde_json::{Map, Value};

use super::time::micros;

/// Which fields of an event have columns. Of the same names, but for its time.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) texts: &'static [&'static str],
    pub(super) numbers: &'static [&'static str],
    time: Option<&'static str>,
}

/// None: nothing is known of the value.
pub(super) static NONE: Columns = Columns {
    texts: &[],
    numbers: &[],
    time: None,
};

pub(super) static VEHICLE_EVENTS: Columns = Columns {
    texts: &[
        "vehicle",
        "id",
        "kind",
        "component",
        "model",
        "hire",
        "note",
    ],
    numbers: &["odometer"],
    time: Some("time"),
};

pub(super) static ALERTS: Columns = Columns {
    texts: &[
        "vehicle", "id", "rule", "severity", "episode", "signal", "unit", "wheel", "model", "hire",
    ],
    numbers: &["value", "threshold"],
    time: Some("event_time"),
};

fn object(value: Option<&[u8]>) -> Option<Map<String, Value>> {
    serde_json::from_slice(value?).ok()
}

impl Columns {
    /// The event's own time, in microseconds since 1970.
    pub(super) fn time_of(&self, value: Option<&[u8]>) -> Option<i64> {
        let name = self.time?;
        object(value)?.get(name)?.as_str().and_then(micros)
    }
}

/// The columns of many events.
pub(super) struct OfEvent {
    columns: &'static Columns,
    texts: Vec<StringBuilder>,
    numbers: Vec<Float64Builder>,
}

impl OfEvent {
    pub(super) fn new(columns: &'static Columns) -> Self {
        Self {
            columns,
            texts: columns.texts.iter().map(|_| StringBuilder::new()).collect(),
            numbers: columns
                .numbers
                .iter()
                .map(|_| Float64Builder::new())
                .collect(),
        }
    }

    /// Appends an event. What is no text or no number where one is meant leaves its column empty. Gives about how many bytes
    /// that took.
    pub(super) fn push(&mut self, value: Option<&[u8]>) -> usize {
        if self.texts.is_empty() {
            return 0;
        }
        let object = object(value);
        let get = |name: &str| object.as_ref().and_then(|object| object.get(name));
        let mut bytes = 8 * self.numbers.len();
        for (builder, name) in self.texts.iter_mut().zip(self.columns.texts) {
            let text = get(name).and_then(Value::as_str);
            bytes += 4 + text.map_or(0, str::len);
            builder.append_option(text);
        }
        for (builder, name) in self.numbers.iter_mut().zip(self.columns.numbers) {
            builder.append_option(get(name).and_then(Value::as_f64));
        }
        bytes
    }

    pub(super) fn finish(&mut self, columns: &mut Vec<ArrayRef>) {
        columns.extend(self.texts.iter_mut().map(ArrayBuilder::finish));
        columns.extend(self.numbers.iter_mut().map(ArrayBuilder::finish));
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Float64Type;
    use arrow_array::{Array as _, RecordBatch};

    use crate::rows::{Raw, Rows, Shape, hour};
    use crate::schema;

    fn batch(shape: Shape, values: &[&[u8]]) -> RecordBatch {
        let mut rows = Rows::new(shape, shape.schema(), 0);
        for value in values {
            let raw = Raw {
                value: Some(value),
                kafka_time: Some(0),
                time: Some("2026-11-27T00:00:00Z"),
                ..Raw::default()
            };
            rows.push(&raw, &shape.parse(&raw));
        }
        rows.finish().unwrap()
    }

    #[test]
    fn what_an_event_says_has_columns_and_the_value_stays() {
        let values: [&[u8]; 3] = [
            br#"{"vehicle":"car-1","id":"g7-1","time":"2026-11-28T13:00:00Z","kind":"breakdown","component":"engine","odometer":81000.5}"#,
            br#"{"vehicle":"car-2","id":7,"kind":"polished","odometer":"far"}"#,
            b"no json",
        ];
        let batch = batch(Shape::of_topic("vehicle-events"), &values);
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
        assert_eq!(text("component").value(0), "engine");
        assert_eq!(
            (text("kind").value(1), text("id").is_null(1)),
            ("polished", true)
        );
        let odometer = batch.column_by_name("odometer").unwrap();
        let odometer = odometer.as_primitive::<Float64Type>();
        assert_eq!((odometer.value(0), odometer.null_count()), (81000.5, 2));
        let raw = batch.column_by_name(schema::RAW).unwrap();
        for (n, value) in values.iter().enumerate() {
            assert_eq!(raw.as_binary::<i32>().value(n), *value);
        }
    }

    #[test]
    fn an_alert_lies_in_the_hour_of_what_raised_it() {
        let shape = Shape::of_topic("alerts");
        let alert = br#"{"id":"a","vehicle":"c","rule":"slow-puncture","event_time":"2026-11-28T13:59:59Z","wheel":"rear_left"}"#;
        let raw = |value| Raw {
            value: Some(value),
            time: Some("2026-11-28T15:00:00Z"),
            ..Raw::default()
        };
        let of = |raw: &Raw<'_>| hour(raw, &shape.parse(raw)).to_string();
        assert_eq!(of(&raw(alert)), "date=2026-11-28/hour=13");
        assert_eq!(of(&raw(b"?")), "date=2026-11-28/hour=15");
        let batch = batch(shape, &[alert]);
        let wheel = batch.column_by_name("wheel").unwrap();
        assert_eq!(wheel.as_string::<i32>().value(0), "rear_left");
    }
}
