//! Packages, and the actions in them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::action::Action;
use crate::name::FullName;
use crate::package::{Package, layered};
use crate::store::entities::EntityStore;
use crate::store::{ActionStore, StoreError};

/// All packages.
#[derive(Debug)]
pub struct Packages {
    packages: EntityStore<Package>,
    // Held also while an action in a package is made, so that no package goes from around it.
    changing: Mutex<()>,
}

impl Packages {
    /// Reads what is there.
    ///
    /// # Errors
    /// [`StoreError`] when the directory or a file in it cannot be used.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            packages: EntityStore::open(data)?,
            changing: Mutex::new(()),
        })
    }

    /// A package.
    pub fn get(&self, name: &FullName) -> Option<Arc<Package>> {
        self.packages.get(name)
    }

    /// Whether everybody may use an action, for its package is published.
    pub fn publishes(&self, action: &FullName) -> bool {
        action.name.split('/').next().is_some_and(|package| {
            let name = FullName {
                namespace: action.namespace.clone(),
                name: package.to_owned(),
            };
            self.get(&name).is_some_and(|package| package.publish)
        })
    }

    /// The packages of a namespace, the last changed first.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Package>> {
        self.packages.list(namespace)
    }

    /// The package that a package is bound to, if it is a binding.
    pub fn provider(&self, package: &Package) -> Option<Arc<Package>> {
        self.packages.get(package.binding.as_ref()?)
    }

    /// No package changes while this is held.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes or creates a package: `decide` gets the old one. Writes the disk.
    ///
    /// # Errors
    /// Whatever `decide` says, or [`StoreError`].
    pub fn change<E: From<StoreError>>(
        &self,
        name: &FullName,
        decide: impl FnOnce(Option<&Package>) -> Result<Package, E>,
    ) -> Result<Arc<Package>, E> {
        let _changing = self.hold();
        let package = decide(self.packages.get(name).as_deref())?;
        Ok(self.packages.put(package)?)
    }

    /// Removes a package. The caller holds the packages, and has seen to its actions. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, name: &FullName) -> Result<Option<Arc<Package>>, StoreError> {
        self.packages.remove(name)
    }

    /// An action as it runs: with the parameters of its package, found through a binding if the package is one.
    pub fn action(&self, actions: &ActionStore, name: &FullName) -> Option<Arc<Action>> {
        let Some((package, leaf)) = name.name.split_once('/') else {
            return actions.get(name);
        };
        let package = self.packages.get(&FullName {
            namespace: name.namespace.clone(),
            name: package.to_owned(),
        })?;
        let provider = match &package.binding {
            None => None,
            Some(_) => Some(self.provider(&package)?),
        };
        let home = provider.as_ref().unwrap_or(&package);
        let action = actions.get(&FullName {
            namespace: home.namespace.clone(),
            name: format!("{}/{leaf}", home.name),
        })?;
        let mut action = (*action).clone();
        let mut parameters = home.parameters.clone();
        if provider.is_some() {
            parameters = layered(&parameters, &package.parameters);
            action.binding = Some(package.full_name());
        }
        // What a package gives is input: only an action's own parameters make up its environment.
        for parameter in &mut parameters {
            parameter.init = false;
        }
        action.parameters = layered(&parameters, &action.parameters);
        Some(Arc::new(action))
    }
}
