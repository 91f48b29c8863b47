//! What is known of the objects, by owner.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;

use super::Changed;
use super::seen::{Seen, Summary};
use crate::types::GROUP;

/// What was written and is not shown by the watch after this time may be gone again.
const UNCONFIRMED: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) watches: Vec<Watch>,
    // By owner, the uid of a custom resource.
    pub(super) owners: HashMap<u64, Vec<Record>>,
    // The owner of each object, by a hash of watch, namespace and name.
    pub(super) names: HashMap<u64, u64>,
    pub(super) listeners: Vec<Listener>,
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) kind: String,
    pub(super) scope: Option<String>,
    pub(super) epoch: u32,
    pub(super) listed: bool,
    pub(super) failing: bool,
}

// Of forty thousand objects each byte counts: the name stands in `object` alone.
#[derive(Debug)]
pub(super) struct Record {
    // As in `names`.
    pub(super) object: u64,
    pub(super) watch: usize,
    pub(super) version: u64,
    pub(super) resource_version: Option<NonZeroU64>,
    pub(super) summary: Option<Summary>,
    pub(super) epoch: u32,
    // In which second we wrote it, until the watch shows it.
    pub(super) written: Option<NonZeroU32>,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) kind: String,
    pub(super) scope: Option<String>,
    pub(super) tell: UnboundedSender<Changed>,
}

impl Watch {
    pub(super) fn is_sound(&self) -> bool {
        self.listed && !self.failing
    }
}

impl Index {
    pub(super) fn watch_of(&self, kind: &str, namespace: &str) -> Option<usize> {
        self.watches.iter().position(|watch| {
            watch.kind == kind
                && watch
                    .scope
                    .as_deref()
                    .is_none_or(|scope| scope == namespace)
        })
    }

    pub(super) fn sound<'a>(
        &self,
        records: &'a [Record],
        watch: usize,
        object: u64,
        now: NonZeroU32,
    ) -> Option<&'a Record> {
        let record = records.iter().find(|record| record.object == object)?;
        let passed = |at: NonZeroU32| u64::from(now.get().saturating_sub(at.get()));
        let confirmed = record
            .written
            .is_none_or(|at| passed(at) < UNCONFIRMED.as_secs());
        (self.watches[watch].is_sound() && confirmed).then_some(record)
    }

    pub(super) fn drop_record(&mut self, owner: u64, object: u64) {
        if let Some(records) = self.owners.get_mut(&owner) {
            records.retain(|record| record.object != object);
            if records.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    // What a new list did not show is gone.
    pub(super) fn prune(&mut self, watch: usize) {
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

    pub(super) fn tell(&mut self, seen: &Seen) {
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
