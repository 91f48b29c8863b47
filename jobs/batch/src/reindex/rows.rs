//! Rows of the lake as the lines that Druid reads: the JSON of the records in Kafka, without what leads to a person, and without
//! what was repeated. Pure.

use std::collections::HashSet;
use std::sync::LazyLock;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, BinaryArray, RecordBatch};
use jiff::Timestamp;
use millrace_contract::{FIELDS, Privacy, telemetry};
use millrace_lake::{LakeError, lines, schema};
use serde_json::{Map, Value};
use twox_hash::XxHash3_128;

use crate::score::columns::column;

/// What an event of any topic may be told apart by.
const ID: &str = "id";

/// The columns that are read: those of Kafka that are needed, and all fields of the contract that Druid may have.
pub static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let fields = FIELDS.iter().map(|field| field.name);
    [
        schema::SOURCE,
        schema::TIME,
        schema::RAW,
        ID,
        "vehicle",
        "sequence",
        "model",
    ]
    .into_iter()
    .chain(fields)
    .filter(|name| is_kept(name))
    .collect()
});

// Nothing in Druid is to be erased with a driver, so nothing of the kind leaves for it.
fn is_kept(name: &str) -> bool {
    let place = telemetry::field(name).is_some_and(|field| field.privacy == Privacy::Location);
    !place && name != "hire" && name != "driver"
}

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written.
    pub rows: u64,
    /// Left out, because they were repeated.
    pub repeated: u64,
    /// Left out, because they are no JSON object or have no time: Druid reads no such record from Kafka either.
    pub unreadable: u64,
}

/// Writes the rows of one day.
#[derive(Debug)]
pub struct Lines {
    /// The field with the time of a row.
    time: String,
    /// Hashes of what rows of this hour are told apart by. A repeated event lies in the same hour.
    seen: HashSet<u128>,
    counts: Counts,
}

impl Lines {
    /// None yet. `time`: the field with the time of a row.
    #[must_use]
    pub fn new(time: &str) -> Self {
        Self {
            time: time.to_owned(),
            seen: HashSet::new(),
            counts: Counts::default(),
        }
    }

    /// What follows is of another hour.
    pub fn next_hour(&mut self) {
        self.seen.clear();
    }

    /// What became of all rows up to now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Appends the rows of a batch with the columns of [`NAMES`].
    ///
    /// # Errors
    /// A column has a type that it never had, or a row cannot be written.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), LakeError> {
        let raw: Option<&BinaryArray> = column(batch, schema::RAW, |array| array.as_binary_opt())?;
        for (row, columns) in lines::lines(batch).enumerate() {
            let Value::Object(columns) = columns else {
                continue;
            };
            let raw = raw.filter(|raw| raw.is_valid(row));
            let key = key(&columns);
            let record = match raw.map(|raw| raw.value(row)) {
                Some(value) => whole(value),
                None => Some(of_columns(columns)),
            };
            let Some(record) = record.filter(|record| self.has_time(record)) else {
                self.counts.unreadable += 1;
                continue;
            };
            if key.is_some_and(|key| !self.seen.insert(key)) {
                self.counts.repeated += 1;
                continue;
            }
            serde_json::to_writer(&mut *out, &record).map_err(|error| LakeError::Parquet {
                path: "a row".to_owned(),
                problem: error.to_string(),
            })?;
            out.push(b'\n');
            self.counts.rows += 1;
        }
        Ok(())
    }

    fn has_time(&self, record: &Map<String, Value>) -> bool {
        let time = record.get(&self.time).and_then(Value::as_str);
        time.is_some_and(|time| time.parse::<Timestamp>().is_ok())
    }
}

// The value as it was.
fn whole(value: &[u8]) -> Option<Map<String, Value>> {
    let mut record: Map<String, Value> = serde_json::from_slice(value).ok()?;
    record.retain(|name, _| is_kept(name));
    Some(record)
}

// Columns that say all of an event are its fields, but for who wrote it.
fn of_columns(mut columns: Map<String, Value>) -> Map<String, Value> {
    columns.remove(schema::SOURCE);
    columns
}

// Telemetry by source, vehicle, number and time, as it is scored (a vehicle may count from 0 again); an event with an id by that.
fn key(columns: &Map<String, Value>) -> Option<u128> {
    let names: &[&str] = if columns.contains_key("sequence") {
        &[schema::SOURCE, "vehicle", "sequence", schema::TIME]
    } else if columns.contains_key(ID) {
        &[ID]
    } else {
        return None;
    };
    // As JSON, so that no two ways to write them are the same.
    let values: Vec<Option<&Value>> = names.iter().map(|name| columns.get(*name)).collect();
    let bytes = serde_json::to_vec(&values).ok()?;
    Some(XxHash3_128::oneshot(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_contract::{Telemetry, codec};
    use millrace_lake::rows::{Raw, Rows, Shape};
    use serde_json::json;

    fn batch(topic: &str, values: &[Vec<u8>]) -> RecordBatch {
        let shape = Shape::of_topic(topic);
        let mut rows = Rows::new(shape, shape.schema(), 0);
        for (offset, value) in (0..).zip(values) {
            let raw = Raw {
                offset,
                value: Some(value),
                source: Some("gateway"),
                ..Raw::default()
            };
            rows.push(&raw, &shape.parse(&raw));
        }
        let all = rows.finish().unwrap();
        let there = NAMES.iter().filter_map(|name| {
            let column = all.column_by_name(name)?;
            Some((*name, std::sync::Arc::clone(column)))
        });
        RecordBatch::try_from_iter_with_nullable(there.map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn written(lines: &mut Lines, batch: &RecordBatch) -> Vec<Value> {
        let mut out = Vec::new();
        lines.write(batch, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let read = |line: &str| serde_json::from_str(line).unwrap();
        text.lines().map(read).collect()
    }

    fn event(sequence: u64) -> Telemetry {
        let time = "2026-11-05T08:00:00.123456Z".parse().unwrap();
        let mut event = Telemetry::new("car-1", sequence, time);
        event.model = Some("Polo".to_owned());
        event.hire = Some("a1b2".to_owned());
        event.speed = Some(88.25);
        event.mil_on = Some(true);
        event.dtc_list = Some(vec!["P0300".to_owned(), "P0217".to_owned()]);
        event.coolant_temperature = Some(90.0);
        event.latitude = Some(52.5);
        event.longitude = Some(13.4);
        event
    }

    fn in_kafka(event: &Telemetry) -> Value {
        serde_json::from_slice(&codec::encode(event)).unwrap()
    }

    fn without_person(event: &Telemetry) -> Value {
        in_kafka(&Telemetry {
            hire: None,
            latitude: None,
            longitude: None,
            ..event.clone()
        })
    }

    #[test]
    fn a_row_is_the_record_in_kafka_without_what_leads_to_a_person() {
        // Only what was measured is there, as in Kafka.
        let bare = Telemetry::new("car-2", 7, "2026-11-05T09:00:00Z".parse().unwrap());
        let events = [event(1), bare];
        let values: Vec<Vec<u8>> = events.iter().map(codec::encode).collect();
        let mut lines = Lines::new("time");
        let found = written(&mut lines, &batch("telemetry", &values));
        assert_eq!(found, events.each_ref().map(without_person));
        assert_eq!(lines.counts().rows, 2);
    }

    #[test]
    fn a_record_of_a_newer_gateway_keeps_the_fields_that_this_version_does_not_know() {
        let mut newer = in_kafka(&event(1));
        newer["flux"] = json!(88);
        let mut expected = without_person(&event(1));
        expected["flux"] = json!(88);
        let values = [newer.to_string().into_bytes()];
        let found = written(&mut Lines::new("time"), &batch("telemetry", &values));
        assert_eq!(found, [expected]);
    }

    #[test]
    fn what_is_repeated_or_has_no_time_is_left_out_and_counted() {
        let mut restarted = event(1);
        restarted.time = "2026-11-05T08:30:00Z".parse().unwrap();
        let mut lost = in_kafka(&event(3));
        lost["time"] = json!("soon");
        let values = [
            codec::encode(&event(1)),
            codec::encode(&event(2)),
            codec::encode(&event(1)),
            codec::encode(&restarted),
            b"no json".to_vec(),
            lost.to_string().into_bytes(),
        ];
        let mut lines = Lines::new("time");
        let rows = batch("telemetry", &values);
        assert_eq!(written(&mut lines, &rows).len(), 3);
        let counts = Counts {
            rows: 3,
            repeated: 1,
            unreadable: 2,
        };
        assert_eq!(lines.counts(), counts);
        // The same again in the same hour is nothing new; in another one it is.
        assert_eq!(written(&mut lines, &rows).len(), 0);
        lines.next_hour();
        assert_eq!(written(&mut lines, &rows).len(), 3);
    }

    #[test]
    fn an_alert_is_told_once_and_keeps_its_zone() {
        let alert = json!({"id": "a", "vehicle": "car-1", "hire": "a1b2", "rule": "border", "value": 14.5,
            "event_time": "2026-11-05T08:00:00Z", "zone": {"id": "pl", "kind": "border"}});
        let values = [
            alert.to_string().into_bytes(),
            alert.to_string().into_bytes(),
        ];
        let mut lines = Lines::new("event_time");
        let found = written(&mut lines, &batch("alerts", &values));
        let mut expected = alert.clone();
        expected.as_object_mut().unwrap().remove("hire");
        assert_eq!(found, [expected]);
        assert_eq!(lines.counts().repeated, 1);
    }

    #[test]
    fn audit_records_have_no_driver() {
        let entry = json!({"time": "2026-11-05T08:00:00Z", "role": "admin", "action": "erase", "driver": "k"});
        let values = [
            entry.to_string().into_bytes(),
            entry.to_string().into_bytes(),
        ];
        let found = written(&mut Lines::new("time"), &batch("audit", &values));
        // They have nothing to be told apart by: two that are the same are two.
        let expected = json!({"time": "2026-11-05T08:00:00Z", "role": "admin", "action": "erase"});
        assert_eq!(found, [expected.clone(), expected]);
    }
}
