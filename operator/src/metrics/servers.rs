//! What the operator saw of servers that have no endpoint of their own, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::remote::postgres::Activity;

/// One number: name, meaning, whether it only grows, and where it stands.
struct Number {
    name: &'static str,
    meaning: &'static str,
    grows: bool,
    of: fn(&Activity) -> i64,
}

const fn number(
    name: &'static str,
    meaning: &'static str,
    grows: bool,
    of: fn(&Activity) -> i64,
) -> Number {
    Number {
        name,
        meaning,
        grows,
        of,
    }
}

#[rustfmt::skip]
const NUMBERS: &[Number] = &[
    number("postgres_connections", "Sessions of clients that are open in a PostgreSQL", false, |a| a.connections),
    number("postgres_connections_limit", "How many there may be", false, |a| a.connections_limit),
    number("postgres_waiting_sessions", "Sessions that wait for a lock", false, |a| a.waiting),
    number("postgres_longest_transaction_seconds", "How long the oldest transaction is open", false, |a| a.longest_transaction),
    number("postgres_commits", "Transactions committed", true, |a| a.commits),
    number("postgres_rollbacks", "Transactions taken back", true, |a| a.rollbacks),
    number("postgres_deadlocks", "Transactions ended because each waited for the other", true, |a| a.deadlocks),
    number("postgres_blocks_read", "Blocks read from the volume", true, |a| a.blocks_read),
    number("postgres_blocks_hit", "Blocks found in memory", true, |a| a.blocks_hit),
];

/// What is known of servers, by namespace and name. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    known: Arc<Mutex<BTreeMap<(String, String), Activity>>>,
}

impl Servers {
    /// A PostgreSQL did this; nothing when it could not be asked.
    pub(super) fn tell(&self, namespace: &str, name: &str, activity: Option<Activity>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        match activity {
            Some(activity) => drop(known.insert(key, activity)),
            None => drop(known.remove(&key)),
        }
    }
}

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for number in NUMBERS {
            let kind = if number.grows {
                MetricType::Counter
            } else {
                MetricType::Gauge
            };
            let mut family = encoder.encode_descriptor(number.name, number.meaning, None, kind)?;
            for ((namespace, name), activity) in known.iter() {
                let labels = [
                    ("object_namespace", namespace.as_str()),
                    ("object", name.as_str()),
                ];
                let (value, encoder) = ((number.of)(activity), family.encode_family(&labels)?);
                if number.grows {
                    ConstCounter::new(u64::try_from(value).unwrap_or(0)).encode(encoder)?;
                } else {
                    ConstGauge::new(value).encode(encoder)?;
                }
            }
        }
        Ok(())
    }
}
