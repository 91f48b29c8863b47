//! What the operator last applied, so that it writes only when something differs.
//!
//! The cache is a matter of economy only: after a restart everything is applied once, which Kubernetes answers without
//! a change where nothing differs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was applied for one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LastApply {
    /// Fingerprint of what we sent.
    pub(super) sent: u64,
    /// Generation of the answer, or its resourceVersion where the kind has no generation.
    pub(super) version: u64,
}

/// A set of objects of which nothing had to be written or waited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settled {
    /// Fingerprint of what was built.
    pub(super) built: u64,
    /// The [`version`](crate::made::version) of each object.
    pub(super) versions: Box<[u64]>,
}

#[derive(Debug, Default)]
struct PerOwner {
    /// By fingerprint of kind and name.
    objects: Vec<(u64, LastApply)>,
    /// Fingerprint of the set of objects for which no orphan was left, by the name of the set.
    tidy: Vec<(&'static str, u64)>,
    settled: Option<Settled>,
    /// The resourceVersion of the owner after we wrote its status, and when that was.
    status: Option<(u64, Instant)>,
    /// What a look at something costly came to, and the fingerprint of what was looked at.
    seen: Option<(String, Option<String>)>,
}

/// What the operator last applied, by owner.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<String, PerOwner>>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, PerOwner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, owner: &str, object: u64) -> Option<LastApply> {
        let lock = self.lock();
        let mut objects = lock.get(owner)?.objects.iter();
        objects
            .find(|(of, _)| *of == object)
            .map(|(_, last)| last.clone())
    }

    pub(super) fn put(&self, owner: &str, object: u64, last: LastApply) {
        let mut lock = self.lock();
        let objects = &mut lock.entry(owner.to_owned()).or_default().objects;
        objects.retain(|(of, _)| *of != object);
        objects.push((object, last));
    }

    pub(super) fn is_tidy(&self, owner: &str, name: &str, set: u64) -> bool {
        let lock = self.lock();
        lock.get(owner)
            .is_some_and(|entry| entry.tidy.contains(&(name, set)))
    }

    pub(super) fn set_tidy(&self, owner: &str, name: &'static str, set: u64) {
        let mut lock = self.lock();
        let tidy = &mut lock.entry(owner.to_owned()).or_default().tidy;
        tidy.retain(|(of, _)| *of != name);
        tidy.push((name, set));
    }

    pub(super) fn settled(&self, owner: &str) -> Option<Settled> {
        self.lock().get(owner)?.settled.clone()
    }

    pub(super) fn set_settled(&self, owner: &str, settled: Option<Settled>) {
        self.lock().entry(owner.to_owned()).or_default().settled = settled;
    }

    /// Notes the resourceVersion that an owner has got by a status of ours.
    pub fn wrote_status(&self, owner: &str, resource_version: u64) {
        let mut lock = self.lock();
        lock.entry(owner.to_owned()).or_default().status = Some((resource_version, Instant::now()));
    }

    /// The resourceVersion that an owner got by our last status, and how long ago that was.
    #[must_use]
    pub fn status_written(&self, owner: &str) -> Option<(u64, Duration)> {
        let (version, at) = self.lock().get(owner)?.status?;
        Some((version, at.elapsed()))
    }

    /// What a costly look came to, if what was looked at has this fingerprint.
    #[must_use]
    pub fn seen(&self, owner: &str, fingerprint: &str) -> Option<Option<String>> {
        let lock = self.lock();
        let (of, came_to) = lock.get(owner)?.seen.as_ref()?;
        (of == fingerprint).then(|| came_to.clone())
    }

    /// Remembers what a costly look came to.
    pub fn set_seen(&self, owner: &str, fingerprint: String, came_to: Option<String>) {
        self.lock().entry(owner.to_owned()).or_default().seen = Some((fingerprint, came_to));
    }

    /// Forgets an owner that is gone.
    pub fn forget(&self, owner: &str) {
        self.lock().remove(owner);
    }
}
