//! Where a car drives: legs of road with a speed each, lights and bends between them.

use millrace_contract::Invalid;

use super::SimParams;
use crate::random::Random;

/// Metres in a degree of latitude.
const DEGREE: f64 = 111_320.0;
/// Comfortable braking, and the hardest, m/s².
const BRAKING: (f64, f64) = (1.6, 2.6);
/// Slower than that is standing, m/s.
const STANDING: f64 = 0.05;

/// A point on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waypoint {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Speed on the leg that begins here, km/h.
    pub speed: f64,
}

/// Reads `LAT,LON[,KMH];LAT,LON[,KMH];…`, at least two points; 50 km/h where no speed is given.
///
/// # Errors
/// Names the point and what is wrong with it.
pub fn parse_waypoints(text: &str) -> Result<Vec<Waypoint>, Invalid> {
    let cure = "write LAT,LON[,KMH];LAT,LON[,KMH], for instance 52.52,13.40,50;52.53,13.45";
    let fail = |value: &str, problem: &str| Invalid::new("waypoints", value, problem, cure);
    let points = text
        .split(';')
        .map(|part| {
            let numbers = part
                .split(',')
                .map(|n| n.trim().parse::<f64>())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| fail(part, "not numbers"))?;
            let (latitude, longitude, speed) = match numbers[..] {
                [latitude, longitude] => (latitude, longitude, 50.0),
                [latitude, longitude, speed] => (latitude, longitude, speed),
                _ => return Err(fail(part, "not two or three numbers")),
            };
            // Nearer to the poles a degree of longitude is too short for flat ground.
            if !(-85.0..=85.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
                return Err(fail(
                    part,
                    "not a place: latitude is from -85 to 85, longitude from -180 to 180",
                ));
            }
            if !(1.0..=250.0).contains(&speed) {
                return Err(fail(part, "the speed is not from 1 to 250 km/h"));
            }
            Ok(Waypoint {
                latitude,
                longitude,
                speed,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let first = points.first().copied();
    if points.len() < 2
        || points
            .iter()
            .all(|p| Some((p.latitude, p.longitude)) == first.map(|f| (f.latitude, f.longitude)))
    {
        return Err(fail(text, "not a way: there are no two places"));
    }
    Ok(points)
}

#[derive(Debug, Clone)]
struct Leg {
    from: (f64, f64),
    to: (f64, f64),
    length: f64,
    bearing: f64,
    /// m/s
    limit: f64,
    /// Speed at its end, m/s.
    end: f64,
    /// How long the car waits at its end, s; 0: it does not stop.
    wait: f64,
}

impl Leg {
    /// A leg from place to place; how it ends depends on the next one.
    fn new(from: (f64, f64), to: (f64, f64), limit: f64, wait: f64) -> Self {
        let (north, east) = offset(from, to);
        Self {
            from,
            to,
            length: north.hypot(east),
            bearing: east.atan2(north).to_degrees().rem_euclid(360.0),
            limit,
            end: 0.0,
            wait,
        }
    }

    /// Slow enough at the end for the bend to the next one.
    fn followed_by(mut self, next: &Self) -> Self {
        let bend = (next.bearing - self.bearing).to_radians().cos();
        let most = self.limit.min(next.limit);
        self.end = if self.wait > 0.0 {
            0.0
        } else if bend > 0.85 {
            most
        } else if bend > -0.2 {
            most.min(6.0)
        } else {
            most.min(2.5)
        };
        self
    }
}

/// A car on its way.
pub(super) struct Drive {
    /// m/s
    pub speed: f64,
    /// m/s²
    pub acceleration: f64,
    /// m since the start
    pub distance: f64,
    leg: Leg,
    next: Leg,
    along: f64,
    waiting: f64,
    centre: (f64, f64),
    radius: f64,
    waypoints: Vec<Waypoint>,
    /// Legs begun so far.
    count: usize,
    /// Metres of open road that are still to come.
    open_road: f64,
    random: Random,
}

impl Drive {
    pub fn new(params: &SimParams) -> Self {
        let mut random = Random::new(params.seed, "route");
        let centre = (params.centre.0.clamp(-85.0, 85.0), params.centre.1);
        let begin = match params.waypoints.first() {
            Some(point) => (point.latitude, point.longitude),
            None => centre,
        };
        // A leg of no length, which is behind the car.
        let mut leg = Leg::new(begin, begin, 10.0, 0.0);
        leg.bearing = (random.unit() * 4.0).floor() * 90.0;
        let mut drive = Self {
            speed: 0.0,
            acceleration: 0.0,
            distance: 0.0,
            along: 0.0,
            waiting: random.between(2.0, 6.0),
            next: leg.clone(),
            leg,
            centre,
            radius: params.radius_km.max(0.5) * 1000.0,
            waypoints: params.waypoints.clone(),
            count: 0,
            open_road: 0.0,
            random,
        };
        drive.next = drive.choose_leg();
        drive.advance();
        drive
    }

    /// On to the next leg.
    fn advance(&mut self) {
        let after = self.choose_leg();
        let leg = std::mem::replace(&mut self.next, after);
        self.leg = leg.followed_by(&self.next);
    }

    pub fn step(&mut self, seconds: f64) {
        if self.waiting > 0.0 {
            self.waiting -= seconds;
            (self.speed, self.acceleration) = (0.0, 0.0);
            return;
        }
        let left = (self.leg.length - self.along).max(0.0);
        // As fast as allows to be slow enough at the end, after this step.
        let reach = (left - self.speed * seconds * 0.5).max(0.0);
        let brake = (self.leg.end.powi(2) + 2.0 * BRAKING.0 * reach).sqrt();
        let target = self.leg.limit.min(brake);
        let change = if target > self.speed {
            ((1.6 - self.speed / 40.0).max(0.4) * seconds).min(target - self.speed)
        } else {
            (target - self.speed).max(-BRAKING.1 * seconds)
        };
        let before = self.speed;
        // Creeps to the line rather than stopping short of it.
        self.speed = (self.speed + change).max(if left > 0.5 { 0.8 } else { 0.0 });
        self.acceleration = (self.speed - before) / seconds;
        let driven = self.speed * seconds;
        self.along += driven;
        self.distance += driven;
        if self.along >= self.leg.length - 0.5 {
            let over = (self.along - self.leg.length).max(0.0);
            self.waiting = self.leg.wait;
            if self.leg.end < STANDING {
                self.speed = 0.0;
            }
            self.advance();
            self.along = over.min(self.leg.length);
        }
    }

    /// Latitude and longitude.
    pub fn position(&self) -> (f64, f64) {
        let share = if self.leg.length > 0.0 {
            (self.along / self.leg.length).min(1.0)
        } else {
            0.0
        };
        let (from, to) = (self.leg.from, self.leg.to);
        (
            from.0 + (to.0 - from.0) * share,
            from.1 + (to.1 - from.1) * share,
        )
    }

    /// Degrees from north, clockwise.
    pub fn heading(&self) -> f64 {
        self.leg.bearing
    }

    /// The leg behind [`Drive::next`].
    fn choose_leg(&mut self) -> Leg {
        let count = self.waypoints.len();
        if count >= 2 {
            let at = |n: usize| self.waypoints[n % count];
            let (begin, end) = (at(self.count), at(self.count + 1));
            self.count += 1;
            let place = |w: Waypoint| (w.latitude, w.longitude);
            return Leg::new(place(begin), place(end), begin.speed / 3.6, 0.0);
        }
        let from = self.next.to;
        let open = self.open_road > 0.0;
        let random = &mut self.random;
        let (length, limit) = if open {
            (random.between(900.0, 2500.0), random.between(70.0, 100.0))
        } else {
            (random.between(160.0, 700.0), random.between(28.0, 53.0))
        };
        let (north, east) = offset(from, self.centre);
        let bearing = if north.hypot(east) > self.radius {
            east.atan2(north).to_degrees() + random.noise(20.0)
        } else {
            let turn = match random.unit() {
                u if u < 0.45 => 0.0,
                u if u < 0.7 => 90.0,
                u if u < 0.95 => -90.0,
                _ => 45.0,
            };
            // Country roads bend, but do not turn off.
            let turn = if open { turn * 0.3 } else { turn };
            self.next.bearing + turn + random.noise(4.0)
        };
        // Now and then the city ends for a while.
        self.open_road = if open {
            self.open_road - length
        } else if random.unit() < 0.12 {
            random.between(2500.0, 7000.0)
        } else {
            0.0
        };
        let wait = if !open && random.unit() < 0.4 {
            random.between(5.0, 45.0)
        } else {
            0.0
        };
        let (sine, cosine) = bearing.to_radians().sin_cos();
        let to = moved(from, length * cosine, length * sine);
        Leg::new(from, to, limit / 3.6, wait)
    }
}

/// Metres north and east from one place to another, on flat ground.
fn offset(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let east = (to.1 - from.1 + 540.0).rem_euclid(360.0) - 180.0;
    (
        (to.0 - from.0) * DEGREE,
        east * DEGREE * from.0.to_radians().cos(),
    )
}

/// The place so many metres north and east.
fn moved(from: (f64, f64), north: f64, east: f64) -> (f64, f64) {
    (
        from.0 + north / DEGREE,
        from.1 + east / (DEGREE * from.0.to_radians().cos()),
    )
}
