//! Dead letters: what is kept of a record that was given up, and how it is made to fit its topic.

use jiff::Timestamp;
use millrace_contract::{DeadLetter, Kept, Payload, Reason, check_vehicle_id};
use serde_json::{Value, json};

use super::body::{Item, ONLY_GROUP};
use crate::connect::Record;

/// The letter of a record whose value is JSON: it holds the value, so that it can be sent again.
#[must_use]
pub fn of_item(item: &Item, group: &str, reason: Reason, attempts: u32) -> DeadLetter {
    let payload = (item.value.clone(), Kept::Whole);
    letter(&item.record, group, reason, attempts, payload)
}

/// The letter of a record that could not be read. It may name a driver, so only its place is told.
#[must_use]
pub fn of_unreadable(record: &Record, group: &str, reason: Reason) -> DeadLetter {
    let bytes = record.payload.as_ref().map_or(0, Vec::len);
    letter(record, group, reason, 0, (record.place(bytes), Kept::Place))
}

fn letter(
    record: &Record,
    group: &str,
    reason: Reason,
    attempts: u32,
    (payload, kept): (Value, Kept),
) -> DeadLetter {
    let mut origin = record.origin();
    origin.headers.retain(|(name, _)| name != ONLY_GROUP);
    origin
        .headers
        .push((ONLY_GROUP.to_owned(), group.to_owned()));
    DeadLetter {
        reason,
        source_topic_or_channel: record.topic.clone(),
        vehicle: record
            .key_text()
            .filter(|v| check_vehicle_id(v).is_ok())
            .map(str::to_owned),
        received_at: Timestamp::now(),
        attempts,
        payload: Payload::Clear(payload),
        kept: Some(kept),
        origin: Some(origin),
    }
}

/// The largest letter that is written, in bytes; then ever smaller ones, until the topic takes one.
pub const SIZES: [usize; 4] = [768 * 1024, 192 * 1024, 32 * 1024, 4 * 1024];

/// The letter with its payload cut so that it has about `size` bytes as JSON, and says so; as it is when it
/// is small enough.
#[must_use]
pub fn cut(letter: &DeadLetter, size: usize) -> DeadLetter {
    let whole = serde_json::to_string(letter).map_or(usize::MAX, |text| text.len());
    if whole <= size {
        return letter.clone();
    }
    let mut small = letter.clone();
    let text = match &letter.payload {
        Payload::Clear(value) => value.to_string(),
        Payload::Sealed { data, .. } => data.clone(),
    };
    let rest = whole.saturating_sub(text.len());
    if rest > size / 2
        && let Some(origin) = &mut small.origin
    {
        origin
            .headers
            .retain(|(name, value)| name == ONLY_GROUP && value.len() < 256);
    }
    shorten(&mut small.reason.problem, size / 8);
    shorten(&mut small.reason.cure, size / 8);
    // Quotes are escaped, which doubles them.
    let mut beginning = text.clone();
    shorten(&mut beginning, size / 6);
    let place = small
        .origin
        .as_ref()
        .map(|o| json!({"topic": o.topic, "partition": o.partition, "offset": o.offset}));
    small.payload =
        Payload::Clear(json!({"place": place, "bytes": text.len(), "beginning": beginning}));
    small.kept = Some(Kept::Part);
    small.reason.problem = format!(
        "{}; the payload of {} bytes was cut, since the topic of dead letters takes no letter of that size",
        small.reason.problem,
        text.len()
    );
    small
}

fn shorten(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let mut at = bytes;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::body::tests::record;

    fn reason() -> Reason {
        Reason {
            field: None,
            value: None,
            problem: "boom".to_owned(),
            cure: "mend it".to_owned(),
        }
    }

    #[test]
    fn a_letter_holds_what_is_needed_to_send_it_again_to_its_group_only() {
        let mut record = record("other", Some("{\"a\":1}"));
        record
            .headers
            .push((ONLY_GROUP.to_owned(), "former".to_owned()));
        let item = Item::read(record).unwrap();
        let letter = of_item(&item, "g", reason(), 3);
        assert_eq!(letter.payload, Payload::Clear(json!({"a": 1})));
        assert_eq!(letter.kept, Some(Kept::Whole));
        assert_eq!(letter.vehicle.as_deref(), Some("car-1"));
        let origin = letter.origin.unwrap();
        assert_eq!((origin.topic.as_str(), origin.offset), ("t", 7));
        assert_eq!(origin.key.as_deref(), Some("car-1"));
        let only: Vec<_> = origin
            .headers
            .iter()
            .filter(|(name, _)| name == ONLY_GROUP)
            .collect();
        assert_eq!(only, [&(ONLY_GROUP.to_owned(), "g".to_owned())]);
    }

    #[test]
    fn what_cannot_be_read_is_not_copied() {
        let letter = of_unreadable(&record("other", Some("{secret")), "g", reason());
        assert_eq!(letter.kept, Some(Kept::Place));
        let text = serde_json::to_string(&letter).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert!(
            text.contains("\"bytes\":7") && text.contains("\"offset\":7"),
            "{text}"
        );
    }

    #[test]
    fn a_letter_is_cut_to_every_size_and_says_so() {
        let long = format!("\"{}\"", "ä\\\"".repeat(400_000));
        let item = Item::read(record("other", Some(&long))).unwrap();
        let mut why = reason();
        why.problem = "x".repeat(100_000);
        let mut letter = of_item(&item, "g", why, 1);
        let huge = ("h".to_owned(), "y".repeat(10_000));
        letter.origin.as_mut().unwrap().headers.push(huge);
        for size in SIZES {
            let small = cut(&letter, size);
            let text = serde_json::to_string(&small).unwrap();
            assert!(text.len() <= size, "{size}: {}", text.len());
            assert!(small.reason.problem.contains("was cut"), "{size}");
            assert_eq!(small.kept, Some(Kept::Part));
            let origin = small.origin.unwrap();
            assert!(origin.headers.iter().any(|(name, _)| name == ONLY_GROUP));
            let Payload::Clear(payload) = small.payload else {
                panic!("sealed")
            };
            assert_eq!(payload["place"]["offset"], 7);
        }
        let short = of_item(
            &Item::read(record("other", Some("1"))).unwrap(),
            "g",
            reason(),
            1,
        );
        assert_eq!(cut(&short, SIZES[3]), short);
    }
}
