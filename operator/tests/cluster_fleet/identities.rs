//! Who hides behind keys and pseudonyms, as nobody but the gateway and a test knows.

use std::collections::{BTreeMap, BTreeSet};

use millrace_contract::pseudonym::PseudonymKey;

use super::Scene;
use super::day::{self, DRIVERS};

/// Names of drivers, by what the platform calls them.
pub struct Identities {
    /// By the driver's key.
    pub drivers: BTreeMap<String, &'static str>,
    /// By the pseudonym of a hire.
    pub hires: BTreeMap<String, &'static str>,
    /// Ids as telemetry and the hire desk have them, of drivers and of hires that are not named like a car.
    raw: BTreeSet<String>,
}

impl Identities {
    /// `keys`: what the gateway calls the drivers, in their order.
    pub fn new(scene: &Scene, keys: &[String]) -> Self {
        let key = scene.platform.secret("f-gateway", "pseudonym-key").unwrap();
        let key = PseudonymKey::from_base64(&key).unwrap();
        let mut identities = Self {
            drivers: BTreeMap::new(),
            hires: BTreeMap::new(),
            raw: BTreeSet::new(),
        };
        for ((driver, _), told) in DRIVERS.into_iter().zip(keys) {
            assert_eq!(*told, key.driver(&day::id(driver)));
            identities.drivers.insert(told.clone(), driver);
            identities.raw.insert(day::id(driver));
        }
        for drive in &scene.day.drives {
            let hires: BTreeSet<&str> = drive
                .samples
                .iter()
                .filter_map(|sample| sample.hire.as_deref())
                .collect();
            for hire in hires {
                let pseudonym = key.pseudonym(&day::id(drive.driver), Some(hire));
                identities.hires.insert(pseudonym, drive.driver);
                if !hire.starts_with(&drive.vehicle) {
                    identities.raw.insert(hire.to_owned());
                }
            }
        }
        identities
    }

    /// How stores may name a driver: by key, pseudonyms and address.
    pub fn names(&self, driver: &str) -> Vec<String> {
        let known = self.drivers.iter().chain(&self.hires);
        let of = known.filter(|(_, name)| **name == driver);
        let mut names: Vec<String> = of.map(|(word, _)| word.clone()).collect();
        names.push(day::mail(driver));
        names
    }

    /// How no store may name anybody.
    pub fn raw(&self) -> Vec<String> {
        self.raw.iter().cloned().collect()
    }
}
