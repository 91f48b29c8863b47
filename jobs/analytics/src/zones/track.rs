//! Where a vehicle is, where it is heading and how fast: from positions that are noisy, late, held or wrong.

use jiff::Timestamp;
use millrace_contract::Telemetry;
use serde::{Deserialize, Serialize};

use super::shape::{Place, distance, offset};
use crate::episode::since;

/// Fixes kept.
const KEPT: usize = 8;
/// Slower than this, in m/s, a vehicle counts as standing: 5 km/h.
const MOVING: f64 = 5.0 / 3.6;
/// No car is faster, in m/s.
const FASTEST: f64 = 80.0;
/// After so many seconds without a fix nothing is known of the way in between.
const LOST: f64 = 120.0;
/// For so many seconds after a fix the way is reckoned from speed.
const RECKONED: f64 = 45.0;
/// Between rare fixes a change of course by so many degrees is a bend.
const BEND: f64 = 90.0;
/// Accuracy of a fix that does not state it, and the best and worst that is believed, in metres.
const ACCURACY: (f64, f64, f64) = (5.0, 3.0, 50.0);
/// Fixes that state to be worse than this are left out, in metres.
const USELESS: f64 = 100.0;

/// A position at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fix {
    time: Timestamp,
    longitude: f64,
    latitude: f64,
    /// Metres.
    pub accuracy: f64,
}

impl Fix {
    pub fn place(&self) -> Place {
        Place {
            x: self.longitude,
            y: self.latitude,
        }
    }
}

/// A reading with its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reading(Timestamp, f64);

impl Reading {
    fn fresh(reading: Option<Self>, now: Timestamp, seconds: f64) -> Option<f64> {
        reading.filter(|r| since(now, r.0) <= seconds).map(|r| r.1)
    }
}

/// What is known of a vehicle's way. Bounded: at most eight fixes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Track {
    newest: Option<Timestamp>,
    /// Oldest first, all of one way.
    fixes: Vec<Fix>,
    /// A fix that is too far off to be believed unless the next one is near it.
    suspect: Option<Fix>,
    /// Metres driven since the last fix, by speed.
    run: f64,
    speed: Option<Reading>,
    heading: Option<Reading>,
    course: Option<Reading>,
    turning: bool,
    /// Mean speed while moving, over about half a minute, in m/s.
    usual: Option<f64>,
    /// Mean time between fixes while moving, in seconds.
    interval: Option<f64>,
    /// When it moved last.
    pub moved: Option<Timestamp>,
}

/// What an event tells of the way.
pub(crate) struct Seen {
    /// There is a new fix; with it the one before, where that belongs to the same way.
    pub fix: Option<(Fix, Option<Fix>)>,
    /// The way ahead, while moving in a known direction.
    pub ahead: Option<Ahead>,
}

/// The way ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    /// The last fix, from where the course is followed.
    pub from: Place,
    /// Metres driven since.
    pub run: f64,
    /// Degrees clockwise from north.
    pub course: f64,
    /// Metres per second at which the vehicle is expected to go on.
    pub speed: f64,
    /// Whether it is in the middle of a turn.
    pub turning: bool,
    /// Seconds between fixes.
    pub interval: f64,
}

impl Track {
    /// Takes in an event; None when it is older than what is known.
    pub fn observe(&mut self, event: &Telemetry) -> Option<Seen> {
        let now = event.time;
        let elapsed = match self.newest {
            Some(newest) if newest > now => return None,
            Some(newest) => since(now, newest),
            None => 0.0,
        };
        self.newest = Some(now);
        let before = Reading::fresh(self.speed, now, RECKONED);
        if let Some(speed) = event.speed.filter(|s| s.is_finite()) {
            self.speed = Some(Reading(now, speed.max(0.0) / 3.6));
        }
        if let Some(heading) = event.heading.filter(|h| h.is_finite()) {
            self.heading = Some(Reading(now, heading.rem_euclid(360.0)));
        }
        let speed = Reading::fresh(self.speed, now, 10.0);
        // The mean of both ends; a gap is bridged by neither for long.
        let mean = match (before, speed) {
            (Some(a), Some(b)) => (a + b) / 2.0,
            (a, b) => a.or(b).or_else(|| self.over_ground()).unwrap_or(0.0),
        };
        self.run += mean * elapsed.min(RECKONED);
        let fix = self.fix(event, speed);
        let speed = speed.or_else(|| self.over_ground());
        let moving = speed.filter(|s| *s >= MOVING);
        if let Some(speed) = moving {
            self.moved = Some(now);
            let weight = (elapsed / 30.0).clamp(0.02, 1.0);
            self.usual = Some(self.usual.map_or(speed, |u| u + (speed - u) * weight));
        }
        let ahead = moving.and_then(|speed| self.ahead(now, speed));
        Some(Seen { fix, ahead })
    }

    pub fn last(&self) -> Option<&Fix> {
        self.fixes.last()
    }

    fn fix(&mut self, event: &Telemetry, speed: Option<f64>) -> Option<(Fix, Option<Fix>)> {
        let in_range = |v: Option<f64>, most: f64| v.filter(|v| v.abs() <= most);
        let longitude = in_range(event.longitude, 180.0)?;
        let latitude = in_range(event.latitude, 90.0)?;
        // Receivers without a fix send this.
        if longitude == 0.0 && latitude == 0.0 {
            return None;
        }
        let stated = event.horizontal_accuracy.filter(|a| a.is_finite());
        if stated.is_some_and(|a| a > USELESS) {
            return None;
        }
        let fix = Fix {
            time: event.time,
            longitude,
            latitude,
            accuracy: stated.unwrap_or(ACCURACY.0).clamp(ACCURACY.1, ACCURACY.2),
        };
        let Some(last) = self.fixes.last().copied() else {
            self.start(&[fix]);
            return Some((fix, None));
        };
        if last.place() == fix.place() {
            // Held while moving, it says nothing new; standing, it is as good as new.
            if speed.is_some_and(|s| s < MOVING)
                && let Some(last) = self.fixes.last_mut()
            {
                last.time = event.time;
            }
            return None;
        }
        let elapsed = since(fix.time, last.time);
        if elapsed > LOST {
            self.start(&[fix]);
            return Some((fix, None));
        }
        let slack = 50.0 + last.accuracy + fix.accuracy;
        let reachable = |run: f64, elapsed: f64| {
            let fastest = FASTEST * elapsed + slack;
            if speed.is_some() {
                fastest.min(1.5 * run + slack)
            } else {
                fastest
            }
        };
        if distance(last.place(), fix.place()) > reachable(self.run, elapsed) {
            let run = speed.unwrap_or(0.0);
            let again = self.suspect.filter(|s| {
                let elapsed = since(fix.time, s.time);
                s.place() != fix.place()
                    && distance(s.place(), fix.place()) <= reachable(run * elapsed, elapsed)
            });
            if let Some(suspect) = again {
                self.start(&[suspect, fix]);
                return Some((fix, None));
            }
            // The first sight of it counts: a receiver that holds its fixes repeats them.
            if self.suspect.is_none_or(|s| s.place() != fix.place()) {
                self.suspect = Some(fix);
            }
            return None;
        }
        if elapsed > 0.0 && speed.is_none_or(|s| s >= MOVING) {
            self.interval = Some(self.interval.map_or(elapsed, |i| i + (elapsed - i) * 0.2));
        }
        self.suspect = None;
        self.run = 0.0;
        if self.fixes.len() == KEPT {
            self.fixes.remove(0);
        }
        self.fixes.push(fix);
        Some((fix, Some(last)))
    }

    fn start(&mut self, fixes: &[Fix]) {
        self.fixes = fixes.to_vec();
        self.suspect = None;
        self.course = None;
        self.turning = false;
        self.run = 0.0;
    }

    /// The newest fixes that show a direction: over 4 s and 30 m (more when they are inaccurate), or the last two
    /// when they lie farther apart.
    fn recent(&self) -> &[Fix] {
        let Some(last) = self.fixes.last() else {
            return &[];
        };
        let enough = |f: &Fix| {
            let (time, way) = (since(last.time, f.time), distance(f.place(), last.place()));
            time >= 4.0 && way >= 30f64.max(4.0 * last.accuracy) || time > 30.0
        };
        let first = self.fixes.iter().rposition(enough).unwrap_or(0);
        &self.fixes[first..]
    }

    /// Speed and direction of the line that fits the recent fixes best. None when they are too near each other.
    fn line(&self) -> Option<(f64, f64)> {
        let recent = self.recent();
        let (first, last) = (recent.first()?, recent.last()?);
        if distance(first.place(), last.place()) < 15f64.max(3.0 * last.accuracy) {
            return None;
        }
        let points: Vec<(f64, f64, f64)> = recent
            .iter()
            .map(|f| {
                let (x, y) = offset(last.place(), f.place());
                (since(f.time, last.time), x, y)
            })
            .collect();
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (t, x, y) = (mean(|p| p.0), mean(|p| p.1), mean(|p| p.2));
        let fit = |of: &dyn Fn(&(f64, f64, f64)) -> f64| {
            points.iter().map(|p| (p.0 - t) * of(p)).sum::<f64>()
        };
        let squares = fit(&|p| p.0 - t);
        if squares <= 0.0 {
            return None;
        }
        let (vx, vy) = (fit(&|p| p.1 - x) / squares, fit(&|p| p.2 - y) / squares);
        Some((vx.hypot(vy), vx.atan2(vy).to_degrees().rem_euclid(360.0)))
    }

    /// Speed by fixes, for vehicles that do not tell theirs.
    fn over_ground(&self) -> Option<f64> {
        let last = self.fixes.last()?;
        let fresh = since(self.newest?, last.time) <= 10.0;
        self.line().filter(|_| fresh).map(|(speed, _)| speed)
    }

    fn ahead(&mut self, now: Timestamp, speed: f64) -> Option<Ahead> {
        let last = *self.fixes.last()?;
        let age = since(now, last.time);
        if age > RECKONED {
            return None;
        }
        let line = self.line().map(|(_, course)| course);
        let course = match (Reading::fresh(self.heading, now, 5.0), line) {
            // A compass that contradicts the ground that was covered is stuck or mounted askew.
            (Some(heading), Some(line)) if apart(heading, line) > 45.0 => line,
            (Some(heading), _) => heading,
            (None, line) => line?,
        };
        match self.course {
            // Too soon to tell a turn from noise, or no new fix to tell it from.
            Some(Reading(time, before)) if since(now, time) < 1.0 || before == course => {}
            Some(Reading(time, before)) => {
                let (elapsed, change) = (since(now, time), apart(course, before));
                self.turning = if elapsed <= 3.0 {
                    change / elapsed > 8.0
                } else {
                    change > BEND
                };
                self.course = Some(Reading(now, course));
            }
            None => self.course = Some(Reading(now, course)),
        }
        let interval = self.interval.unwrap_or(1.0).min(15.0);
        Some(Ahead {
            from: last.place(),
            run: self.run,
            course,
            // Who slowed down for a bend or a light soon goes on as before.
            speed: speed.max(self.usual.unwrap_or(speed)),
            turning: self.turning,
            interval,
        })
    }
}

/// Degrees between two directions, 0 to 180.
fn apart(a: f64, b: f64) -> f64 {
    ((a - b + 540.0).rem_euclid(360.0) - 180.0).abs()
}
