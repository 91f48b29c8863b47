//! What was driven, as points from 0 to 100.

use millrace_contract::score::ScoreConfig;

use super::trip::Exposure;

/// The parts of a score, each 0 to 100; none where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Parts {
    /// Harsh acceleration.
    pub acceleration: Option<f64>,
    /// Harsh braking.
    pub braking: Option<f64>,
    /// Harsh turns.
    pub turning: Option<f64>,
    /// Speeding.
    pub speeding: Option<f64>,
    /// Idling.
    pub idling: Option<f64>,
    /// Economy.
    pub economy: Option<f64>,
    /// Driving at night.
    pub night: Option<f64>,
    /// Driving too long.
    pub long_shift: Option<f64>,
}

impl Parts {
    /// How many there are.
    pub const LENGTH: usize = 8;

    /// All of them, in the order of the fields.
    #[must_use]
    pub fn all(&self) -> [Option<f64>; Self::LENGTH] {
        [
            self.acceleration,
            self.braking,
            self.turning,
            self.speeding,
            self.idling,
            self.economy,
            self.night,
            self.long_shift,
        ]
    }
}

/// A score with its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// 0 to 100.
    pub total: f64,
    /// What it is made of.
    pub parts: Parts,
}

/// The score of what was driven, on one trip or on many: exposures are added first, so that each trip weighs by what was
/// driven on it. None where nothing was driven.
#[must_use]
pub fn score(config: &ScoreConfig, drive: &Exposure) -> Option<Score> {
    if drive.driving <= 0.0 {
        return None;
    }
    let worst = &config.worst;
    let least = config.least_distance * 1000.0;
    let per_100_km = |count: f64, metres: f64| count / metres.max(least) * 100_000.0;
    let known = |known: bool, rate: f64, worst: f64| known.then(|| points(rate, worst));
    let parts = Parts {
        acceleration: known(
            true,
            per_100_km(drive.accelerations, drive.distance),
            worst.acceleration,
        ),
        braking: known(
            true,
            per_100_km(drive.brakings, drive.distance),
            worst.braking,
        ),
        turning: known(
            drive.turning_distance > 0.0,
            per_100_km(drive.turns, drive.turning_distance),
            worst.turning,
        ),
        speeding: known(true, drive.speeding / drive.driving, worst.speeding),
        idling: known(
            drive.engine > 0.0,
            drive.idling / drive.engine,
            worst.idling,
        ),
        economy: known(
            drive.fuel_distance >= least,
            drive.fuel / drive.fuel_reference - 1.0,
            worst.economy,
        ),
        night: known(true, drive.night / drive.driving, worst.night),
        long_shift: known(true, drive.long_shift / drive.driving, worst.long_shift),
    };
    let (mut sum, mut weight) = (0.0, 0.0);
    for (part, weighs) in parts.all().into_iter().zip(config.weights.all()) {
        if let Some(part) = part {
            sum += part * weighs;
            weight += weighs;
        }
    }
    // A mean of nothing but 100s may round to a little more.
    (weight > 0.0).then(|| Score {
        total: (sum / weight).clamp(0.0, 100.0),
        parts,
    })
}

fn points(rate: f64, worst: f64) -> f64 {
    100.0 * (1.0 - rate / worst).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use millrace_contract::score::Weights;

    use super::*;

    fn drive() -> Exposure {
        Exposure {
            distance: 100_000.0,
            watched: 7200.0,
            driving: 6000.0,
            ..Exposure::default()
        }
    }

    #[test]
    fn points_go_down_evenly_and_end_at_none() {
        let config = ScoreConfig::default();
        let mut drive = drive();
        assert_eq!(score(&config, &drive).unwrap().total, 100.0);
        drive.brakings = 30.0;
        let half = score(&config, &drive).unwrap();
        assert_eq!(half.parts.braking, Some(50.0));
        // Turning, idling and economy are not known and weigh nothing: 70 of 100 are left.
        assert_eq!((half.parts.turning, half.parts.economy), (None, None));
        let expected = 100.0 - 50.0 * 20.0 / 70.0;
        assert!((half.total - expected).abs() < 1e-9, "{}", half.total);
        drive.brakings = 1000.0;
        assert_eq!(score(&config, &drive).unwrap().parts.braking, Some(0.0));
        assert_eq!(score(&config, &Exposure::default()), None);
    }

    #[test]
    fn rounding_lifts_no_score_above_100() {
        let perfect = Exposure {
            engine: 7000.0,
            turning_distance: 100_000.0,
            fuel: 5.0,
            fuel_reference: 6.0,
            fuel_distance: 100_000.0,
            ..drive()
        };
        let total = |weight: f64| {
            let weights = Weights {
                acceleration: weight,
                braking: weight,
                turning: weight,
                speeding: weight,
                idling: weight,
                economy: weight,
                night: weight,
                long_shift: weight,
            };
            let config = ScoreConfig {
                weights,
                ..ScoreConfig::default()
            };
            let score = score(&config, &perfect).unwrap();
            assert!(score.parts.all().iter().all(Option::is_some), "{score:?}");
            score.total
        };
        // Unrounded 80 by 0.7999999999999999 would be 100.00000000000001.
        assert_eq!(total(0.1), 100.0);
        for n in 1..1000 {
            let total = total(f64::from(n) / 1000.0);
            assert!((99.999..=100.0).contains(&total), "{n}: {total}");
        }
    }

    #[test]
    fn a_short_drive_is_not_judged_by_one_event() {
        let config = ScoreConfig::default();
        let one = Exposure {
            distance: 500.0,
            driving: 60.0,
            brakings: 1.0,
            ..Exposure::default()
        };
        // One on 5 km is 20 on 100 km.
        let braking = score(&config, &one).unwrap().parts.braking.unwrap();
        assert!((braking - 100.0 * (1.0 - 20.0 / 60.0)).abs() < 1e-9);
    }

    #[test]
    fn economy_is_what_was_used_over_what_a_good_driver_would() {
        let config = ScoreConfig::default();
        let with = |fuel: f64| Exposure {
            fuel,
            fuel_reference: 6.0,
            fuel_distance: 100_000.0,
            ..drive()
        };
        let part = |fuel| score(&config, &with(fuel)).unwrap().parts.economy.unwrap();
        assert_eq!(part(5.0), 100.0);
        assert!((part(9.0) - 50.0).abs() < 1e-9);
        assert_eq!(part(20.0), 0.0);
    }
}
