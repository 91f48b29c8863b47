//! The files of a node: settings, logging, the start script, and what it is told while it runs. Pure.

mod live;
mod metrics;
mod properties;
mod script;

use std::collections::BTreeMap;

use super::nodes::Pool;
use super::validate::ValidatedKafka;
use crate::pods::exporter;

pub use live::LIVE;
pub use metrics::METRICS;
pub use script::REFUSED;

/// Where the first volume is mounted, as in the upstream image.
pub const DATA: &str = "/var/lib/kafka/data";
/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";

/// Below this much heap a node also gets the settings that keep Kafka small.
const SMALL_HEAP_MEBIBYTES: u64 = 1024;

/// The files that a node reads at its start only: when one of them changes, the node has to be restarted.
#[must_use]
pub fn fixed(kafka: &ValidatedKafka, pool: &Pool) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "server.properties".into(),
            properties::server_properties(kafka, pool),
        ),
        (
            "log4j2.properties".into(),
            properties::log4j2_properties().into(),
        ),
        ("start.sh".into(), script::start_script(kafka, pool)),
        (exporter::FILE.into(), exporter::config(METRICS)),
    ])
}

/// What a node is told when it starts next: no node has to be restarted for it.
#[must_use]
pub fn live(kafka: &ValidatedKafka, pool: &Pool) -> BTreeMap<String, String> {
    live::entries(kafka, pool)
        .into_iter()
        .map(|(name, value)| (format!("{LIVE}{name}"), value))
        .collect()
}
