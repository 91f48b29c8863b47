//! What a dead letter was before it became one.

use jiff::Timestamp;
use millrace_contract::{DeadLetter, Kept, Origin, Payload};
use serde_json::Value;

use super::{Id, not_whole, unavailable};
use crate::connect::{Incoming, Record};
use crate::gateway::Gateway;
use crate::gateway::answer::Refused;

/// The clocks of those who wrote the record and the letter may differ by so much.
const CLOCKS_MS: i64 = 5000;

/// What a letter was about.
pub struct Original {
    /// The topic that it lay in.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its value.
    pub payload: Vec<u8>,
}

/// What the letter kept, when that is all of it; else the record itself, as long as its topic holds it.
///
/// # Errors
/// Neither is there, or the brokers do not answer.
pub async fn original(gateway: &Gateway, id: Id, letter: &DeadLetter) -> Result<Original, Refused> {
    let kept = whole(letter);
    let Some(origin) = &letter.origin else {
        return Ok(Original {
            topic: letter.source_topic_or_channel.clone(),
            key: letter.vehicle.clone().unwrap_or_default(),
            headers: Vec::new(),
            payload: kept.ok_or_else(|| not_whole(id))?,
        });
    };
    let payload = match kept {
        Some(payload) => payload,
        None => read_again(gateway, origin, letter.received_at)
            .await?
            .ok_or_else(|| not_whole(id))?,
    };
    let key = origin.key.clone().or_else(|| letter.vehicle.clone());
    Ok(Original {
        topic: origin.topic.clone(),
        key: key.unwrap_or_default(),
        headers: origin.headers.clone(),
        payload,
    })
}

async fn read_again(
    gateway: &Gateway,
    origin: &Origin,
    received_at: Timestamp,
) -> Result<Option<Vec<u8>>, Refused> {
    let lies = origin.offset..origin.offset.saturating_add(1);
    let read = gateway
        .spans
        .read(
            &origin.topic,
            origin.partition,
            lies,
            |record: &Incoming<'_>| record.to_record(),
        )
        .await
        .map_err(unavailable)?;
    let found = read.into_iter().next();
    Ok(found
        .filter(|record| is_the_one(record, origin, received_at))
        .and_then(|record| record.payload))
}

// In a topic that was deleted and made anew another record may lie there.
fn is_the_one(record: &Record, origin: &Origin, received_at: Timestamp) -> bool {
    let latest = received_at.as_millisecond().saturating_add(CLOCKS_MS);
    record.key_text() == origin.key.as_deref()
        && record.timestamp_ms.is_none_or(|written| written <= latest)
}

// All of the record, when the letter holds it.
fn whole(letter: &DeadLetter) -> Option<Vec<u8>> {
    let Payload::Clear(value) = &letter.payload else {
        return None;
    };
    let is_whole = match letter.kept {
        Some(kept) => kept == Kept::Whole,
        None => !looks_like_a_part(value),
    };
    is_whole.then(|| value.to_string().into_bytes())
}

// Letters of earlier versions do not say what they hold: only where the record lay, or its beginning too.
fn looks_like_a_part(value: &Value) -> bool {
    let Some(object) = value.as_object() else {
        return false;
    };
    let has = |names: &[&str]| names.iter().all(|name| object.contains_key(*name));
    let only = |names: &[&str]| object.keys().all(|name| names.contains(&name.as_str()));
    let place = ["topic", "partition", "offset"];
    has(&place) && only(&["topic", "partition", "offset", "bytes"])
        || has(&["place", "bytes"]) && only(&["place", "bytes", "beginning"])
}

#[cfg(test)]
mod tests {
    use millrace_contract::Invalid;
    use serde_json::json;

    use super::*;

    fn letter(payload: Value, kept: Option<Kept>) -> DeadLetter {
        DeadLetter {
            reason: Invalid::new("f", "v", "p", "c").into(),
            source_topic_or_channel: "t".to_owned(),
            vehicle: None,
            received_at: Timestamp::UNIX_EPOCH,
            attempts: 1,
            payload: Payload::Clear(payload),
            kept,
            origin: None,
        }
    }

    #[test]
    fn what_a_letter_kept() {
        for value in [
            json!({"id": "x"}),
            json!({}),
            json!([1, 2]),
            json!("text"),
            json!(5),
            json!(null),
            json!({"place": "Paris", "bytes": 3}),
        ] {
            let kept = whole(&letter(value.clone(), Some(Kept::Whole))).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), value);
            assert_eq!(whole(&letter(value.clone(), Some(Kept::Part))), None);
            assert_eq!(whole(&letter(value, Some(Kept::Place))), None);
        }
    }

    #[test]
    fn what_a_letter_of_an_earlier_version_kept() {
        let of = |value| whole(&letter(value, None));
        assert_eq!(of(json!({"id": "x"})).unwrap(), b"{\"id\":\"x\"}");
        assert_eq!(of(json!({})).unwrap(), b"{}");
        assert_eq!(of(json!("text")).unwrap(), b"\"text\"");
        assert_eq!(of(json!([1])).unwrap(), b"[1]");
        let place = json!({"topic": "telemetry", "partition": 0, "offset": 5});
        assert_eq!(of(place.clone()), None, "only where it lay");
        assert_eq!(of(json!({"place": place.clone(), "bytes": 9})), None);
        let cut = json!({"place": place, "bytes": 900_000, "beginning": "{"});
        assert_eq!(of(cut), None, "only a part of it");
    }

    #[test]
    fn another_record_in_its_place_is_not_taken_for_it() {
        let received_at = Timestamp::from_second(1_700_000_000).unwrap();
        let origin = Origin {
            topic: "t".to_owned(),
            partition: 0,
            offset: 5,
            key: Some("car-1".to_owned()),
            headers: Vec::new(),
        };
        let record = |key: &str, second: i64| Record {
            topic: "t".to_owned(),
            partition: 0,
            offset: 5,
            timestamp_ms: Some(second * 1000),
            key: Some(key.as_bytes().to_vec()),
            headers: Vec::new(),
            payload: Some(b"{}".to_vec()),
        };
        let is = |record: &Record| is_the_one(record, &origin, received_at);
        assert!(is(&record("car-1", 1_700_000_000)));
        assert!(!is(&record("car-2", 1_700_000_000)));
        assert!(!is(&record("car-1", 1_700_000_060)), "written later");
    }
}
