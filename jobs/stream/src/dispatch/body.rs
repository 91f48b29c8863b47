//! What an action is given.

use jiff::Timestamp;
use millrace_contract::cloudevent::EventType;
use millrace_contract::{Invalid, TraceParent, trace};
use serde_json::{Map, Value, json};

use crate::connect::Record;

const ATTRIBUTES: [&str; 6] = ["id", "source", "type", "time", "subject", trace::NAME];

/// Set on a record that is sent again from the dead letters: only this consumer group is to take it. All
/// others have had it before.
pub const ONLY_GROUP: &str = "millrace-only-group";

/// A record with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The record; its payload is in `value`.
    pub record: Record,
    /// Its value.
    pub value: Value,
}

impl Item {
    /// Reads the value, null where the record has none.
    ///
    /// # Errors
    /// The value is no JSON; gives the record back with the reason, which does not quote it.
    pub fn read(mut record: Record) -> Result<Self, Box<(Record, Invalid)>> {
        let Some(payload) = record.payload.take() else {
            return Ok(Self {
                record,
                value: Value::Null,
            });
        };
        match serde_json::from_slice(&payload) {
            Ok(value) => Ok(Self { record, value }),
            Err(e) => {
                let why = Invalid::new(
                    "value",
                    format!("{} bytes", payload.len()),
                    format!("not JSON: {e}"),
                    "write JSON to the topic, or take the topic out of the event source",
                );
                record.payload = Some(payload);
                Err(Box::new((record, why)))
            }
        }
    }

    /// The name of the record in `batchItemFailures`: `TOPIC-PARTITION-OFFSET`.
    #[must_use]
    pub fn identifier(&self) -> String {
        let Record {
            topic,
            partition,
            offset,
            ..
        } = &self.record;
        format!("{topic}-{partition}-{offset}")
    }

    /// The event time: `ce_time`, else the time in Kafka.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        let told = self.record.header("ce_time").and_then(|t| t.parse().ok());
        told.or_else(|| self.time_in_kafka())
    }

    /// What the age is counted from: the event time; of an alert when it was detected, for a car that was offline is
    /// told afterwards all the same. Who sends a dead letter again wants it in spite of its age: then it is the time of
    /// that.
    #[must_use]
    pub fn age_from(&self) -> Option<Timestamp> {
        if self.record.header(ONLY_GROUP).is_some() {
            return self.time_in_kafka();
        }
        let detected = self.value["detected_at"]
            .as_str()
            .filter(|_| self.is_alert());
        detected
            .and_then(|time| time.parse().ok())
            .or_else(|| self.time())
    }

    fn is_alert(&self) -> bool {
        self.record.header("ce_type") == Some(EventType::Alert.as_str())
    }

    fn time_in_kafka(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.record.timestamp_ms?).ok()
    }

    /// The id of the trace that it belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let trace: TraceParent = self.record.header(trace::HEADER)?.parse().ok()?;
        Some(trace.trace_id())
    }

    // Attributes that the record lacks are left out.
    fn attributes(&self) -> Map<String, Value> {
        ATTRIBUTES
            .iter()
            .filter_map(|name| {
                let value = self.record.header(&format!("ce_{name}"))?;
                Some(((*name).to_owned(), Value::from(value)))
            })
            .collect()
    }
}

/// The parameters for one record: `{"alert": <value>, "cloudevent": {id, source, type, time, subject, traceparent}}` for
/// alerts, `{"event": <value>, "cloudevent": …}` for everything else.
#[must_use]
pub fn single(item: &Item) -> Value {
    let name = if item.is_alert() { "alert" } else { "event" };
    json!({ name: item.value, "cloudevent": item.attributes() })
}

/// The parameters for a batch:
/// `{"records": [{"topic", "partition", "offset", "key", "time", "value", "cloudevent"}…]}`.
#[must_use]
pub fn batch<'a>(items: impl IntoIterator<Item = &'a Item>) -> Value {
    let records: Vec<Value> = items
        .into_iter()
        .map(|item| {
            json!({
                "topic": item.record.topic,
                "partition": item.record.partition,
                "offset": item.record.offset,
                "key": item.record.key_text(),
                "time": item.time().map(|t| t.to_string()),
                "value": item.value,
                "cloudevent": item.attributes(),
            })
        })
        .collect();
    json!({ "records": records })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn record(kind: &str, payload: Option<&str>) -> Record {
        Record {
            topic: "t".to_owned(),
            partition: 0,
            offset: 7,
            timestamp_ms: Some(1_000),
            key: Some(b"car-1".to_vec()),
            headers: vec![
                ("ce_id".to_owned(), "1".to_owned()),
                ("ce_type".to_owned(), kind.to_owned()),
                ("content-type".to_owned(), "application/json".to_owned()),
            ],
            payload: payload.map(|p| p.as_bytes().to_vec()),
        }
    }

    #[test]
    fn alerts_have_their_own_name() {
        let read = |kind, payload| Item::read(record(kind, payload)).unwrap();
        let alert = read("dev.millrace.alert.v1", Some("{\"id\":\"x\"}"));
        let expected = json!({"alert": {"id": "x"}, "cloudevent": {"id": "1", "type": "dev.millrace.alert.v1"}});
        assert_eq!(single(&alert), expected);
        assert_eq!(single(&read("other", Some("1")))["event"], 1);
        assert!(single(&read("other", None))["event"].is_null());
    }

    #[test]
    fn an_action_gets_the_trace() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut record = record("other", None);
        record.headers.push((trace::HEADER.into(), trace.into()));
        let item = Item::read(record).unwrap();
        assert_eq!(single(&item)["cloudevent"]["traceparent"], trace);
        assert_eq!(item.trace_id().unwrap(), trace[3..35]);
    }

    #[test]
    fn a_batch_names_the_place_of_each_record() {
        let item = Item::read(record("other", Some("{\"a\":1}"))).unwrap();
        assert_eq!(item.identifier(), "t-0-7");
        let expected = json!({"records": [{
            "topic": "t", "partition": 0, "offset": 7, "key": "car-1", "time": "1970-01-01T00:00:01Z",
            "value": {"a": 1}, "cloudevent": {"id": "1", "type": "other"},
        }]});
        assert_eq!(batch([&item]), expected);
    }

    #[test]
    fn the_age_of_what_is_sent_again_starts_anew() {
        let mut item = Item::read(record("other", None)).unwrap();
        let then = ("ce_time".to_owned(), "1969-12-31T00:00:00Z".to_owned());
        item.record.headers.push(then);
        let age_from = |item: &Item| item.age_from().unwrap().as_second();
        assert_eq!(age_from(&item), -86_400);
        let again = (ONLY_GROUP.to_owned(), "g".to_owned());
        item.record.headers.push(again);
        assert_eq!(age_from(&item), 1);
        assert_eq!(item.time().unwrap().as_second(), -86_400);
    }

    #[test]
    fn an_alert_is_as_old_as_its_detection() {
        let detected = Some("{\"detected_at\":\"1970-01-02T00:00:00Z\"}");
        let age_from = |kind: &str, value| {
            let item = Item::read(record(kind, value)).unwrap();
            item.age_from().unwrap().as_second()
        };
        let alert = EventType::Alert.as_str();
        assert_eq!(age_from(alert, detected), 86_400);
        assert_eq!(age_from(alert, Some("{}")), 1);
        assert_eq!(age_from("other", detected), 1);
    }

    #[test]
    fn what_is_no_json_is_refused_without_being_quoted() {
        let (record, e) = *Item::read(record("other", Some("{secret"))).unwrap_err();
        assert_eq!(e.field, "value");
        assert!(!e.to_string().contains("secret"));
        assert_eq!(record.payload.as_deref(), Some(b"{secret".as_slice()));
    }
}
