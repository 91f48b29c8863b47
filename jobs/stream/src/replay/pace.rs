//! When each batch of a trip is due. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;
use millrace_trips::Trip;

/// At a speed, what lies this close together in real time goes into one batch.
const TOGETHER: Duration = Duration::from_millis(250);

/// Where a trip is put in time so that its last sample is measured when it is sent.
///
/// Speed 0 sends at once, so the trip lies in the past as a whole; speed 1 starts now.
#[must_use]
pub fn start_of(trip: &Trip, speed: f64, now: Timestamp) -> Timestamp {
    let length = trip.duration().as_secs_f64();
    let sending = if speed > 0.0 { length / speed } else { 0.0 };
    let before =
        SignedDuration::try_from_secs_f64(length - sending).unwrap_or(SignedDuration::ZERO);
    now.checked_sub(before).unwrap_or(now)
}

/// One batch: when it is due after the start of sending, and its samples.
#[derive(Debug, PartialEq)]
pub struct Batch<'a> {
    /// Due that long after the start.
    pub due: Duration,
    /// In order.
    pub samples: &'a [Telemetry],
}

/// Cuts a trip into batches of at most `size` samples.
#[must_use]
pub fn batches(trip: &Trip, speed: f64, size: usize) -> Vec<Batch<'_>> {
    let size = size.max(1);
    let Some(first) = trip.samples.first().map(|s| s.time) else {
        return Vec::new();
    };
    let due = |sample: &Telemetry| {
        if speed <= 0.0 {
            return Duration::ZERO;
        }
        let seconds = sample.time.duration_since(first).as_secs_f64().max(0.0) / speed;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    };
    let mut batches = Vec::new();
    let mut rest = trip.samples.as_slice();
    while let Some(head) = rest.first() {
        let until = due(head).saturating_add(TOGETHER);
        let fitting = rest
            .iter()
            .take(size)
            .take_while(|s| due(s) < until)
            .count()
            .max(1);
        let (batch, after) = rest.split_at(fitting);
        // Nothing is sent before it was measured: the last one of a batch decides.
        let when = batch.last().map_or(Duration::ZERO, due);
        batches.push(Batch {
            due: when,
            samples: batch,
        });
        rest = after;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_trips::simulate::{SimParams, simulate};

    fn trip() -> Trip {
        simulate(&SimParams {
            duration_seconds: 101,
            ..SimParams::default()
        })
    }

    #[test]
    fn as_fast_as_acknowledged() {
        let trip = trip();
        let all = batches(&trip, 0.0, 30);
        assert_eq!(
            all.iter().map(|b| b.samples.len()).collect::<Vec<_>>(),
            [30, 30, 30, 11]
        );
        assert!(all.iter().all(|b| b.due.is_zero()));
    }

    #[test]
    fn at_a_speed_nothing_is_early() {
        let trip = trip();
        let all = batches(&trip, 10.0, 30);
        assert_eq!(all.iter().map(|b| b.samples.len()).sum::<usize>(), 101);
        let first = trip.samples[0].time;
        for batch in &all {
            for sample in batch.samples {
                assert!(
                    batch.due.as_secs_f64() + 1e-9
                        >= sample.time.duration_since(first).as_secs_f64() / 10.0
                );
            }
        }
        assert_eq!(all.last().unwrap().due, Duration::from_secs(10));
        assert!(
            batches(
                &Trip {
                    samples: Vec::new(),
                    ..trip
                },
                1.0,
                1
            )
            .is_empty()
        );
    }

    #[test]
    fn the_last_sample_is_measured_when_it_is_sent() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let trip = trip();
        assert_eq!(
            start_of(&trip, 0.0, now).to_string(),
            "2026-11-23T11:58:20Z"
        );
        assert_eq!(start_of(&trip, 1.0, now), now);
        assert_eq!(
            start_of(&trip, 10.0, now).to_string(),
            "2026-11-23T11:58:30Z"
        );
    }
}
