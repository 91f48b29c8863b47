//! Many rows to events of a steady rate.

use jiff::Timestamp;
use millrace_contract::{Field, Telemetry};

use crate::mapping::Resample;

/// What is known of one signal.
#[derive(Clone, Copy)]
struct Reading {
    /// The cell on the row before.
    before: Option<f64>,
    /// The last reading, and a time at or before which it was made.
    last: Option<(f64, f64)>,
}

/// One event for each step in which there is a row, at the time of its last row, with the last reading of each
/// signal that is not stale.
///
/// Where the table repeats readings, a repeated one may be new or old. Each column is refreshed in turn, so it is
/// not older than a whole cycle of rows.
pub(super) fn resample(
    times: &[f64],
    samples: &[Telemetry],
    fields: &[&'static Field],
    cycle: usize,
    how: &Resample,
) -> (Vec<f64>, Vec<Telemetry>) {
    let Some(&first) = times.first() else {
        return (Vec::new(), Vec::new());
    };
    let step_of = |time: f64| ((time - first) / how.seconds).floor();
    let mut readings = vec![
        Reading {
            before: None,
            last: None,
        };
        fields.len()
    ];
    let (mut kept_times, mut kept) = (Vec::new(), Vec::new());
    for (row, (sample, &now)) in samples.iter().zip(times).enumerate() {
        for (reading, field) in readings.iter_mut().zip(fields) {
            let cell = sample.number(field.name);
            if let Some(value) = cell {
                let repeated = how.repeats && reading.before == cell;
                let at = match reading.last {
                    Some((_, at)) if repeated => {
                        let whole_cycle = (row + 1).checked_sub(cycle).and_then(|r| times.get(r));
                        whole_cycle.map_or(at, |&t| at.max(t))
                    }
                    _ => now,
                };
                reading.last = Some((value, at));
            }
            reading.before = cell;
        }
        if times
            .get(row + 1)
            .is_some_and(|&next| step_of(next) == step_of(now))
        {
            continue;
        }
        let mut event = Telemetry::new(sample.vehicle.as_str(), 0, Timestamp::UNIX_EPOCH);
        event.model.clone_from(&sample.model);
        let mut measured = false;
        for (reading, field) in readings.iter().zip(fields) {
            let fresh = reading
                .last
                .filter(|(_, at)| now - at <= how.stale_after_seconds);
            if let (Some((value, _)), Some(slot)) = (fresh, event.number_mut(field.name)) {
                *slot = Some(value);
                measured = true;
            }
        }
        if measured {
            kept_times.push(now);
            kept.push(event);
        }
    }
    (kept_times, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_contract::telemetry::field;

    fn run(
        rows: &[(f64, Option<f64>, Option<f64>)],
        cycle: usize,
        repeats: bool,
    ) -> Vec<(f64, Option<f64>, Option<f64>)> {
        let fields = [field("speed").unwrap(), field("throttle").unwrap()];
        let samples: Vec<Telemetry> = rows
            .iter()
            .map(|&(_, speed, throttle)| {
                let mut sample = Telemetry::new("v", 0, Timestamp::UNIX_EPOCH);
                (sample.speed, sample.throttle) = (speed, throttle);
                sample
            })
            .collect();
        let times: Vec<f64> = rows.iter().map(|r| r.0).collect();
        let how = Resample {
            seconds: 1.0,
            stale_after_seconds: 3.0,
            repeats,
        };
        let (times, samples) = resample(&times, &samples, &fields, cycle, &how);
        times
            .into_iter()
            .zip(samples)
            .map(|(t, s)| (t, s.speed, s.throttle))
            .collect()
    }

    #[test]
    fn the_last_reading_of_each_second_is_taken() {
        let rows = [
            (10.0, Some(1.0), None),
            (10.4, Some(2.0), None),
            (10.8, None, Some(5.0)),
            (11.5, Some(3.0), None),
        ];
        assert_eq!(
            run(&rows, 2, false),
            [(10.8, Some(2.0), Some(5.0)), (11.5, Some(3.0), Some(5.0))]
        );
    }

    #[test]
    fn what_is_not_refreshed_goes_missing() {
        let mut rows: Vec<_> = (0..7)
            .map(|s| (f64::from(s), Some(f64::from(s)), None))
            .collect();
        rows[0].2 = Some(9.0);
        let throttle: Vec<_> = run(&rows, 2, false).into_iter().map(|r| r.2).collect();
        let nine = Some(9.0);
        assert_eq!(throttle, [nine, nine, nine, nine, None, None, None]);
    }

    #[test]
    fn repeated_readings_are_as_old_as_a_cycle_of_rows() {
        // Constant for long, but refreshed in turn: there all the time.
        let rows: Vec<_> = (0..20)
            .map(|s| (f64::from(s) / 2.0, Some(f64::from(s)), Some(9.0)))
            .collect();
        assert!(run(&rows, 2, true).iter().all(|r| r.2 == Some(9.0)));
        // After a gap the repeated readings are those from before, until a cycle has passed.
        let rows = [
            (0.0, Some(1.0), Some(9.0)),
            (0.5, Some(2.0), Some(9.0)),
            (60.0, Some(3.0), Some(9.0)),
            (61.0, Some(3.0), Some(9.0)),
        ];
        assert_eq!(
            run(&rows, 2, true),
            [
                (0.5, Some(2.0), Some(9.0)),
                (60.0, Some(3.0), None),
                (61.0, Some(3.0), Some(9.0)),
            ]
        );
    }
}
