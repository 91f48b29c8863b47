//! What the operator last applied, so that it writes only when something differs.
//!
//! The cache is a matter of economy only: after a restart everything is applied once, which Kubernetes answers without
//! a change where nothing differs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::owner::parts;

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
    /// When it is to be looked at again.
    due: Option<Instant>,
    /// What a look at something costly came to, and the fingerprint of what was looked at.
    seen: Option<Box<(String, Option<String>)>>,
}

/// What the operator last applied, by owner.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Owners>);

// Boxed, since half of a table that grows is empty.
type Owners = HashMap<Box<str>, Box<PerOwner>>;

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Owners> {
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
        let objects = &mut lock.entry(owner.into()).or_default().objects;
        objects.retain(|(of, _)| *of != object);
        objects.reserve_exact(1);
        objects.push((object, last));
    }

    pub(super) fn is_tidy(&self, owner: &str, name: &str, set: u64) -> bool {
        let lock = self.lock();
        lock.get(owner)
            .is_some_and(|entry| entry.tidy.contains(&(name, set)))
    }

    pub(super) fn set_tidy(&self, owner: &str, name: &'static str, set: u64) {
        let mut lock = self.lock();
        let tidy = &mut lock.entry(owner.into()).or_default().tidy;
        tidy.retain(|(of, _)| *of != name);
        tidy.reserve_exact(1);
        tidy.push((name, set));
    }

    pub(super) fn settled(&self, owner: &str) -> Option<Settled> {
        self.lock().get(owner)?.settled.clone()
    }

    pub(super) fn set_settled(&self, owner: &str, settled: Option<Settled>) {
        self.lock().entry(owner.into()).or_default().settled = settled;
    }

    /// Notes the resourceVersion that an owner has got by a status of ours.
    pub fn wrote_status(&self, owner: &str, resource_version: u64) {
        let mut lock = self.lock();
        lock.entry(owner.into()).or_default().status = Some((resource_version, Instant::now()));
    }

    /// The resourceVersion that an owner got by our last status, and how long ago that was.
    #[must_use]
    pub fn status_written(&self, owner: &str) -> Option<(u64, Duration)> {
        let (version, at) = self.lock().get(owner)?.status?;
        Some((version, at.elapsed()))
    }

    /// Notes after which time an owner is to be looked at again; `None`: not by [`Cache::take_due`].
    pub fn set_due(&self, owner: &str, after: Option<Duration>) {
        let due = after.and_then(|after| Instant::now().checked_add(after));
        let mut lock = self.lock();
        match lock.get_mut(owner) {
            Some(entry) => entry.due = due,
            None if due.is_some() => lock.entry(owner.into()).or_default().due = due,
            None => {}
        }
    }

    /// Namespaces and names of the owners of a kind, in one namespace or all, that are due. Each is given once.
    #[must_use]
    pub fn take_due(&self, kind: &str, scope: Option<&str>) -> Vec<(String, String)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (owner, entry) in self.lock().iter_mut() {
            if entry.due.is_none_or(|at| at > now) {
                continue;
            }
            if let Some((of, namespace, name)) = parts(owner)
                && of == kind
                && scope.is_none_or(|scope| scope == namespace)
            {
                entry.due = None;
                due.push((namespace.to_owned(), name.to_owned()));
            }
        }
        due
    }

    /// What a costly look came to, if what was looked at has this fingerprint.
    #[must_use]
    pub fn seen(&self, owner: &str, fingerprint: &str) -> Option<Option<String>> {
        let lock = self.lock();
        let (of, came_to) = lock.get(owner)?.seen.as_deref()?;
        (of == fingerprint).then(|| came_to.clone())
    }

    /// Remembers what a costly look came to.
    pub fn set_seen(&self, owner: &str, fingerprint: String, came_to: Option<String>) {
        self.lock().entry(owner.into()).or_default().seen = Some(Box::new((fingerprint, came_to)));
    }

    /// Forgets an owner that is gone.
    pub fn forget(&self, owner: &str) {
        self.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::super::owner::key;
    use super::*;

    #[test]
    fn who_is_due_is_given_once_to_those_who_ask_for_the_kind_and_namespace() {
        let cache = Cache::default();
        let now = Some(Duration::ZERO);
        cache.set_due(&key("StreamJob", "a", "x"), now);
        cache.set_due(&key("StreamJob", "b", "y"), now);
        cache.set_due(
            &key("StreamJob", "a", "later"),
            Some(Duration::from_secs(600)),
        );
        cache.set_due(&key("KafkaTopic", "a", "x"), now);
        cache.set_due(&key("StreamJob", "a", "soon"), now);
        cache.set_due(&key("StreamJob", "a", "soon"), None);
        let pair = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        assert_eq!(cache.take_due("StreamJob", Some("a")), [pair("a", "x")]);
        assert_eq!(cache.take_due("StreamJob", None), [pair("b", "y")]);
        assert_eq!(cache.take_due("StreamJob", None), []);
        assert_eq!(cache.take_due("KafkaTopic", None), [pair("a", "x")]);
    }
}
