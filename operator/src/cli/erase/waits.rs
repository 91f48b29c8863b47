//! What still names hires after an erasure, and until when.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use millrace_contract::topics;
use serde::Serialize;

use crate::topic::crd::KafkaTopic;

/// Topics that name hires or drivers until their time is over.
const LOGS: [&str; 7] = [
    topics::TELEMETRY,
    topics::VEHICLE_EVENTS,
    topics::ALERTS,
    topics::HIRE_SCORES,
    topics::OFFERS,
    topics::DEAD_LETTERS,
    topics::AUDIT,
];
/// Kafka's `segment.ms` where a topic has none, in milliseconds.
const SEGMENT_MILLISECONDS: i64 = 604_800_000;
const DAY_MILLISECONDS: i64 = 86_400_000;

/// A place that still names hires or the driver's key.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Waiting {
    /// Where.
    pub place: String,
    /// For how long, in words.
    pub until: String,
    /// The day (UTC) by whose end nothing of it is left, where that is known.
    pub latest: Option<String>,
}

/// The places of a platform.
pub(super) async fn waits(
    client: &Client,
    namespace: &str,
    platform: &str,
    has_openwhisk: bool,
) -> anyhow::Result<Vec<Waiting>> {
    let api: Api<KafkaTopic> = Api::namespaced(client.clone(), namespace);
    let now = Timestamp::now();
    let mut waits = Vec::new();
    for topic in LOGS {
        let Some(found) = api.get_opt(&format!("{platform}-{topic}")).await? else {
            continue;
        };
        waits.push(log(topic, &found.spec.config, now));
    }
    let state = topics::DETECT_STATE;
    if api.get_opt(&format!("{platform}-{state}")).await?.is_some() {
        waits.push(Waiting {
            place: format!("kafka: {state}"),
            until: "until events that were held back (of a vehicle with a gap in its numbers) have passed or were given up, and the next compaction after that".to_owned(),
            latest: None,
        });
    }
    if has_openwhisk {
        waits.push(Waiting {
            place: "openwhisk: records of activations".to_owned(),
            until: "as long as OpenWhisk keeps them".to_owned(),
            latest: None,
        });
    }
    Ok(waits)
}

/// What waits in a topic of this configuration. A segment goes as a whole, after its last record: the first one stays for as
/// long as the segment was written, too.
fn log(topic: &str, config: &BTreeMap<String, String>, now: Timestamp) -> Waiting {
    let milliseconds = |name: &str| config.get(name)?.parse::<i64>().ok();
    let retention = milliseconds("retention.ms").filter(|kept| *kept >= 0);
    let segment = milliseconds("segment.ms").unwrap_or(SEGMENT_MILLISECONDS);
    let place = format!("kafka: {topic}");
    let Some(retention) = retention else {
        return Waiting {
            place,
            until: "what the broker keeps it for".to_owned(),
            latest: None,
        };
    };
    let longest = SignedDuration::from_millis(retention.saturating_add(segment));
    let latest = now.checked_add(longest).ok();
    let days = |milliseconds: i64| milliseconds / DAY_MILLISECONDS;
    Waiting {
        place,
        until: format!(
            "{} days after its segment's last record; a segment is written for {} days at the longest",
            days(retention),
            days(segment)
        ),
        latest: latest.map(|end| end.to_zoned(TimeZone::UTC).date().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_gone_after_its_retention_and_the_time_of_a_segment() {
        let now: Timestamp = "2026-11-30T09:30:00Z".parse().unwrap();
        let config = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            let entries = entries.iter();
            entries
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let week = log("alerts", &config(&[("retention.ms", "604800000")]), now);
        assert_eq!(week.place, "kafka: alerts");
        assert_eq!(week.latest.as_deref(), Some("2026-12-14"));
        assert!(week.until.starts_with("7 days"), "{}", week.until);
        let short = [("retention.ms", "86400000"), ("segment.ms", "86400000")];
        let short = log("alerts", &config(&short), now);
        assert_eq!(short.latest.as_deref(), Some("2026-12-02"));
        let (forever, never) = ([("retention.ms", "-1")], i64::MAX.to_string());
        for unknown in [config(&[]), config(&forever)] {
            let unknown = log("alerts", &unknown, now);
            assert_eq!(unknown.latest, None);
            assert!(unknown.until.contains("broker"), "{}", unknown.until);
        }
        let endless = log("alerts", &config(&[("retention.ms", &never)]), now);
        assert_eq!(endless.latest, None);
    }
}
