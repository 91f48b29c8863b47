//! What is remembered of each vehicle, how it is read back, and who waits for missing events.

use std::collections::HashMap;

use jiff::Timestamp;
use millrace_analytics::{Detector, VehicleState};

/// The states of the vehicles in the partitions that this process owns.
#[derive(Debug, Default)]
pub struct States {
    partitions: HashMap<i32, HashMap<String, VehicleState>>,
    // Vehicles with events that are held, and when that is to end.
    waiting: HashMap<i32, HashMap<String, Timestamp>>,
}

impl States {
    /// Works on the state of a vehicle, a fresh one when it was never seen.
    pub fn with<T>(
        &mut self,
        detector: &Detector,
        partition: i32,
        vehicle: &str,
        work: impl FnOnce(&mut VehicleState) -> T,
    ) -> T {
        let vehicles = self.partitions.entry(partition).or_default();
        let (result, until) = if let Some(state) = vehicles.get_mut(vehicle) {
            (work(state), state.waits_until(detector))
        } else {
            let mut state = VehicleState::default();
            let result = work(&mut state);
            let until = state.waits_until(detector);
            vehicles.insert(vehicle.to_owned(), state);
            (result, until)
        };
        if until.is_some() || !self.waiting.is_empty() {
            self.note(partition, vehicle, until);
        }
        result
    }

    fn note(&mut self, partition: i32, vehicle: &str, until: Option<Timestamp>) {
        let waiting = self.waiting.entry(partition).or_default();
        match until {
            Some(until) => match waiting.get_mut(vehicle) {
                Some(noted) => *noted = until,
                None => {
                    waiting.insert(vehicle.to_owned(), until);
                }
            },
            None => {
                waiting.remove(vehicle);
            }
        }
        if waiting.is_empty() {
            self.waiting.remove(&partition);
        }
    }

    /// Notes anew who waits, after a restore or with other rules.
    pub fn note_all(&mut self, detector: &Detector) {
        self.waiting = self
            .partitions
            .iter()
            .map(|(partition, vehicles)| {
                let waiting = vehicles.iter().filter_map(|(vehicle, state)| {
                    Some((vehicle.clone(), state.waits_until(detector)?))
                });
                (*partition, waiting.collect())
            })
            .collect();
        self.waiting.retain(|_, vehicles| !vehicles.is_empty());
    }

    /// The vehicles of a partition whose waiting ends by `now`.
    #[must_use]
    pub fn due(&self, partition: i32, now: Timestamp) -> Vec<String> {
        let waiting = self.waiting.get(&partition).into_iter().flatten();
        waiting
            .filter(|(_, until)| **until <= now)
            .map(|(vehicle, _)| vehicle.clone())
            .collect()
    }

    /// How many vehicles wait for missing events.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(HashMap::len).sum()
    }

    /// The state as it is written to Kafka; none for a vehicle that is not here.
    #[must_use]
    pub fn encoded(
        &self,
        partition: i32,
        vehicle: &str,
    ) -> Option<Result<Vec<u8>, serde_json::Error>> {
        Some(serde_json::to_vec(
            self.partitions.get(&partition)?.get(vehicle)?,
        ))
    }

    /// Forgets a vehicle; it then starts afresh.
    pub fn forget(&mut self, partition: i32, vehicle: &str) {
        if let Some(vehicles) = self.partitions.get_mut(&partition) {
            vehicles.remove(vehicle);
        }
        self.note(partition, vehicle, None);
    }

    /// Takes one record of the state topic: the last one of a key wins, one without a value removes it.
    ///
    /// # Errors
    /// The value cannot be read; the vehicle then starts afresh.
    pub fn restore(
        &mut self,
        partition: i32,
        vehicle: &str,
        value: Option<&[u8]>,
    ) -> Result<(), serde_json::Error> {
        let vehicles = self.partitions.entry(partition).or_default();
        let read = value.map(serde_json::from_slice::<VehicleState>);
        match read {
            Some(Ok(state)) => {
                vehicles.insert(vehicle.to_owned(), state);
                Ok(())
            }
            Some(Err(error)) => {
                vehicles.remove(vehicle);
                Err(error)
            }
            None => {
                vehicles.remove(vehicle);
                Ok(())
            }
        }
    }

    /// How many vehicles are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.partitions.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use millrace_analytics::{Rules, Zones};
    use millrace_contract::Telemetry;

    use super::*;

    fn detector() -> Detector {
        Detector::new(Rules::default(), Zones::default()).unwrap()
    }

    #[test]
    fn the_last_record_of_a_vehicle_wins() {
        let mut states = States::default();
        let state = serde_json::to_vec(&VehicleState::default()).unwrap();
        states.restore(0, "a", Some(&state)).unwrap();
        states.restore(0, "b", Some(&state)).unwrap();
        states.restore(1, "a", Some(&state)).unwrap();
        states.restore(0, "b", None).unwrap();
        assert_eq!(states.count(), 2);
        assert!(states.restore(1, "a", Some(b"{")).is_err());
        assert_eq!(states.count(), 1);
        assert_eq!(states.encoded(0, "a").unwrap().unwrap(), state);
        assert!(states.encoded(0, "b").is_none());
        states.forget(0, "a");
        assert_eq!(states.count(), 0);
    }

    #[test]
    fn a_vehicle_never_seen_starts_afresh() {
        let mut states = States::default();
        let fresh = serde_json::to_value(VehicleState::default()).unwrap();
        assert_eq!(
            states
                .with(&detector(), 3, "new", |state| serde_json::to_value(state))
                .unwrap(),
            fresh
        );
        assert_eq!(states.count(), 1);
    }

    #[test]
    fn who_waits_is_known_also_after_a_restore() {
        let (detector, now) = (detector(), Timestamp::now());
        let mut states = States::default();
        let see = |states: &mut States, vehicle: &str, number| {
            let event = Telemetry::new(vehicle, number, now);
            states.with(&detector, 0, vehicle, |state| {
                detector.observe(state, &event, now)
            });
        };
        see(&mut states, "a", 0);
        assert_eq!(states.waiting(), 0);
        see(&mut states, "a", 2);
        see(&mut states, "b", 0);
        assert_eq!(states.waiting(), 1);
        assert!(states.due(0, now).is_empty());
        let later = now + jiff::SignedDuration::from_hours(1);
        assert_eq!(states.due(0, later), ["a"]);

        let mut restored = States::default();
        let written = states.encoded(0, "a").unwrap().unwrap();
        restored.restore(0, "a", Some(&written)).unwrap();
        assert_eq!(restored.waiting(), 0);
        restored.note_all(&detector);
        assert_eq!(restored.due(0, later), ["a"]);
        restored.with(&detector, 0, "a", |state| detector.release(state, later));
        assert_eq!(restored.waiting(), 0);
        // What was missing came.
        see(&mut states, "a", 1);
        assert_eq!(states.waiting(), 0);
    }
}
