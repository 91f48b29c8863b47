//! What is seen of a cluster from inside.

use std::collections::BTreeMap;

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WorkerView {
    /// Whether it takes new tasks.
    pub enabled: bool,
    /// Tasks that it runs.
    pub tasks: usize,
}

/// What coordinators and workers say. What could not be seen is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The pod whose coordinator leads.
    pub leader: Option<String>,
    /// Segments that are to be answered for and that no historical has loaded.
    pub unavailable: Option<i64>,
    /// Copies of segments that historicals are still to load.
    pub to_load: Option<i64>,
    /// The workers, by pod.
    pub workers: BTreeMap<String, WorkerView>,
}
