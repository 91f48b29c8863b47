//! What the operator saw of servers that have no endpoint of their own, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::remote::{mongo, postgres};

/// One number: name, meaning, whether it only grows, and where it stands. Of what is not known nothing is told.
#[derive(Debug)]
struct Number<A> {
    name: &'static str,
    meaning: &'static str,
    grows: bool,
    of: fn(&A) -> Option<i64>,
}

const fn number<A>(
    name: &'static str,
    meaning: &'static str,
    grows: bool,
    of: fn(&A) -> Option<i64>,
) -> Number<A> {
    Number {
        name,
        meaning,
        grows,
        of,
    }
}

#[rustfmt::skip]
const OF_POSTGRES: &[Number<postgres::Activity>] = &[
    number("postgres_connections", "Sessions of clients that are open in a PostgreSQL", false, |a| Some(a.connections)),
    number("postgres_connections_limit", "How many there may be", false, |a| Some(a.connections_limit)),
    number("postgres_waiting_sessions", "Sessions that wait for a lock", false, |a| Some(a.waiting)),
    number("postgres_longest_transaction_seconds", "How long the oldest transaction is open", false, |a| Some(a.longest_transaction)),
    number("postgres_commits", "Transactions committed", true, |a| Some(a.commits)),
    number("postgres_rollbacks", "Transactions taken back", true, |a| Some(a.rollbacks)),
    number("postgres_deadlocks", "Transactions ended because each waited for the other", true, |a| Some(a.deadlocks)),
    number("postgres_blocks_read", "Blocks read from the volume", true, |a| Some(a.blocks_read)),
    number("postgres_blocks_hit", "Blocks found in memory", true, |a| Some(a.blocks_hit)),
];

#[rustfmt::skip]
const OF_MONGO: &[Number<mongo::Activity>] = &[
    number("mongo_connections", "Connections that are open in a member of a MongoDB", false, |a| Some(a.connections)),
    number("mongo_connections_limit", "How many connections it takes", false, |a| Some(a.connections_limit)),
    number("mongo_waiting_operations", "Operations that wait for a lock of a MongoDB", false, |a| Some(a.waiting)),
    number("mongo_resident_bytes", "Memory that a member of a MongoDB takes", false, |a| Some(a.resident)),
    number("mongo_lag_seconds", "How far a member is behind the one that is furthest ahead", false, |a| a.lag),
    number("mongo_reads", "Queries, and requests for more of their results", true, |a| Some(a.reads)),
    number("mongo_writes", "Inserts, updates and deletes", true, |a| Some(a.writes)),
    number("mongo_commands", "Other commands", true, |a| Some(a.commands)),
];

/// The numbers of what is known, by namespace and name, and by member where there are several.
type Known<A> = BTreeMap<(String, String), BTreeMap<Option<String>, A>>;

/// What is known of servers of one kind. Clones share it.
#[derive(Debug)]
pub(super) struct Servers<A: 'static> {
    numbers: &'static [Number<A>],
    known: Arc<Mutex<Known<A>>>,
}

impl<A> Clone for Servers<A> {
    fn clone(&self) -> Self {
        Self {
            numbers: self.numbers,
            known: Arc::clone(&self.known),
        }
    }
}

impl Servers<postgres::Activity> {
    /// Those of PostgreSQL.
    pub(super) fn postgres() -> Self {
        Self::of(OF_POSTGRES)
    }
}

impl Servers<mongo::Activity> {
    /// Those of MongoDB.
    pub(super) fn mongo() -> Self {
        Self::of(OF_MONGO)
    }
}

impl<A> Servers<A> {
    fn of(numbers: &'static [Number<A>]) -> Self {
        Self {
            numbers,
            known: Arc::default(),
        }
    }

    /// The servers of a resource did this, by member where there are several; of one that could not be asked nothing is known.
    pub(super) fn tell(
        &self,
        namespace: &str,
        name: &str,
        activities: impl IntoIterator<Item = (Option<String>, A)>,
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        known.insert(key, activities.into_iter().collect());
    }

    /// A resource is no more.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

impl<A: fmt::Debug + Send + 'static> Collector for Servers<A> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for number in self.numbers {
            let kind = if number.grows {
                MetricType::Counter
            } else {
                MetricType::Gauge
            };
            let mut family = encoder.encode_descriptor(number.name, number.meaning, None, kind)?;
            let each = known.iter().flat_map(|(key, members)| {
                members
                    .iter()
                    .map(move |(member, activity)| (key, member, activity))
            });
            for ((namespace, name), member, activity) in each {
                let Some(value) = (number.of)(activity) else {
                    continue;
                };
                let mut labels = vec![
                    ("object_namespace", namespace.as_str()),
                    ("object", name.as_str()),
                ];
                labels.extend(member.as_deref().map(|member| ("member", member)));
                let encoder = family.encode_family(&labels)?;
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
