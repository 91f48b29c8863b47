//! Readings of one vehicle brought to one a second.
//!
//! Vehicles send at any rate, and some repeat a whole-numbered speed within milliseconds of a change: differences between
//! single readings are no accelerations (they reach 300 m/s² in recorded trips). Means of seconds are.

/// Microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;

/// One reading of a vehicle. A number that was not measured is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Event time, microseconds since 1970, UTC.
    pub micros: i64,
    /// Whose hire it was, by any number; the caller knows the pseudonym. None without a hire.
    pub hire: Option<u32>,
    /// Speed, km/h.
    pub speed: f64,
    /// Engine speed, 1/min.
    pub engine_speed: f64,
    /// Speed limit where the vehicle is, km/h.
    pub speed_limit: f64,
    /// Acceleration forward, m/s².
    pub longitudinal: f64,
    /// Acceleration to the left, m/s².
    pub lateral: f64,
    /// Turn rate, degrees a second.
    pub yaw_rate: f64,
    /// Course, degrees.
    pub heading: f64,
    /// Fuel, litres an hour.
    pub fuel_rate: f64,
    /// Air into the engine, g/s.
    pub air_flow: f64,
}

impl Reading {
    /// A reading in which nothing was measured.
    #[must_use]
    pub const fn empty(micros: i64, hire: Option<u32>) -> Self {
        Self {
            micros,
            hire,
            speed: f64::NAN,
            engine_speed: f64::NAN,
            speed_limit: f64::NAN,
            longitudinal: f64::NAN,
            lateral: f64::NAN,
            yaw_rate: f64::NAN,
            heading: f64::NAN,
            fuel_rate: f64::NAN,
            air_flow: f64::NAN,
        }
    }

    fn averaged(&self) -> [f64; AVERAGED] {
        [
            self.speed,
            self.engine_speed,
            self.longitudinal,
            self.lateral,
            self.yaw_rate,
            self.fuel_rate,
            self.air_flow,
        ]
    }
}

const AVERAGED: usize = 7;

/// The readings of one second, gathered.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    second: i64,
    hire: Option<u32>,
    sums: [f64; AVERAGED],
    counts: [u32; AVERAGED],
    // Angles have no mean of this kind, and limits change by steps: the last one counts.
    heading: f64,
    speed_limit: f64,
}

impl Gathering {
    /// Begins with a second's first reading.
    pub(super) fn new(reading: &Reading) -> Self {
        let mut new = Self {
            second: reading.micros.div_euclid(SECOND),
            hire: reading.hire,
            sums: [0.0; AVERAGED],
            counts: [0; AVERAGED],
            heading: f64::NAN,
            speed_limit: f64::NAN,
        };
        new.add(reading);
        new
    }

    /// Takes in a reading of the same second; gives it back when it is of another.
    pub(super) fn takes(&mut self, reading: &Reading) -> bool {
        let same = reading.micros.div_euclid(SECOND) == self.second;
        if same {
            self.add(reading);
        }
        same
    }

    fn add(&mut self, reading: &Reading) {
        for ((value, sum), count) in reading
            .averaged()
            .into_iter()
            .zip(&mut self.sums)
            .zip(&mut self.counts)
        {
            if !value.is_nan() {
                *sum += value;
                *count += 1;
            }
        }
        if !reading.heading.is_nan() {
            self.heading = reading.heading;
        }
        if !reading.speed_limit.is_nan() {
            self.speed_limit = reading.speed_limit;
        }
    }

    /// The second, when its speed is known.
    pub(super) fn finish(&self) -> Option<Second> {
        let mean = |index: usize| match self.counts[index] {
            0 => f64::NAN,
            count => self.sums[index] / f64::from(count),
        };
        let speed = mean(0);
        (!speed.is_nan()).then(|| Second {
            second: self.second,
            hire: self.hire,
            speed,
            engine_speed: mean(1),
            longitudinal: mean(2),
            lateral: mean(3),
            yaw_rate: mean(4),
            fuel_rate: mean(5),
            air_flow: mean(6),
            heading: self.heading,
            speed_limit: self.speed_limit,
        })
    }
}

/// One second of a vehicle; units as in [`Reading`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    pub(super) second: i64,
    pub(super) hire: Option<u32>,
    pub(super) speed: f64,
    pub(super) engine_speed: f64,
    pub(super) speed_limit: f64,
    pub(super) longitudinal: f64,
    pub(super) lateral: f64,
    pub(super) yaw_rate: f64,
    pub(super) heading: f64,
    pub(super) fuel_rate: f64,
    pub(super) air_flow: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_what_was_measured_and_the_last_course() {
        let mut first = Reading::empty(5_000_000, Some(1));
        first.speed = 10.0;
        first.heading = 359.0;
        let mut second = Reading::empty(5_900_000, Some(2));
        second.speed = 20.0;
        second.engine_speed = 900.0;
        second.heading = 1.0;
        let mut gathering = Gathering::new(&first);
        assert!(gathering.takes(&second));
        assert!(gathering.takes(&Reading::empty(5_950_000, None)));
        assert!(!gathering.takes(&Reading::empty(6_000_000, None)));
        let done = gathering.finish().unwrap();
        assert_eq!((done.second, done.hire), (5, Some(1)));
        assert_eq!(
            (done.speed, done.engine_speed, done.heading),
            (15.0, 900.0, 1.0)
        );
        assert!(done.lateral.is_nan());
        assert!(Gathering::new(&Reading::empty(0, None)).finish().is_none());
    }
}
