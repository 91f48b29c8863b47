//! Seconds of one vehicle to trips: what was driven, for how long, and how.

use millrace_contract::score::ScoreConfig;

use super::second::{Gathering, Reading, Second};

/// What a drive is measured by: sums, so that those of several trips are added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exposure {
    /// Distance, m.
    pub distance: f64,
    /// Time in which the vehicle was watched, s.
    pub watched: f64,
    /// Time of driving, s.
    pub driving: f64,
    /// Time with the engine running, s. 0 where the engine is not known.
    pub engine: f64,
    /// Harsh accelerations.
    pub accelerations: f64,
    /// Harsh brakings.
    pub brakings: f64,
    /// Harsh turns.
    pub turns: f64,
    /// Distance on which the movement sideways was known, m.
    pub turning_distance: f64,
    /// Time of speeding, s.
    pub speeding: f64,
    /// Time of idling, s.
    pub idling: f64,
    /// Fuel, litres, on [`Self::fuel_distance`].
    pub fuel: f64,
    /// Fuel of a good driver on the same distance, litres.
    pub fuel_reference: f64,
    /// Distance on which fuel and its reference were known, m.
    pub fuel_distance: f64,
    /// Time of driving at night, s.
    pub night: f64,
    /// Time of driving beyond a shift without a break, s.
    pub long_shift: f64,
}

impl Exposure {
    /// How many numbers it has.
    pub const LENGTH: usize = 15;

    /// Its numbers, in the order of the fields.
    #[must_use]
    pub fn numbers(&self) -> [f64; Self::LENGTH] {
        [
            self.distance,
            self.watched,
            self.driving,
            self.engine,
            self.accelerations,
            self.brakings,
            self.turns,
            self.turning_distance,
            self.speeding,
            self.idling,
            self.fuel,
            self.fuel_reference,
            self.fuel_distance,
            self.night,
            self.long_shift,
        ]
    }

    /// That of numbers in the order of the fields.
    #[must_use]
    pub fn of(numbers: [f64; Self::LENGTH]) -> Self {
        let [
            distance,
            watched,
            driving,
            engine,
            accelerations,
            brakings,
            turns,
            turning_distance,
            speeding,
            idling,
            fuel,
            fuel_reference,
            fuel_distance,
            night,
            long_shift,
        ] = numbers;
        Self {
            distance,
            watched,
            driving,
            engine,
            accelerations,
            brakings,
            turns,
            turning_distance,
            speeding,
            idling,
            fuel,
            fuel_reference,
            fuel_distance,
            night,
            long_shift,
        }
    }
}

/// A trip that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trip {
    /// Whose hire it was.
    pub hire: Option<u32>,
    /// Its first second, since 1970, UTC.
    pub start: i64,
    /// Its last second, since 1970, UTC.
    pub end: i64,
    /// What was driven.
    pub exposure: Exposure,
}

/// The definition of driving, with everything that does not change from second to second at hand.
#[derive(Debug, Clone)]
pub struct Driving {
    trip_gap: i64,
    longest_step: i64,
    implausible: f64,
    acceleration: f64,
    braking: f64,
    turning: f64,
    course_from: f64,
    driving_from: f64,
    speed_limit: f64,
    tolerance: f64,
    engine_from: f64,
    idle_after: f64,
    night: (i64, i64),
    shift: f64,
    shift_break: i64,
    // Litres an hour of a gramme of air a second.
    fuel_of_air: f64,
}

const KMH: f64 = 3.6;
const DAY: i64 = 86_400;

fn seconds(span: millrace_contract::duration::Span) -> i64 {
    i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX)
}

impl Driving {
    /// That of a configuration.
    #[must_use]
    pub fn new(config: &ScoreConfig) -> Self {
        Self {
            trip_gap: seconds(config.trip_gap),
            longest_step: seconds(config.longest_step),
            implausible: config.implausible_acceleration,
            acceleration: config.acceleration,
            braking: config.braking,
            turning: config.turning,
            course_from: config.course_from,
            driving_from: config.driving_from,
            speed_limit: config.speed_limit,
            tolerance: config.tolerance,
            engine_from: config.engine_from,
            idle_after: config.idle_after.0.as_secs_f64(),
            night: (
                i64::from(config.night_from) * 60,
                i64::from(config.night_to) * 60,
            ),
            shift: config.shift.0.as_secs_f64(),
            shift_break: seconds(config.shift_break),
            fuel_of_air: 3600.0 / config.air_fuel_ratio / config.fuel_density,
        }
    }

    fn is_night(&self, second: i64, utc_offset: i64) -> bool {
        let of_day = (second + utc_offset).rem_euclid(DAY);
        let (from, to) = self.night;
        if from <= to {
            (from..to).contains(&of_day)
        } else {
            of_day >= from || of_day < to
        }
    }

    fn plausible(&self, acceleration: f64) -> f64 {
        if acceleration.abs() <= self.implausible {
            acceleration
        } else {
            f64::NAN
        }
    }

    fn sideways(&self, before: &Second, now: &Second, step: f64) -> f64 {
        let lateral = if !now.lateral.is_nan() {
            now.lateral
        } else if !now.yaw_rate.is_nan() {
            now.yaw_rate.to_radians() * now.speed / KMH
        } else if before.speed >= self.course_from && now.speed >= self.course_from {
            // NaN where one of the courses is not known.
            let turned = (now.heading - before.heading + 540.0).rem_euclid(360.0) - 180.0;
            (turned / step).to_radians() * now.speed / KMH
        } else {
            f64::NAN
        };
        self.plausible(lateral)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Shift {
    driven: f64,
    last: Option<i64>,
    hire: Option<u32>,
}

/// What is going on with one vehicle.
#[derive(Debug, Clone, Default)]
pub struct VehicleDriving {
    gathering: Option<Gathering>,
    last: Option<Second>,
    trip: Option<Trip>,
    harsh: [bool; 3],
    idle: f64,
    shift: Shift,
}

impl VehicleDriving {
    /// Takes in the vehicle's next reading, in the order of time, and gives the trip that ended before it.
    ///
    /// `utc_offset`: what the local time is ahead of UTC at the reading, s. `reference`: litres of a good driver on 100 km,
    /// NaN where not known.
    pub fn observe(
        &mut self,
        driving: &Driving,
        reading: &Reading,
        utc_offset: i64,
        reference: f64,
    ) -> Option<Trip> {
        let Some(gathering) = &mut self.gathering else {
            self.gathering = Some(Gathering::new(reading));
            return None;
        };
        if gathering.takes(reading) {
            return None;
        }
        let done = gathering.finish();
        *gathering = Gathering::new(reading);
        done.and_then(|second| self.step(driving, &second, utc_offset, reference))
    }

    /// There are no more readings: gives the trips that end with it, two at most.
    pub fn finish(
        &mut self,
        driving: &Driving,
        utc_offset: i64,
        reference: f64,
    ) -> impl Iterator<Item = Trip> + use<> {
        let last = self
            .gathering
            .take()
            .and_then(|gathering| gathering.finish());
        let before = last.and_then(|second| self.step(driving, &second, utc_offset, reference));
        let trip = self.end(driving);
        [before, trip].into_iter().flatten()
    }

    fn step(
        &mut self,
        driving: &Driving,
        now: &Second,
        utc_offset: i64,
        reference: f64,
    ) -> Option<Trip> {
        let before = self.last.replace(*now);
        let Some(before) = before.filter(|before| {
            before.hire == now.hire && now.second - before.second <= driving.trip_gap
        }) else {
            let ended = self.end(driving);
            self.trip = Some(Trip {
                hire: now.hire,
                start: now.second,
                end: now.second,
                exposure: Exposure::default(),
            });
            return ended;
        };
        if let Some(trip) = &mut self.trip {
            trip.end = now.second;
        }
        let seconds = now.second - before.second;
        if seconds > driving.longest_step {
            self.harsh = [false; 3];
            self.end_idling(driving);
            return None;
        }
        self.add(driving, &before, now, utc_offset, reference);
        None
    }

    fn add(
        &mut self,
        driving: &Driving,
        before: &Second,
        now: &Second,
        utc_offset: i64,
        reference: f64,
    ) {
        // At most `longest_step`, exact.
        #[allow(clippy::cast_precision_loss)]
        let step = (now.second - before.second) as f64;
        let speed = f64::midpoint(before.speed, now.speed);
        let distance = speed / KMH * step;
        let ahead = driving.plausible(if now.longitudinal.is_nan() {
            (now.speed - before.speed) / KMH / step
        } else {
            now.longitudinal
        });
        let sideways = driving.sideways(before, now, step);
        let harsh = [
            ahead >= driving.acceleration,
            ahead <= -driving.braking,
            sideways.abs() >= driving.turning,
        ];
        let begins: [f64; 3] =
            std::array::from_fn(|i| f64::from(u8::from(harsh[i] && !self.harsh[i])));
        self.harsh = harsh;
        let runs = now.engine_speed >= driving.engine_from;
        let drives = speed >= driving.driving_from;
        let beyond = if drives {
            self.shift(driving, before, now, step)
        } else {
            0.0
        };
        if runs && speed < 1.0 {
            self.idle += step;
        } else {
            self.end_idling(driving);
        }
        let Some(trip) = &mut self.trip else { return };
        let sum = &mut trip.exposure;
        sum.distance += distance;
        sum.watched += step;
        sum.accelerations += begins[0];
        sum.brakings += begins[1];
        sum.turns += begins[2];
        if !sideways.is_nan() {
            sum.turning_distance += distance;
        }
        if runs {
            sum.engine += step;
        }
        if drives {
            sum.driving += step;
            sum.long_shift += beyond;
            if driving.is_night(now.second, utc_offset) {
                sum.night += step;
            }
        }
        let limit = if now.speed_limit.is_nan() {
            driving.speed_limit
        } else {
            now.speed_limit
        };
        if drives && speed > limit + driving.tolerance {
            sum.speeding += step;
        }
        let rate = if now.fuel_rate.is_nan() {
            now.air_flow * driving.fuel_of_air
        } else {
            now.fuel_rate
        };
        if !rate.is_nan() && !reference.is_nan() {
            sum.fuel += rate / 3600.0 * step;
            sum.fuel_distance += distance;
            sum.fuel_reference += reference / 100_000.0 * distance;
        }
    }

    // Seconds of this step that lie beyond a shift.
    fn shift(&mut self, driving: &Driving, before: &Second, now: &Second, step: f64) -> f64 {
        let shift = &mut self.shift;
        let rested = shift
            .last
            .is_none_or(|last| before.second - last >= driving.shift_break);
        if rested || shift.hire != now.hire {
            *shift = Shift::default();
        }
        shift.driven += step;
        shift.last = Some(now.second);
        shift.hire = now.hire;
        (shift.driven - driving.shift).clamp(0.0, step)
    }

    fn end_idling(&mut self, driving: &Driving) {
        let idle = std::mem::take(&mut self.idle);
        if idle >= driving.idle_after
            && let Some(trip) = &mut self.trip
        {
            trip.exposure.idling += idle;
        }
    }

    // A trip in which nothing moved is none.
    fn end(&mut self, driving: &Driving) -> Option<Trip> {
        self.end_idling(driving);
        self.harsh = [false; 3];
        self.trip.take().filter(|trip| trip.exposure.driving > 0.0)
    }
}

#[cfg(test)]
mod tests;
