//! Small entities of one kind: one JSON file each, all of them in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::link::{Rule, Trigger};
use crate::name::FullName;
use crate::package::Package;
use crate::put::code_digest;
use crate::store::{StoreError, create_directory, files, remove_durably, write_durably};

/// What can be kept.
pub trait Entity: Serialize + DeserializeOwned {
    /// The directory of its kind.
    const DIRECTORY: &'static str;
    /// Its name.
    fn full_name(&self) -> FullName;
    /// Time of its last change, ms since 1970.
    fn updated(&self) -> i64;
}

impl Entity for Trigger {
    const DIRECTORY: &'static str = "triggers";

    fn full_name(&self) -> FullName {
        Trigger::full_name(self)
    }

    fn updated(&self) -> i64 {
        self.updated
    }
}

impl Entity for Rule {
    const DIRECTORY: &'static str = "rules";

    fn full_name(&self) -> FullName {
        Rule::full_name(self)
    }

    fn updated(&self) -> i64 {
        self.updated
    }
}

impl Entity for Package {
    const DIRECTORY: &'static str = "packages";

    fn full_name(&self) -> FullName {
        Package::full_name(self)
    }

    fn updated(&self) -> i64 {
        self.updated
    }
}

type Namespaces<T> = HashMap<String, BTreeMap<String, Arc<T>>>;

/// All entities of one kind. Changes must not overlap: whoever holds the store sees to that.
#[derive(Debug)]
pub struct EntityStore<T> {
    directory: PathBuf,
    namespaces: RwLock<Namespaces<T>>,
}

impl<T: Entity> EntityStore<T> {
    /// Reads what is there.
    ///
    /// # Errors
    /// [`StoreError`] when the directory or a file in it cannot be used.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let store = Self {
            directory: data.join(T::DIRECTORY),
            namespaces: RwLock::new(HashMap::new()),
        };
        create_directory(&store.directory)?;
        for path in files(&store.directory)? {
            if path.extension().is_some_and(|end| end == "json") {
                let text = fs::read(&path)
                    .map_err(|error| StoreError::new(&path, "cannot be read", error))?;
                let entity: T = serde_json::from_slice(&text).map_err(|error| {
                    StoreError::new(&path, "holds no entity of its kind", error.into())
                })?;
                store.insert(Arc::new(entity));
            } else {
                // Left over from a write that a crash cut off; the old file is still there.
                fs::remove_file(&path)
                    .map_err(|error| StoreError::new(&path, "cannot be removed", error))?;
            }
        }
        Ok(store)
    }

    /// An entity.
    pub fn get(&self, name: &FullName) -> Option<Arc<T>> {
        self.read(|namespaces| namespaces.get(&name.namespace)?.get(&name.name).cloned())
    }

    /// The entities of a namespace, the last changed first.
    pub fn list(&self, namespace: &str) -> Vec<Arc<T>> {
        let mut list: Vec<Arc<T>> = self.read(|namespaces| {
            namespaces
                .get(namespace)
                .map(|entities| entities.values().cloned().collect())
                .unwrap_or_default()
        });
        list.sort_by(|a, b| {
            b.updated()
                .cmp(&a.updated())
                .then_with(|| b.full_name().cmp(&a.full_name()))
        });
        list
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read(|namespaces| namespaces.values().map(BTreeMap::len).sum())
    }

    /// Keeps an entity, in place of the one of its name. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`]; then the old one stands.
    pub fn put(&self, entity: T) -> Result<Arc<T>, StoreError> {
        let document = serde_json::to_vec(&entity).map_err(|error| {
            StoreError::new(&self.directory, "an entity cannot be encoded", error.into())
        })?;
        write_durably(&self.path(&entity.full_name()), &document)?;
        let entity = Arc::new(entity);
        self.insert(Arc::clone(&entity));
        Ok(entity)
    }

    /// Removes an entity. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`]; then it is still there, and may be removed again.
    pub fn remove(&self, name: &FullName) -> Result<Option<Arc<T>>, StoreError> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        remove_durably(&self.path(name))?;
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(namespaces
            .get_mut(&name.namespace)
            .and_then(|entities| entities.remove(&name.name)))
    }

    fn read<R>(&self, read: impl FnOnce(&Namespaces<T>) -> R) -> R {
        read(
            &self
                .namespaces
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn insert(&self, entity: Arc<T>) {
        let name = entity.full_name();
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        namespaces
            .entry(name.namespace)
            .or_default()
            .insert(name.name, entity);
    }

    /// The file of an entity. A digest, because names may be as long as file names may be, and differ only in case.
    fn path(&self, name: &FullName) -> PathBuf {
        self.directory
            .join(code_digest(&name.to_string()))
            .with_extension("json")
    }
}
