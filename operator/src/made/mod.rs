//! What the operator has made, as its watches show it: one watch of each kind for all reconcilers.
//!
//! A reconcile whose objects have not changed since it was last through asks Kubernetes for nothing, see
//! [`apply`](crate::reconcile::apply). Of each object little more is kept than a fingerprint, since ten thousand jobs have
//! forty thousand of them. The watches tell reconcilers of what has become of their objects, too; what a reconcile did
//! itself is no news to it.
//!
//! Where there is no watch, or it fails, nothing is known, and Kubernetes is asked.

mod index;
mod seen;
mod watch;

use std::hash::{BuildHasher, RandomState};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::Stream;
use futures::channel::mpsc::unbounded;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;

use crate::context::resource_version;
use crate::reconcile::OWNER_LABEL;

use index::{Index, Listener, Record, Watch};
use seen::Seen;
pub use seen::version;
pub use watch::watch;

/// The index of what the operator has made.
#[derive(Debug)]
pub struct Made {
    index: Mutex<Index>,
    hasher: RandomState,
    // What the times of records count from.
    began: Instant,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            index: Mutex::default(),
            hasher: RandomState::default(),
            began: Instant::now(),
        }
    }
}

/// A custom resource, one of whose objects has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Made {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The present second, counted from 1.
    fn second(&self) -> NonZeroU32 {
        let passed = u32::try_from(self.began.elapsed().as_secs());
        NonZeroU32::MIN.saturating_add(passed.unwrap_or(u32::MAX))
    }

    /// What becomes of the objects of custom resources of this kind, in this namespace or all.
    pub fn listen(&self, kind: &str, scope: Option<&str>) -> impl Stream<Item = Changed> + use<> {
        let (tell, told) = unbounded();
        self.lock().listeners.push(Listener {
            kind: kind.to_owned(),
            scope: scope.map(str::to_owned),
            tell,
        });
        told
    }

    fn add(&self, kind: &str, scope: Option<&str>) -> usize {
        let mut index = self.lock();
        index.watches.push(Watch {
            kind: kind.to_owned(),
            scope: scope.map(str::to_owned),
            epoch: 0,
            listed: false,
            failing: false,
        });
        index.watches.len() - 1
    }

    fn fails(&self, watch: usize) {
        self.lock().watches[watch].failing = true;
    }

    fn take(&self, watch: usize, event: Event<Seen>) {
        let mut index = self.lock();
        index.watches[watch].failing = false;
        match event {
            Event::Init => index.watches[watch].epoch += 1,
            Event::InitDone => {
                index.watches[watch].listed = true;
                index.prune(watch);
            }
            Event::InitApply(seen) | Event::Apply(seen) => {
                if self.show(&mut index, watch, &seen, None) {
                    index.tell(&seen);
                }
            }
            Event::Delete(seen) => {
                if self.remove(&mut index, watch, &seen) {
                    index.tell(&seen);
                }
            }
        }
    }

    /// Takes in an object that was read or written by other means than the watch. Kinds that are not watched are not kept.
    pub(crate) fn remember(&self, kind: &str, object: &DynamicObject) {
        let seen = Seen::of(object);
        let namespace = seen.metadata.namespace.as_deref().unwrap_or_default();
        let mut index = self.lock();
        if let Some(watch) = index.watch_of(kind, namespace) {
            self.show(&mut index, watch, &seen, Some(self.second()));
        }
    }

    // Whether this is news.
    fn show(
        &self,
        index: &mut Index,
        watch: usize,
        seen: &Seen,
        written: Option<NonZeroU32>,
    ) -> bool {
        let Some((owner, object)) = self.keys(watch, seen) else {
            return false;
        };
        let before = index.names.insert(object, owner);
        if let Some(former) = before.filter(|former| *former != owner) {
            index.drop_record(former, object);
        }
        let (kind, epoch) = (
            index.watches[watch].kind.clone(),
            index.watches[watch].epoch,
        );
        let resource_version = version_number(seen);
        let records = index.owners.entry(owner).or_default();
        let record = match records.iter_mut().find(|record| record.object == object) {
            Some(record) => record,
            None => {
                // Few, and of ten thousand owners.
                records.reserve_exact(1);
                records.push(Record {
                    object,
                    watch,
                    version: 0,
                    resource_version: None,
                    summary: None,
                    epoch,
                    written,
                });
                let last = records.len() - 1;
                &mut records[last]
            }
        };
        record.epoch = epoch;
        if resource_version.is_some() && resource_version <= record.resource_version {
            if written.is_none() && resource_version == record.resource_version {
                record.written = None;
            }
            return false;
        }
        record.written = written;
        record.version = version(&seen.metadata);
        record.resource_version = resource_version;
        record.summary = seen.summary(&kind);
        true
    }

    fn remove(&self, index: &mut Index, watch: usize, seen: &Seen) -> bool {
        let Some((owner, object)) = self.keys(watch, seen) else {
            return false;
        };
        // With the label changed, it is kept under what the label was.
        let owner = index.names.get(&object).copied().unwrap_or(owner);
        let at = version_number(seen);
        let mut records = index.owners.get(&owner).into_iter().flatten();
        let newer = records.any(|r| r.object == object && at.is_some() && r.resource_version > at);
        if newer {
            return false;
        }
        index.names.remove(&object);
        index.drop_record(owner, object);
        true
    }

    // Owner, and what its owner is found by.
    fn keys(&self, watch: usize, seen: &Seen) -> Option<(u64, u64)> {
        let meta = &seen.metadata;
        let uid = meta.labels.as_ref()?.get(OWNER_LABEL)?;
        let object = self.object(watch, meta.namespace.as_deref(), meta.name.as_deref()?);
        Some((self.hasher.hash_one(uid.as_str()), object))
    }

    fn object(&self, watch: usize, namespace: Option<&str>, name: &str) -> u64 {
        self.hasher.hash_one((watch, namespace, name))
    }

    /// Whether all objects of a kind that bear an owner's label have one of these names; `None` when that is not known.
    pub(crate) fn has_only<'a>(
        &self,
        uid: &str,
        kind: &str,
        namespace: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Option<bool> {
        let index = self.lock();
        let watch = index.watch_of(kind, namespace)?;
        index.watches[watch].is_sound().then(|| {
            let objects: Vec<u64> = names
                .map(|name| self.object(watch, Some(namespace), name))
                .collect();
            let records = index.owners.get(&self.hasher.hash_one(uid));
            let mut records = records.into_iter().flatten();
            records.all(|record| record.watch != watch || objects.contains(&record.object))
        })
    }

    /// Whether the watch of this kind is sound and shows no object of this name that the operator has made.
    pub(crate) fn lacks(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let index = self.lock();
        let Some(watch) = index.watch_of(kind, namespace) else {
            return false;
        };
        let object = self.object(watch, Some(namespace), name);
        index.watches[watch].is_sound() && !index.names.contains_key(&object)
    }

    /// The objects, given as kind and name, in so far as reconcilers read them, if all of them are known and of these
    /// versions.
    pub(crate) fn unchanged<'a>(
        &self,
        uid: &str,
        namespace: &str,
        objects: impl Iterator<Item = (&'a str, &'a str)>,
        versions: &[u64],
    ) -> Option<Vec<Value>> {
        let mut summaries = Vec::with_capacity(versions.len());
        let now = self.second();
        {
            let index = self.lock();
            let records = index.owners.get(&self.hasher.hash_one(uid))?;
            let mut versions = versions.iter();
            for (kind, name) in objects {
                let watch = index.watch_of(kind, namespace)?;
                let object = self.object(watch, Some(namespace), name);
                let record = index.sound(records, watch, object, now)?;
                if versions.next() != Some(&record.version) {
                    return None;
                }
                summaries.push((name, record.summary.clone()?));
            }
            if versions.next().is_some() {
                return None;
            }
        }
        let bodies = summaries.into_iter();
        Some(bodies.map(|(name, summary)| summary.body(name)).collect())
    }
}

// No object has the version 0.
fn version_number(seen: &Seen) -> Option<NonZeroU64> {
    resource_version(&seen.metadata).and_then(NonZeroU64::new)
}

#[cfg(test)]
mod tests;
