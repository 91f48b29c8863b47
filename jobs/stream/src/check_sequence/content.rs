//! What the numbered records hold: lines of text, or telemetry of simulated cars. Pure but for the clock.

use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Invalid, Telemetry, check_vehicle_id, codec};
use millrace_trips::simulate::{SimParams, simulate};

use super::ledger::payload;

const SOURCE: &str = "/millrace/check-sequence";

/// Makes the records.
pub(super) enum Content {
    /// Lines of so many bytes at least.
    Text(usize),
    /// What the car of each partition measures, over and over.
    Cars(Vec<Vec<Telemetry>>),
}

/// A record.
pub(super) struct Body {
    pub(super) key: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) payload: Vec<u8>,
}

impl Content {
    pub(super) fn text(size: u32) -> Self {
        Self::Text(size as usize)
    }

    /// A car for each partition.
    ///
    /// # Errors
    /// The drill's name makes no id of a vehicle.
    pub(super) fn cars(run: &str, partitions: i32) -> Result<Self, Invalid> {
        let trips = (0..partitions).map(|partition| {
            let vehicle = vehicle(run, partition);
            check_vehicle_id(&vehicle)?;
            let params = SimParams {
                vehicle,
                seed: u64::from(partition.unsigned_abs()),
                ..SimParams::default()
            };
            Ok(simulate(&params).samples)
        });
        Ok(Self::Cars(trips.collect::<Result<_, Invalid>>()?))
    }

    /// The record of a partition with this number. An event is measured now.
    pub(super) fn body(&self, run: &str, partition: i32, number: u64) -> Body {
        let cars = match self {
            Self::Text(size) => {
                return Body {
                    key: run.to_owned(),
                    headers: Vec::new(),
                    payload: payload(run, number, *size).into_bytes(),
                };
            }
            Self::Cars(cars) => cars,
        };
        let samples = usize::try_from(partition).ok().and_then(|p| cars.get(p));
        let mut samples = samples.into_iter().flatten();
        let lap = u64::from(SimParams::default().duration_seconds);
        let turn = usize::try_from(number % lap.max(1)).unwrap_or_default();
        let vehicle = vehicle(run, partition);
        let now = millrace_contract::time::truncate(Timestamp::now());
        let event = Telemetry {
            sequence: number,
            time: now,
            ..samples
                .nth(turn)
                .cloned()
                .unwrap_or_else(|| Telemetry::new(&vehicle, number, now))
        };
        Body {
            key: vehicle,
            headers: CloudEvent::of_telemetry(&event, SOURCE).headers(),
            payload: codec::encode(&event),
        }
    }
}

/// The car of a partition.
fn vehicle(run: &str, partition: i32) -> String {
    format!("{run}-{partition}")
}

/// The number of an event, when it is one of this drill.
pub(super) fn number(run: &str, event: &Telemetry) -> Option<u64> {
    let partition = event.vehicle.strip_prefix(run)?.strip_prefix('-')?;
    partition.parse::<i32>().ok().map(|_| event.sequence)
}

#[cfg(test)]
mod tests {
    use super::super::ledger;
    use super::*;

    #[test]
    fn events_are_numbered_too() {
        let content = Content::cars("a", 2).unwrap();
        let Content::Cars(cars) = &content else {
            unreachable!()
        };
        let lap = u64::try_from(cars[1].len()).unwrap();
        for number in [0, 7, lap + 7] {
            let body = content.body("a", 1, number);
            assert_eq!(body.key, "a-1");
            assert!(body.headers.iter().any(|(name, _)| name == "ce_source"));
            assert_eq!(ledger::number("a", &body.payload), Some(number));
            assert_eq!(ledger::number("b", &body.payload), None);
        }
        let of = |number| codec::decode(&content.body("a", 1, number).payload).unwrap();
        assert_eq!(of(7).speed, of(lap + 7).speed);
        assert!(Content::cars("a b", 1).is_err());
    }
}
