//! What is remembered of each vehicle, and how it is read back.

use std::collections::HashMap;

use millrace_analytics::VehicleState;

/// The states of the vehicles in the partitions that this process owns.
#[derive(Debug, Default)]
pub struct States {
    partitions: HashMap<i32, HashMap<String, VehicleState>>,
}

impl States {
    /// Works on the state of a vehicle, a fresh one when it was never seen.
    pub fn with<T>(
        &mut self,
        partition: i32,
        vehicle: &str,
        work: impl FnOnce(&mut VehicleState) -> T,
    ) -> T {
        let vehicles = self.partitions.entry(partition).or_default();
        if let Some(state) = vehicles.get_mut(vehicle) {
            return work(state);
        }
        let mut state = VehicleState::default();
        let result = work(&mut state);
        vehicles.insert(vehicle.to_owned(), state);
        result
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
    use super::*;

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
    }

    #[test]
    fn a_vehicle_never_seen_starts_afresh() {
        let mut states = States::default();
        let fresh = serde_json::to_value(VehicleState::default()).unwrap();
        assert_eq!(
            states
                .with(3, "new", |state| serde_json::to_value(state))
                .unwrap(),
            fresh
        );
        assert_eq!(states.count(), 1);
    }
}
