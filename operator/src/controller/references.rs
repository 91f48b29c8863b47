//! Who refers to what: with thousands of objects, nobody can be asked at each change whether it is meant.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use super::Kept;

/// The names to which custom resources refer, each in its own namespace.
///
/// It says who has to be looked at, and may say too much: of an object that is gone, or of one that refers to something
/// of the same name and another kind.
#[derive(Debug, Default)]
pub struct References {
    index: Mutex<Index>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Index {
    // What an object refers to.
    of: HashMap<u64, Box<[u64]>>,
    // The names of those that refer to something.
    to: HashMap<u64, Vec<Box<str>>>,
}

impl References {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes to what an object of a kind refers now.
    pub(super) fn note(&self, kind: &str, namespace: &str, name: &str, refers: &[String]) {
        let object = self.hasher.hash_one((kind, namespace, name));
        let mut targets: Vec<u64> = refers
            .iter()
            .map(|target| self.hasher.hash_one((kind, namespace, target)))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let mut index = self.lock();
        let before = index.of.get(&object).map(AsRef::as_ref).unwrap_or_default();
        if before == targets {
            return;
        }
        for target in index.of.remove(&object).unwrap_or_default() {
            if let Some(names) = index.to.get_mut(&target) {
                names.retain(|referrer| **referrer != *name);
                if names.is_empty() {
                    index.to.remove(&target);
                }
            }
        }
        for target in &targets {
            index.to.entry(*target).or_default().push(name.into());
        }
        if !targets.is_empty() {
            index.of.insert(object, targets.into());
        }
    }

    /// The objects of a kind that refer to this name.
    pub fn to<K: Resource<DynamicType = ()>>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Vec<ObjectRef<Kept<K>>> {
        let namespace = namespace.unwrap_or_default();
        let target = self
            .hasher
            .hash_one((K::kind(&()).as_ref(), namespace, name));
        let index = self.lock();
        let names = index.to.get(&target).into_iter().flatten();
        names
            .map(|name| ObjectRef::new(name).within(namespace))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::crd::StreamJob;

    fn to(references: &References, namespace: &str, name: &str) -> Vec<String> {
        let found = references.to::<StreamJob>(Some(namespace), name);
        found.into_iter().map(|object| object.name).collect()
    }

    #[test]
    fn a_change_of_what_is_referred_to_is_followed() {
        let references = References::default();
        let note = |kind: &str, namespace: &str, name: &str, refers: &[&str]| {
            let refers: Vec<String> = refers.iter().map(|&target| target.to_owned()).collect();
            references.note(kind, namespace, name, &refers);
        };
        note("StreamJob", "n", "a", &["s", "t", "s"]);
        note("StreamJob", "n", "b", &["s"]);
        note("StreamJob", "m", "c", &["s"]);
        note("Platform", "n", "p", &["s"]);
        assert_eq!(to(&references, "n", "s"), ["a", "b"]);
        assert_eq!(to(&references, "n", "t"), ["a"]);
        note("StreamJob", "n", "a", &["t"]);
        assert_eq!(to(&references, "n", "s"), ["b"]);
        note("StreamJob", "n", "a", &[]);
        note("StreamJob", "n", "b", &[]);
        note("StreamJob", "m", "c", &[]);
        note("Platform", "n", "p", &[]);
        let index = references.lock();
        assert!(index.of.is_empty() && index.to.is_empty(), "{index:?}");
    }
}
