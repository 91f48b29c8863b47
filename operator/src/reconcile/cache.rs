//! What the operator last applied, so that it writes only when something differs.
//!
//! The cache is a matter of economy only: after a restart everything is applied once, which Kubernetes answers without
//! a change where nothing differs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was applied for one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LastApply {
    /// Fingerprint of what we sent.
    pub(super) sent: String,
    /// Generation of the answer, or its resourceVersion where the kind has no generation.
    pub(super) version: String,
}

#[derive(Debug, Default)]
struct PerOwner {
    objects: HashMap<String, LastApply>,
    /// Fingerprint of the set of objects for which no orphan was left, by the name of the set.
    tidy: HashMap<&'static str, String>,
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

    pub(super) fn get(&self, owner: &str, object: &str) -> Option<LastApply> {
        self.lock().get(owner)?.objects.get(object).cloned()
    }

    pub(super) fn put(&self, owner: &str, object: &str, last: LastApply) {
        self.lock()
            .entry(owner.to_owned())
            .or_default()
            .objects
            .insert(object.to_owned(), last);
    }

    pub(super) fn is_tidy(&self, owner: &str, name: &str, set: &str) -> bool {
        let lock = self.lock();
        let tidy = lock.get(owner).and_then(|entry| entry.tidy.get(name));
        tidy.is_some_and(|tidy| tidy == set)
    }

    pub(super) fn set_tidy(&self, owner: &str, name: &'static str, set: &str) {
        let mut lock = self.lock();
        let entry = lock.entry(owner.to_owned()).or_default();
        entry.tidy.insert(name, set.to_owned());
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
