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
    // Held also while any other entity is made: so no package goes from around its actions, and no name is taken twice.
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

    /// Whether a namespace may read a package: one of its own, or one that is published. A binding is its owner's
    /// alone, and while the package that it is bound to may be read. What is not there its owner may ask for.
    pub fn may_read(&self, namespace: &str, name: &FullName) -> bool {
        let own = name.namespace == namespace;
        let Some(package) = self.get(name) else {
            return own;
        };
        match &package.binding {
            None => own || package.publish,
            Some(provider) => {
                own && (provider.namespace == namespace || self.provider(&package).is_some())
            }
        }
    }

    /// Whether a namespace may read and run an action. Outside a package an action is its own namespace's alone,
    /// also when a published package has its name.
    pub fn may_run(&self, namespace: &str, action: &FullName) -> bool {
        match action.package() {
            None => action.namespace == namespace,
            Some(package) => self.may_read(namespace, &package),
        }
    }

    /// The packages of a namespace, the last changed first.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Package>> {
        self.packages.list(namespace)
    }

    /// The package that a package is bound to, if it is a binding, and as long as it is open to it: what was
    /// published may be private again.
    pub fn provider(&self, package: &Package) -> Option<Arc<Package>> {
        self.packages
            .get(package.binding.as_ref()?)
            .filter(|provider| provider.publish || provider.namespace == package.namespace)
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
        let (Some(package), Some((_, leaf))) = (name.package(), name.name.split_once('/')) else {
            return actions.get(name);
        };
        let package = self.packages.get(&package)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Version;

    fn put(packages: &Packages, text: &str, publish: bool, binding: Option<&str>) {
        let name = name(text);
        let made = packages.change::<StoreError>(&name, |_| {
            Ok(Package {
                namespace: name.namespace.clone(),
                name: name.name.clone(),
                version: Version::FIRST,
                publish,
                parameters: Vec::new(),
                annotations: Vec::new(),
                binding: binding.map(self::name),
                updated: 0,
            })
        });
        made.unwrap();
    }

    fn name(text: &str) -> FullName {
        FullName::parse(text, "me").unwrap()
    }

    #[test]
    fn what_is_open_to_a_namespace() {
        let data = tempfile::tempdir().unwrap();
        let packages = Packages::open(data.path()).unwrap();
        put(&packages, "b/open", true, None);
        put(&packages, "b/closed", false, None);
        put(&packages, "b/bound", true, Some("b/open"));
        put(&packages, "a/bound", false, Some("b/open"));
        put(&packages, "a/stale", false, Some("b/closed"));
        for (action, of_a, of_b) in [
            ("b/open/x", true, true),
            ("b/closed/x", false, true),
            ("b/none/x", false, true),
            // An action outside a package, of the name of a published package.
            ("b/open", false, true),
            ("a/bound/x", true, false),
            ("a/stale/x", false, false),
            // The binding of somebody else, though it is published.
            ("b/bound/x", false, true),
        ] {
            let found = ["a", "b"].map(|namespace| packages.may_run(namespace, &name(action)));
            assert_eq!(found, [of_a, of_b], "{action}");
        }
        let bound = packages.get(&name("a/bound")).unwrap();
        assert!(packages.provider(&bound).is_some());
        put(&packages, "b/open", false, None);
        assert!(packages.provider(&bound).is_none(), "it is private again");
        assert!(!packages.may_run("a", &name("a/bound/x")));
    }
}
