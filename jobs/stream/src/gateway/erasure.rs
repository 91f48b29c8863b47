//! Erasing a driver: what only the gateway can do of it. It alone can make the key of a driver, and it writes the topics by
//! which a pseudonym leads to them.
//!
//! Whoever erases begins, waits until what names the hires has come to rest ([`super::pending`]), removes the hires everywhere
//! else, and has the mapping removed last: so what broke off can be done again. The mapping of a hire that was driven
//! meanwhile stays, for what names it was not removed; its driver is erased once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use millrace_contract::audit::Action;
use millrace_contract::cloudevent::CONTENT_TYPE;
use millrace_contract::driver::Hire;
use millrace_contract::{Invalid, topics};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::access::{Role, require};
use super::answer::Refused;
use super::audit;
use super::drivers::{LONGEST_DRIVER, acknowledged, json_body};
use super::hires::WRITE_AGAIN;
use super::mark::Ends;
use crate::connect::{CompactedReader, ConnectError, Delivery, Incoming, ReadEvent, Record};

const CLIENT: &str = "millrace-gateway-erasure";
/// Whoever has hired more often than that is no person; and so many fit into a body and into the arguments of a Job.
const MOST_HIRES: usize = 20_000;
/// After that long every replica has read what this one has written, or it serves nobody.
const READ_BY_ALL: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    driver: String,
}

/// A driver, and their hires that were erased: by pseudonym, as [`begin`] told them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erased {
    driver: String,
    hires: BTreeMap<String, String>,
}

/// The key of the driver of this id.
fn key(gateway: &Gateway, driver: &str) -> Result<String, Invalid> {
    if driver.is_empty() || driver.len() > LONGEST_DRIVER {
        let problem = format!("empty or longer than {LONGEST_DRIVER} bytes");
        let cure = "send the id that telemetry names the driver by";
        return Err(Invalid::new("driver", "(not shown)", problem, cure));
    }
    Ok(gateway.secrets.pseudonym_key.driver(driver))
}

/// The key of the driver that a body names, and what is known of them; a look-up is told of before.
async fn looked_up(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
) -> Result<(String, Known), Refused> {
    let role = require(headers, &gateway.secrets, Role::Admin)?;
    let named: Named = json_body(gateway, body, "a driver").await?;
    let driver = key(gateway, &named.driver)?;
    let entry = audit::of_driver(role, Action::LookUpHires, &driver);
    audit::write(gateway, &entry).await?;
    let known = known(gateway, &driver).await?;
    Ok((driver, known))
}

/// `POST /v1/erasures/look-up`: the key of a driver, and the pseudonyms of their hires.
pub async fn look_up(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let (driver, known) = looked_up(&gateway, &headers, body).await?;
    let hires: Vec<&String> = known.hires.keys().collect();
    Ok(Json(json!({"driver": driver, "hires": hires})))
}

/// `POST /v1/erasures/begin`: the same, each hire with the place of a record that is written for it now. Whoever is driven
/// after that leaves another one, before the first event: so [`finish`] knows of them.
pub async fn begin(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let (driver, known) = looked_up(&gateway, &headers, body).await?;
    let records: Vec<(&str, Option<&[u8]>)> = known
        .hires
        .iter()
        .map(|(pseudonym, last)| (pseudonym.as_str(), Some(last.value.as_slice())))
        .collect();
    let headers = [("content-type", CONTENT_TYPE), (WRITE_AGAIN, "true")];
    let places = write(&gateway, &headers, &records).await?;
    if !places.is_empty() {
        // From here on no replica takes in an event of theirs without a new record.
        tokio::time::sleep(READ_BY_ALL).await;
    }
    let hires: BTreeMap<&String, String> = known
        .hires
        .keys()
        .zip(places)
        .map(|(pseudonym, (partition, offset))| (pseudonym, place(partition, offset)))
        .collect();
    Ok(Json(json!({"driver": driver, "hires": hires})))
}

/// `POST /v1/erasures/finish`: no pseudonym leads to the driver any more, and nothing is known of them; or nothing is
/// removed, and the answer's `left` names the hires that were not erased, or were driven since [`begin`].
pub async fn finish(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let role = require(&headers, &gateway.secrets, Role::Admin)?;
    let erased: Erased = json_body(&gateway, body, "a driver and their erased hires").await?;
    let driver = key(&gateway, &erased.driver)?;
    let known = known(&gateway, &driver).await?;
    let left = known.left(&erased.hires);
    if !left.is_empty() {
        return Ok(Json(json!({"driver": driver, "hires": 0, "left": left})));
    }
    audit::write(&gateway, &audit::of_driver(role, Action::Erase, &driver)).await?;
    let records: Vec<(&str, Option<&[u8]>)> = known
        .hires
        .keys()
        .map(|pseudonym| (pseudonym.as_str(), None))
        .collect();
    let places = write(&gateway, &[], &records).await?;
    let overtaken = overtaken(&gateway, &known, &places).await?;
    if overtaken.is_empty() {
        let forgotten = enqueue(&gateway, topics::DRIVERS, &[], (driver.as_str(), None))?;
        acknowledged(&gateway, topics::DRIVERS, vec![forgotten]).await?;
    } else {
        let records: Vec<(&str, Option<&[u8]>)> = overtaken
            .iter()
            .map(|(pseudonym, value)| (pseudonym.as_str(), Some(value.as_slice())))
            .collect();
        write(&gateway, &[("content-type", CONTENT_TYPE)], &records).await?;
    }
    let removed = known.hires.len() - overtaken.len();
    let left: Vec<&String> = overtaken.keys().collect();
    Ok(Json(
        json!({"driver": driver, "hires": removed, "left": left}),
    ))
}

fn enqueue(
    gateway: &Gateway,
    topic: &str,
    headers: &[(String, String)],
    (key, value): (&str, Option<&[u8]>),
) -> Result<Delivery, Refused> {
    let sent = gateway.producer.enqueue(topic, key, headers, value, None);
    sent.map_err(|error| Refused::Unavailable(format!("topic {topic}: {error}")))
}

/// Writes records of hires, and waits until this replica has read them, too. Gives partition and offset of each.
async fn write(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    records: &[(&str, Option<&[u8]>)],
) -> Result<Vec<(i32, i64)>, Refused> {
    let topic = topics::HIRES;
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut deliveries = Vec::with_capacity(records.len());
    for record in records {
        deliveries.push(enqueue(gateway, topic, &headers, *record)?);
    }
    let places = acknowledged(gateway, topic, deliveries).await?;
    let read = async {
        for (partition, offset) in &places {
            gateway.followed.hires.reached(*partition, *offset).await;
        }
    };
    if tokio::time::timeout(READ_BY_ALL, read).await.is_err() {
        let seconds = READ_BY_ALL.as_secs();
        let problem = format!("topic {topic}: written and not read back in {seconds} s");
        return Err(Refused::Unavailable(problem));
    }
    Ok(places)
}

fn place(partition: i32, offset: i64) -> String {
    format!("{partition}-{offset}")
}

/// The last record of a hire.
#[derive(Debug)]
struct Last {
    partition: i32,
    offset: i64,
    value: Vec<u8>,
}

/// What the topic `hires` tells of one driver.
#[derive(Debug, Default)]
struct Known {
    /// Their hires, by pseudonym.
    hires: BTreeMap<String, Last>,
    /// Up to where each partition was read.
    ends: Ends,
}

impl Known {
    fn take(&mut self, record: Record, driver: &str) {
        self.ends.insert(record.partition, record.offset + 1);
        let Some(pseudonym) = record.key_text().map(str::to_owned) else {
            return;
        };
        let value = record.payload.unwrap_or_default();
        let hire = serde_json::from_slice::<Hire>(&value);
        if hire.is_ok_and(|hire| hire.driver == driver) {
            let last = Last {
                partition: record.partition,
                offset: record.offset,
                value,
            };
            self.hires.insert(pseudonym, last);
        } else {
            self.hires.remove(&pseudonym);
        }
    }

    /// The hires that were not erased, or of which another record was written since: they were driven.
    fn left(&self, erased: &BTreeMap<String, String>) -> Vec<&String> {
        let is_left = |(pseudonym, last): &(&String, &Last)| {
            erased.get(*pseudonym) != Some(&place(last.partition, last.offset))
        };
        let left = self.hires.iter().filter(is_left);
        left.map(|(pseudonym, _)| pseudonym).collect()
    }
}

/// All hires of a driver: the whole topic is read, for nobody else keeps them together.
async fn known(gateway: &Gateway, driver: &str) -> Result<Known, Refused> {
    let unavailable = |error: ConnectError| Refused::Unavailable(error.to_string());
    let opened = CompactedReader::open(gateway.access.clone(), CLIENT, topics::HIRES, None).await;
    let mut reader = opened.map_err(unavailable)?;
    let mut known = Known::default();
    while let ReadEvent::Record(record) = reader.next().await.map_err(unavailable)? {
        known.take(record, driver);
        if known.hires.len() > MOST_HIRES {
            let problem = format!("more than {MOST_HIRES} hires");
            let cure = "see whether this id is that of a person";
            return Err(Invalid::new("driver", "(not shown)", problem, cure).into());
        }
    }
    Ok(known)
}

/// A record of a hire: pseudonym, offset, value.
type Found = (String, i64, Vec<u8>);

/// Hires that were written down between the reading of the topic and the removal of their mapping, at `places` in the order of
/// [`Known::hires`]: driven in this moment, so that their mapping has to come back.
async fn overtaken(
    gateway: &Gateway,
    known: &Known,
    places: &[(i32, i64)],
) -> Result<BTreeMap<String, Vec<u8>>, Refused> {
    let mut last = Ends::new();
    for (partition, offset) in places {
        let end = last.entry(*partition).or_insert(*offset);
        *end = (*end).max(*offset);
    }
    let mut found = Vec::new();
    for (partition, end) in last {
        let from = known.ends.get(&partition).copied().unwrap_or(0);
        let take = |record: &Incoming<'_>| -> Option<Found> {
            let pseudonym = std::str::from_utf8(record.key()?).ok()?.to_owned();
            Some((pseudonym, record.offset(), record.payload()?.to_vec()))
        };
        let spans = &gateway.spans;
        let read = spans.read(topics::HIRES, partition, from..end, take).await;
        let read = read.map_err(|error| Refused::Unavailable(error.to_string()))?;
        found.extend(read.into_iter().flatten());
    }
    let removed = known.hires.keys().map(String::as_str);
    let offsets = places.iter().map(|(_, offset)| *offset);
    Ok(before(&removed.zip(offsets).collect(), found))
}

/// Of the records that were found those of hires that were removed after them, the newest of each.
fn before(removed: &BTreeMap<&str, i64>, found: Vec<Found>) -> BTreeMap<String, Vec<u8>> {
    let is_before = |(pseudonym, offset, _): &Found| {
        let gone = removed.get(pseudonym.as_str());
        gone.is_some_and(|gone| offset < gone)
    };
    let found = found.into_iter().filter(is_before);
    found
        .map(|(pseudonym, _, value)| (pseudonym, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pseudonym: &str, offset: i64, driver: Option<&str>) -> Record {
        let hire = |driver| json!({"driver": driver, "vehicle": "car-1", "seen_at": "2026-11-30T09:00:00Z"});
        Record {
            topic: topics::HIRES.to_owned(),
            partition: 2,
            offset,
            timestamp_ms: None,
            key: Some(pseudonym.as_bytes().to_vec()),
            headers: Vec::new(),
            payload: driver.map(|driver| hire(driver).to_string().into_bytes()),
        }
    }

    fn known(records: impl IntoIterator<Item = Record>) -> Known {
        let mut known = Known::default();
        for record in records {
            known.take(record, "ann");
        }
        known
    }

    #[test]
    fn hires_that_are_not_removed_are_known_by_their_last_record() {
        let known = known([
            record("a", 0, Some("ann")),
            record("b", 1, Some("ann")),
            record("c", 2, Some("bob")),
            record("b", 3, None),
            record("a", 4, Some("ann")),
        ]);
        let hires: Vec<(&String, i64)> = known.hires.iter().map(|(p, l)| (p, l.offset)).collect();
        assert_eq!(hires, [(&"a".to_owned(), 4)]);
        assert_eq!(known.ends, Ends::from([(2, 5)]));
    }

    #[test]
    fn only_what_was_erased_and_not_driven_since_is_finished() {
        let told = [("a", "2-4"), ("b", "2-5")];
        let erased = told.map(|(hire, place)| (hire.to_owned(), place.to_owned()));
        let erased = BTreeMap::from(erased);
        let both = [record("a", 4, Some("ann")), record("b", 5, Some("ann"))];
        assert_eq!(known(both.clone()).left(&erased), [""; 0]);
        // Another replica heard of one, and of a hire that is new.
        let more = [record("a", 6, Some("ann")), record("new", 7, Some("ann"))];
        let known = known(both.into_iter().chain(more));
        assert_eq!(known.left(&erased), ["a", "new"]);
        assert_eq!(known.left(&BTreeMap::new()), ["a", "b", "new"]);
    }

    #[test]
    fn whoever_is_driven_while_their_mapping_goes_gets_it_back() {
        let removed = BTreeMap::from([("a", 10), ("b", 12)]);
        let found = |hire: &str, offset: u8| (hire.to_owned(), i64::from(offset), vec![offset]);
        let records = vec![
            found("a", 7),
            found("a", 9),
            found("b", 13),
            found("other", 8),
        ];
        let back = before(&removed, records);
        assert_eq!(back, BTreeMap::from([("a".to_owned(), vec![9])]));
    }
}
