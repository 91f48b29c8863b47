//! Actions: one JSON file each, their code beside them by digest.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::action::{Action, Code};
use crate::name::FullName;
use crate::put::code_digest;
use crate::store::{StoreError, create_directory, files, remove_durably, write_durably};

/// A removed action, with the text of its code.
pub type Removed = (Arc<Action>, Option<String>);

type Namespaces = HashMap<String, BTreeMap<String, Arc<Action>>>;

/// What a change leaves behind, with the text of the code if it is new.
pub struct Change {
    /// The action as it is to be.
    pub action: Action,
    /// The text of its code, when the change brings one.
    pub code: Option<String>,
}

/// All actions, in memory without their code.
#[derive(Debug)]
pub struct ActionStore {
    actions: PathBuf,
    code: PathBuf,
    namespaces: RwLock<Namespaces>,
    // One change at a time: a change reads the old action first, and sweeping code counts its users. Holds the code of actions
    // that changed or went, which activations that were accepted before may still need.
    changing: Mutex<Vec<Code>>,
}

impl ActionStore {
    /// Reads what is there, and removes code that no action uses.
    ///
    /// # Errors
    /// [`StoreError`] when the directory or a file in it cannot be used.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let store = Self {
            actions: data.join("actions"),
            code: data.join("code"),
            namespaces: RwLock::new(HashMap::new()),
            changing: Mutex::new(Vec::new()),
        };
        create_directory(&store.actions)?;
        create_directory(&store.code)?;
        for path in files(&store.actions)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let text = fs::read(&path)
                    .map_err(|error| StoreError::new(&path, "cannot be read", error))?;
                let action: Action = serde_json::from_slice(&text)
                    .map_err(|error| StoreError::new(&path, "holds no action", error.into()))?;
                store.insert(Arc::new(action));
            } else {
                // Left over from a write that a crash cut off; the old file is still there.
                fs::remove_file(&path)
                    .map_err(|error| StoreError::new(&path, "cannot be removed", error))?;
            }
        }
        for path in files(&store.code)? {
            let digest = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            if !store.uses(&digest) {
                fs::remove_file(&path)
                    .map_err(|error| StoreError::new(&path, "cannot be removed", error))?;
            }
        }
        Ok(store)
    }

    /// An action.
    pub fn get(&self, name: &FullName) -> Option<Arc<Action>> {
        self.read(|namespaces| namespaces.get(&name.namespace)?.get(&name.name).cloned())
    }

    /// The actions of a namespace, the last changed first.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Action>> {
        let mut list: Vec<Arc<Action>> = self.read(|namespaces| {
            namespaces
                .get(namespace)
                .map(|actions| actions.values().cloned().collect())
                .unwrap_or_default()
        });
        list.sort_by(|a, b| b.updated.cmp(&a.updated).then_with(|| b.name.cmp(&a.name)));
        list
    }

    /// The actions in a package, the last changed first.
    pub fn list_in(&self, package: &FullName) -> Vec<Arc<Action>> {
        let mut list = self.list(&package.namespace);
        list.retain(|action| {
            action
                .name
                .split_once('/')
                .is_some_and(|(within, _)| within == package.name)
        });
        list
    }

    /// How many actions there are.
    pub fn count(&self) -> usize {
        self.read(|namespaces| namespaces.values().map(BTreeMap::len).sum())
    }

    /// The text of an action's code. Reads the disk.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn code(&self, digest: &str) -> Result<String, StoreError> {
        let path = self.code.join(digest);
        fs::read_to_string(&path).map_err(|error| StoreError::new(&path, "cannot be read", error))
    }

    /// Changes or creates an action: `decide` gets the old one. Writes the disk.
    ///
    /// # Errors
    /// Whatever `decide` says, or [`StoreError`].
    pub fn change<E: From<StoreError>>(
        &self,
        name: &FullName,
        decide: impl FnOnce(Option<&Action>) -> Result<Change, E>,
    ) -> Result<Arc<Action>, E> {
        let mut former = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.get(name);
        let change = decide(old.as_deref())?;
        if let Some(text) = &change.code {
            let path = self.code.join(code_digest(text));
            if !path.exists() {
                write_durably(&path, text.as_bytes())?;
            }
        }
        let action = Arc::new(change.action);
        let document = serde_json::to_vec(&*action).map_err(|error| {
            StoreError::new(&self.actions, "an action cannot be encoded", error.into())
        })?;
        write_durably(&self.path(name), &document)?;
        self.insert(Arc::clone(&action));
        if let Some(old) = old {
            part_with(&mut former, &old);
        }
        self.clear(&mut former);
        Ok(action)
    }

    /// Removes an action and returns it with the text of its code. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, name: &FullName) -> Result<Option<Removed>, StoreError> {
        let mut former = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(action) = self.get(name) else {
            return Ok(None);
        };
        let text = action
            .exec
            .code()
            .map(|code| self.code(&code.digest))
            .transpose()?;
        remove_durably(&self.path(name))?;
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(actions) = namespaces.get_mut(&name.namespace) {
            actions.remove(&name.name);
        }
        drop(namespaces);
        part_with(&mut former, &action);
        Ok(Some((action, text)))
    }

    fn read<T>(&self, read: impl FnOnce(&Namespaces) -> T) -> T {
        read(
            &self
                .namespaces
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn insert(&self, action: Arc<Action>) {
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        namespaces
            .entry(action.namespace.clone())
            .or_default()
            .insert(action.name.clone(), action);
    }

    /// Removes the code of changed and removed actions that nobody needs any more: neither an action, nor an activation that was
    /// accepted before the change. To be called now and then. Writes the disk.
    pub fn sweep(&self) {
        let mut former = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.clear(&mut former);
    }

    fn clear(&self, former: &mut Vec<Code>) {
        let (unused, needed): (Vec<Code>, Vec<Code>) = std::mem::take(former)
            .into_iter()
            .partition(|code| code.hold.is_last());
        *former = needed;
        for code in unused {
            let is_needed = former.iter().any(|other| other.digest == code.digest);
            if is_needed || self.uses(&code.digest) {
                continue;
            }
            if let Err(error) = fs::remove_file(self.code.join(&code.digest))
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(digest = code.digest, %error, "unused code could not be removed; the next start removes it");
            }
        }
    }

    fn uses(&self, digest: &str) -> bool {
        self.read(|namespaces| {
            namespaces
                .values()
                .flat_map(BTreeMap::values)
                .any(|action| action.exec.code().is_some_and(|code| code.digest == digest))
        })
    }

    /// The file of an action. A digest, because names may be as long as file names may be, and differ only in case.
    fn path(&self, name: &FullName) -> PathBuf {
        self.actions
            .join(code_digest(&name.to_string()))
            .with_extension("json")
    }
}

/// Notes the code of an action that is about to go. Each only once: it is the last copy that tells.
fn part_with(former: &mut Vec<Code>, old: &Action) {
    if let Some(code) = old.exec.code()
        && !former
            .iter()
            .any(|known| known.hold.is_shared_with(&code.hold))
    {
        former.push(code.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::action::{Exec, Limits, Version};

    fn name(name: &str) -> FullName {
        FullName {
            namespace: "me".to_owned(),
            name: name.to_owned(),
        }
    }

    fn change(name: &str, code: &str, updated: i64) -> Result<Change, StoreError> {
        let code_of = crate::action::Code {
            digest: code_digest(code),
            binary: false,
            length: code.len(),
            hold: crate::action::Hold::default(),
        };
        Ok(Change {
            action: Action {
                namespace: "me".to_owned(),
                name: name.to_owned(),
                version: Version::FIRST,
                publish: false,
                parameters: vec![crate::activation::note("a", json!(1))],
                annotations: Vec::new(),
                limits: Limits::default(),
                exec: Exec::Code {
                    kind: "rust:default".to_owned(),
                    code: code_of,
                    main: None,
                },
                binding: None,
                updated,
            },
            code: Some(code.to_owned()),
        })
    }

    #[test]
    fn survives_a_restart_and_keeps_shared_code() {
        let directory = tempfile::tempdir().unwrap();
        let store = ActionStore::open(directory.path()).unwrap();
        let a = store
            .change(&name("a"), |old| change("a", "x", i64::from(old.is_some())))
            .unwrap();
        store.change(&name("b"), |_| change("b", "x", 9)).unwrap();
        fs::write(directory.path().join("actions/cut-off.new"), "{").unwrap();
        fs::write(directory.path().join("code/unused"), "x").unwrap();

        let store = ActionStore::open(directory.path()).unwrap();
        assert_eq!(store.get(&name("a")), Some(a));
        assert_eq!(
            store
                .list("me")
                .iter()
                .map(|action| action.name.as_str())
                .collect::<Vec<_>>(),
            ["b", "a"]
        );
        assert!(!directory.path().join("code/unused").exists());

        let digest = code_digest("x");
        store.remove(&name("a")).unwrap().unwrap();
        assert_eq!(store.code(&digest).unwrap(), "x");
        let (_, text) = store.remove(&name("b")).unwrap().unwrap();
        assert_eq!(text.as_deref(), Some("x"));
        store.sweep();
        assert!(store.code(&digest).is_err());
        assert!(store.remove(&name("b")).unwrap().is_none());
        assert_eq!(ActionStore::open(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn code_stays_for_whoever_was_given_the_action_before_it_changed() {
        let directory = tempfile::tempdir().unwrap();
        let store = ActionStore::open(directory.path()).unwrap();
        let there = |code: &str| store.code(&code_digest(code)).is_ok();
        let first = store.change(&name("a"), |_| change("a", "x", 1)).unwrap();
        // A change that brings no code keeps it, and is no reason to forget who needs it.
        let second = store.change(&name("a"), |old| {
            let mut action = old.cloned().unwrap();
            action.updated = 2;
            Ok::<_, StoreError>(Change { action, code: None })
        });
        drop(second);
        // A copy, as of an action with the parameters of its package.
        let copy = (*first).clone();
        store.change(&name("a"), |_| change("a", "y", 3)).unwrap();
        drop(first);
        store.sweep();
        assert!(there("x") && there("y"));
        // The same code comes and goes again meanwhile.
        store.change(&name("b"), |_| change("b", "x", 4)).unwrap();
        drop(store.remove(&name("b")).unwrap());
        store.sweep();
        assert!(there("x"), "the copy still needs it");
        drop(copy);
        store.sweep();
        assert!(!there("x") && there("y"));
    }

    #[test]
    fn a_broken_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        drop(ActionStore::open(directory.path()).unwrap());
        fs::write(directory.path().join("actions/x.json"), "{").unwrap();
        let error = ActionStore::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("actions/x.json: holds no action"), "{error}");
    }
}
