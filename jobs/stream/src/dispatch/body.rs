//! What an action is given.

use millrace_contract::Invalid;
use millrace_contract::cloudevent::EventType;
use serde_json::{Map, Value, json};

use crate::connect::Record;

const ATTRIBUTES: [&str; 5] = ["id", "source", "type", "time", "subject"];

/// The parameters of the invocation: `{"alert": <value>, "cloudevent": {id, source, type, time, subject}}` for
/// alerts, `{"event": <value>, "cloudevent": …}` for everything else. Attributes that the record lacks are left
/// out.
///
/// # Errors
/// The value is no JSON.
pub fn body(record: &Record) -> Result<Value, Invalid> {
    let value: Value = match &record.payload {
        Some(payload) => serde_json::from_slice(payload).map_err(|e| {
            Invalid::new(
                "value",
                format!("{} bytes", payload.len()),
                format!("not JSON: {e}"),
                "write JSON to the topic, or take the topic out of the event source",
            )
        })?,
        None => Value::Null,
    };
    let attributes: Map<String, Value> = ATTRIBUTES
        .iter()
        .filter_map(|name| {
            Some((
                (*name).to_owned(),
                Value::from(record.header(&format!("ce_{name}"))?),
            ))
        })
        .collect();
    let name = match record.header("ce_type") {
        Some(kind) if kind == EventType::Alert.as_str() => "alert",
        _ => "event",
    };
    Ok(json!({ name: value, "cloudevent": attributes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, payload: Option<&str>) -> Record {
        Record {
            topic: "t".to_owned(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: None,
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
        let alert = body(&record("dev.millrace.alert.v1", Some("{\"id\":\"x\"}"))).unwrap();
        let expected = json!({"alert": {"id": "x"}, "cloudevent": {"id": "1", "type": "dev.millrace.alert.v1"}});
        assert_eq!(alert, expected);
        assert!(body(&record("other", Some("1"))).unwrap()["event"] == 1);
        assert!(body(&record("other", None)).unwrap()["event"].is_null());
    }

    #[test]
    fn what_is_no_json_is_refused_without_being_quoted() {
        let e = body(&record("other", Some("{secret"))).unwrap_err();
        assert_eq!(e.field, "value");
        assert!(!e.to_string().contains("secret"));
    }
}
