//! What the operator has made, as its watches show it: one watch of each kind for all reconcilers.
//!
//! A reconcile whose objects have not changed since it was last through asks Kubernetes for nothing, see
//! [`apply`](crate::reconcile::apply). Of each object little more is kept than a fingerprint, since ten thousand jobs have
//! forty thousand of them. The watches tell reconcilers of what has become of their objects, too; what a reconcile did
//! itself is no news to it.
//!
//! Where there is no watch, or it fails, nothing is known, and Kubernetes is asked.

mod seen;
mod watch;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::Stream;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;

use crate::context::resource_version;
use crate::reconcile::OWNER_LABEL;
use crate::types::GROUP;

pub use seen::version;
use seen::{Seen, Summary};
pub use watch::watch;

/// What was written and is not shown by the watch after this time may be gone again.
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// The index of what the operator has made.
#[derive(Debug, Default)]
pub struct Made {
    index: Mutex<Index>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Index {
    watches: Vec<Watch>,
    // By owner, the uid of a custom resource.
    owners: HashMap<u64, Vec<Record>>,
    // The owner of each object, by watch, namespace and name.
    names: HashMap<u64, u64>,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Watch {
    kind: String,
    scope: Option<String>,
    epoch: u32,
    listed: bool,
    failing: bool,
}

#[derive(Debug)]
struct Record {
    // As in `names`.
    object: u64,
    watch: usize,
    epoch: u32,
    name: Box<str>,
    version: u64,
    resource_version: Option<u64>,
    // When we wrote it, until the watch shows it.
    written: Option<Instant>,
    summary: Option<Summary>,
}

#[derive(Debug)]
struct Listener {
    kind: String,
    scope: Option<String>,
    tell: UnboundedSender<Changed>,
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
            self.show(&mut index, watch, &seen, Some(Instant::now()));
        }
    }

    // Whether this is news.
    fn show(&self, index: &mut Index, watch: usize, seen: &Seen, written: Option<Instant>) -> bool {
        let Some((owner, name, object)) = self.keys(watch, seen) else {
            return false;
        };
        let before = index.names.insert(object, owner);
        if let Some(former) = before.filter(|former| *former != owner) {
            index.drop_record(former, watch, name);
        }
        let (kind, epoch) = (
            index.watches[watch].kind.clone(),
            index.watches[watch].epoch,
        );
        let resource_version = resource_version(&seen.metadata);
        let records = index.owners.entry(owner).or_default();
        let of_object = |record: &&mut Record| record.watch == watch && *record.name == *name;
        let record = match records.iter_mut().find(of_object) {
            Some(record) => record,
            None => {
                // Few, and of ten thousand owners.
                records.reserve_exact(1);
                records.push(Record {
                    object,
                    watch,
                    epoch,
                    name: name.into(),
                    version: 0,
                    resource_version: None,
                    written,
                    summary: None,
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
        let Some((owner, name, object)) = self.keys(watch, seen) else {
            return false;
        };
        // With the label changed, it is kept under what the label was.
        let owner = index.names.get(&object).copied().unwrap_or(owner);
        let at = resource_version(&seen.metadata);
        let newer = index.owners.get(&owner).into_iter().flatten().any(|r| {
            r.watch == watch && *r.name == *name && at.is_some() && r.resource_version > at
        });
        if newer {
            return false;
        }
        index.names.remove(&object);
        index.drop_record(owner, watch, name);
        true
    }

    // Owner, name, and what its owner is found by.
    fn keys<'a>(&self, watch: usize, seen: &'a Seen) -> Option<(u64, &'a str, u64)> {
        let meta = &seen.metadata;
        let uid = meta.labels.as_ref()?.get(OWNER_LABEL)?;
        let name = meta.name.as_deref()?;
        let object = self
            .hasher
            .hash_one((watch, meta.namespace.as_deref(), name));
        Some((self.hasher.hash_one(uid.as_str()), name, object))
    }

    /// The names of the objects of a kind that bear an owner's label; `None` when that is not known.
    pub(crate) fn names(&self, uid: &str, kind: &str, namespace: &str) -> Option<Vec<String>> {
        let index = self.lock();
        let watch = index.watch_of(kind, namespace)?;
        index.watches[watch].is_sound().then(|| {
            let records = index.owners.get(&self.hasher.hash_one(uid));
            let records = records.into_iter().flatten();
            records
                .filter(|record| record.watch == watch)
                .map(|record| record.name.to_string())
                .collect()
        })
    }

    /// Whether the watch of this kind is sound and shows no object of this name that the operator has made.
    pub(crate) fn lacks(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let index = self.lock();
        let Some(watch) = index.watch_of(kind, namespace) else {
            return false;
        };
        let object = self.hasher.hash_one((watch, Some(namespace), name));
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
        {
            let index = self.lock();
            let records = index.owners.get(&self.hasher.hash_one(uid))?;
            let mut versions = versions.iter();
            for (kind, name) in objects {
                let watch = index.watch_of(kind, namespace)?;
                let record = index.sound(records, watch, name)?;
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

impl Watch {
    fn is_sound(&self) -> bool {
        self.listed && !self.failing
    }
}

impl Index {
    fn watch_of(&self, kind: &str, namespace: &str) -> Option<usize> {
        self.watches.iter().position(|watch| {
            watch.kind == kind
                && watch
                    .scope
                    .as_deref()
                    .is_none_or(|scope| scope == namespace)
        })
    }

    fn sound<'a>(&self, records: &'a [Record], watch: usize, name: &str) -> Option<&'a Record> {
        let mut found = records.iter();
        let record = found.find(|record| record.watch == watch && *record.name == *name)?;
        let confirmed = record.written.is_none_or(|at| at.elapsed() < UNCONFIRMED);
        (self.watches[watch].is_sound() && confirmed).then_some(record)
    }

    fn drop_record(&mut self, owner: u64, watch: usize, name: &str) {
        if let Some(records) = self.owners.get_mut(&owner) {
            records.retain(|record| record.watch != watch || *record.name != *name);
            if records.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    // What a new list did not show is gone.
    fn prune(&mut self, watch: usize) {
        let epoch = self.watches[watch].epoch;
        let names = &mut self.names;
        self.owners.retain(|_, records| {
            records.retain(|record| {
                let kept = record.watch != watch || record.epoch == epoch;
                if !kept {
                    names.remove(&record.object);
                }
                kept
            });
            !records.is_empty()
        });
    }

    fn tell(&mut self, seen: &Seen) {
        let meta = &seen.metadata;
        let mut owners = meta.owner_references.iter().flatten();
        let group = format!("{GROUP}/");
        let Some(owner) = owners
            .find(|owner| owner.controller == Some(true) && owner.api_version.starts_with(&group))
        else {
            return;
        };
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        for listener in &self.listeners {
            let in_scope = listener.scope.as_deref().is_none_or(|s| s == namespace);
            if listener.kind == owner.kind && in_scope {
                // A controller that has ended hears nothing.
                let _ = listener.tell.unbounded_send(Changed {
                    namespace: namespace.to_owned(),
                    name: owner.name.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
