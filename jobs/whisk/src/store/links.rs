//! Triggers and rules together. Whether a rule is active stands with its trigger, so that one write settles it;
//! what takes several writes is ordered such that a crash leaves a rule inactive rather than one that points nowhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link::{Rule, Trigger};
use crate::name::FullName;
use crate::store::StoreError;
use crate::store::entities::EntityStore;

/// A rule cannot be made active.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// There is no such rule.
    #[error("there is no such rule")]
    NoRule,
    /// Its trigger is gone.
    #[error("the trigger {0} of the rule does not exist")]
    NoTrigger(FullName),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All triggers and rules.
#[derive(Debug)]
pub struct Links {
    triggers: EntityStore<Trigger>,
    rules: EntityStore<Rule>,
    // One change at a time: most read a trigger, change one of its rules, and write it back.
    changing: Mutex<()>,
}

impl Links {
    /// Reads what is there.
    ///
    /// # Errors
    /// [`StoreError`] when the directory or a file in it cannot be used.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            triggers: EntityStore::open(data)?,
            rules: EntityStore::open(data)?,
            changing: Mutex::new(()),
        })
    }

    /// How many triggers and how many rules there are.
    pub fn count(&self) -> (usize, usize) {
        (self.triggers.count(), self.rules.count())
    }

    /// A trigger.
    pub fn trigger(&self, name: &FullName) -> Option<Arc<Trigger>> {
        self.triggers.get(name)
    }

    /// A rule.
    pub fn rule(&self, name: &FullName) -> Option<Arc<Rule>> {
        self.rules.get(name)
    }

    /// The triggers of a namespace, the last changed first.
    pub fn triggers(&self, namespace: &str) -> Vec<Arc<Trigger>> {
        self.triggers.list(namespace)
    }

    /// The rules of a namespace, the last changed first.
    pub fn rules(&self, namespace: &str) -> Vec<Arc<Rule>> {
        self.rules.list(namespace)
    }

    /// The rules that listen to a trigger in the order of their names, and whether each is active.
    pub fn listening(&self, trigger: &Trigger) -> Vec<(Arc<Rule>, bool)> {
        trigger
            .rules
            .iter()
            .filter_map(|(rule, active)| {
                let name = FullName {
                    namespace: trigger.namespace.clone(),
                    name: rule.clone(),
                };
                Some((self.rules.get(&name)?, *active))
            })
            .collect()
    }

    /// Whether a rule is active: its trigger is there and says so.
    pub fn is_active(&self, rule: &Rule) -> bool {
        self.triggers
            .get(&rule.trigger)
            .is_some_and(|trigger| trigger.rules.get(&rule.name) == Some(&true))
    }

    /// Changes or creates a trigger: `decide` gets the old one. Writes the disk.
    ///
    /// # Errors
    /// Whatever `decide` says, or [`StoreError`].
    pub fn change_trigger<E: From<StoreError>>(
        &self,
        name: &FullName,
        decide: impl FnOnce(Option<&Trigger>) -> Result<Trigger, E>,
    ) -> Result<Arc<Trigger>, E> {
        let _changing = self.lock();
        let trigger = decide(self.triggers.get(name).as_deref())?;
        Ok(self.triggers.put(trigger)?)
    }

    /// Removes a trigger; its rules are inactive from then on. Returns it with its rules. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    #[allow(clippy::type_complexity, reason = "named nowhere else")]
    pub fn remove_trigger(
        &self,
        name: &FullName,
    ) -> Result<Option<(Arc<Trigger>, Vec<(Arc<Rule>, bool)>)>, StoreError> {
        let _changing = self.lock();
        let Some(trigger) = self.triggers.get(name) else {
            return Ok(None);
        };
        let rules = self.listening(&trigger);
        self.triggers.remove(name)?;
        Ok(Some((trigger, rules)))
    }

    /// Changes or creates a rule: `decide` gets the old one. A new rule is active, a changed one stays as it was.
    /// Returns it, and whether it is active. Writes the disk.
    ///
    /// # Errors
    /// Whatever `decide` says, or [`StoreError`].
    pub fn change_rule<E: From<StoreError>>(
        &self,
        name: &FullName,
        decide: impl FnOnce(Option<&Rule>) -> Result<Rule, E>,
    ) -> Result<(Arc<Rule>, bool), E> {
        let _changing = self.lock();
        let old = self.rules.get(name);
        let rule = decide(old.as_deref())?;
        let active = old.as_deref().is_none_or(|old| self.is_active(old));
        if let Some(old) = old.filter(|old| old.trigger != rule.trigger) {
            self.relink(&old.trigger, |rules| rules.remove(&old.name).is_some())?;
        }
        let rule = self.rules.put(rule)?;
        let linked = self.relink(&rule.trigger, |rules| {
            rules.insert(rule.name.clone(), active) != Some(active)
        })?;
        Ok((rule, active && linked))
    }

    /// Makes a rule active or inactive. Writes the disk.
    ///
    /// # Errors
    /// [`ActivateError`].
    pub fn set_active(&self, name: &FullName, active: bool) -> Result<(), ActivateError> {
        let _changing = self.lock();
        let rule = self.rules.get(name).ok_or(ActivateError::NoRule)?;
        let linked = self.relink(&rule.trigger, |rules| {
            rules.insert(rule.name.clone(), active) != Some(active)
        })?;
        if linked || !active {
            Ok(())
        } else {
            Err(ActivateError::NoTrigger(rule.trigger.clone()))
        }
    }

    /// Removes a rule. Writes the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_rule(&self, name: &FullName) -> Result<Option<Arc<Rule>>, StoreError> {
        let _changing = self.lock();
        let Some(rule) = self.rules.get(name) else {
            return Ok(None);
        };
        self.relink(&rule.trigger, |rules| rules.remove(&rule.name).is_some())?;
        self.rules.remove(name)
    }

    /// Changes the rules of a trigger; `change` tells whether it did. Returns whether there is such a trigger.
    fn relink(
        &self,
        trigger: &FullName,
        change: impl FnOnce(&mut BTreeMap<String, bool>) -> bool,
    ) -> Result<bool, StoreError> {
        let Some(found) = self.triggers.get(trigger) else {
            return Ok(false);
        };
        let mut changed = (*found).clone();
        if change(&mut changed.rules) {
            self.triggers.put(changed)?;
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::action::Version;

    fn name(name: &str) -> FullName {
        FullName {
            namespace: "me".to_owned(),
            name: name.to_owned(),
        }
    }

    fn trigger(links: &Links, called: &str) -> Arc<Trigger> {
        links
            .change_trigger::<StoreError>(&name(called), |old| {
                Ok(Trigger {
                    namespace: "me".to_owned(),
                    name: called.to_owned(),
                    version: Version::FIRST,
                    publish: false,
                    parameters: Vec::new(),
                    annotations: Vec::new(),
                    rules: old.map_or_else(BTreeMap::new, |old| old.rules.clone()),
                    updated: 0,
                })
            })
            .unwrap()
    }

    fn rule(links: &Links, called: &str, of: &str) -> bool {
        let made = links.change_rule::<StoreError>(&name(called), |_| {
            Ok(Rule {
                namespace: "me".to_owned(),
                name: called.to_owned(),
                version: Version::FIRST,
                publish: false,
                annotations: Vec::new(),
                trigger: name(of),
                action: name("a"),
                updated: 0,
            })
        });
        made.unwrap().1
    }

    fn listening(links: &Links, of: &str) -> Vec<(String, bool)> {
        let trigger = links.trigger(&name(of)).unwrap();
        let rules = links.listening(&trigger);
        rules
            .into_iter()
            .map(|(rule, active)| (rule.name.clone(), active))
            .collect()
    }

    #[test]
    fn rules_follow_their_triggers_and_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let links = Links::open(directory.path()).unwrap();
        trigger(&links, "t");
        trigger(&links, "u");
        assert!(rule(&links, "r", "t") && rule(&links, "s", "t"));
        links.set_active(&name("s"), false).unwrap();
        // A changed trigger keeps its rules; a rule that moves keeps its state.
        trigger(&links, "t");
        assert!(!rule(&links, "s", "u"));
        let links = Links::open(directory.path()).unwrap();
        assert_eq!(links.count(), (2, 2));
        assert_eq!(listening(&links, "t"), [("r".to_owned(), true)]);
        assert_eq!(listening(&links, "u"), [("s".to_owned(), false)]);

        let (_, rules) = links.remove_trigger(&name("t")).unwrap().unwrap();
        assert_eq!(rules.len(), 1);
        let orphan = links.rule(&name("r")).unwrap();
        assert!(!links.is_active(&orphan));
        assert!(matches!(
            links.set_active(&name("r"), true),
            Err(ActivateError::NoTrigger(_))
        ));
        links.set_active(&name("r"), false).unwrap();
        // A new trigger of that name is another one: the rule listens again only when told to.
        trigger(&links, "t");
        assert!(!links.is_active(&orphan) && listening(&links, "t").is_empty());
        links.set_active(&name("r"), true).unwrap();
        assert_eq!(listening(&links, "t"), [("r".to_owned(), true)]);

        links.remove_rule(&name("r")).unwrap().unwrap();
        assert!(listening(&links, "t").is_empty());
        assert!(links.remove_rule(&name("r")).unwrap().is_none());
        assert!(matches!(
            links.set_active(&name("r"), true),
            Err(ActivateError::NoRule)
        ));
    }
}
