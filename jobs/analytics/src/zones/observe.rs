//! Which zones a vehicle is about to enter or leave, or is in.

use jiff::Timestamp;
use millrace_contract::{AlertDetails, Severity, Telemetry, ZoneAhead};
use serde::{Deserialize, Serialize};

use super::curfew::{Period, after, in_force};
use super::read::{Kind, Zone};
use super::shape::{Path, around};
use super::track::{Ahead, Fix, Seen, Track};
use super::{ZoneRules, Zones};
use crate::Finding;
use crate::episode::{Episode, Raised, Verdict, since};
use crate::finding::{duration, tenths};

/// Zones followed at once: those that the vehicle is in, is heading for, or was warned of lately.
pub(crate) const FOLLOWED: usize = 16;
/// A vehicle that moved so lately, in seconds, is in use.
const IN_USE: f64 = 120.0;
/// A standing vehicle keeps its episodes for so many seconds.
const WAITING: f64 = 900.0;
/// So many seconds a course must point at a zone that is not near yet.
const CONFIRMED: f64 = 2.0;
/// In a bend, and before it is confirmed, only what is so near counts, in seconds.
const NEAR: f64 = 10.0;
/// Fixes on the boundary and just inside, one after the other while moving, that make a vehicle inside.
const LINGERING: u8 = 3;

/// What is known of a vehicle's way and of the zones near it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    track: Track,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    followed: Vec<Followed>,
}

/// What is known of a vehicle and one zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Followed {
    zone: String,
    /// Whether it is inside, once a fix was clear of the boundary.
    inside: bool,
    /// Fixes just inside, see [`LINGERING`].
    #[serde(default)]
    lingering: u8,
    /// Whether the last fix was on the boundary.
    #[serde(default)]
    boundary: bool,
    /// Since when its course points at the boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pointing: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Episode::is_idle")]
    entering: Episode,
    #[serde(default, skip_serializing_if = "Episode::is_idle")]
    leaving: Episode,
    /// When something was judged of it last.
    last: Timestamp,
}

/// How near the boundary is along the course.
#[derive(Debug, Clone, Copy)]
struct Reach {
    metres: f64,
    seconds: f64,
}

/// What is to be said of one zone.
struct Judged {
    verdict: Verdict,
    reach: Option<Reach>,
    period: Option<Period>,
    /// The curfew is not in force yet, and the vehicle is inside.
    begins: bool,
}

impl Judged {
    fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            reach: None,
            period: None,
            begins: false,
        }
    }
}

/// Takes in an event's position, speed and heading.
pub(crate) fn observe(
    rules: &ZoneRules,
    zones: &Zones,
    state: &mut State,
    event: &Telemetry,
) -> Vec<Finding> {
    if !rules.enabled || zones.is_empty() {
        return Vec::new();
    }
    let Some(seen) = state.track.observe(event) else {
        return Vec::new();
    };
    let now = event.time;
    state.followed.retain(|f| zones.number(&f.zone).is_some());
    let crossed = match &seen.fix {
        Some((fix, before)) => sides(zones, state, fix, before.as_ref(), now),
        None => Vec::new(),
    };
    let mut numbers: Vec<u32> = state
        .followed
        .iter()
        .filter_map(|f| zones.number(&f.zone))
        .collect();
    if let Some(ahead) = &seen.ahead {
        zones.ahead(rules.lead_seconds, &mut numbers, |lead| {
            path(ahead, ahead.course, lead).map(|path| path.bounds())
        });
    }
    // In the order of the files: the same, however the index is built.
    numbers.sort_unstable();
    numbers.dedup();
    let mut findings = Vec::new();
    for number in numbers {
        if let Some(zone) = zones.get(number) {
            let crossed = crossed.contains(&number);
            findings.extend(judge(rules, state, zone, &seen, crossed, event));
        }
    }
    forget(rules, state, now);
    findings
}

/// The way within the lead, with what is allowed for its uncertainty: it is looked at up to one and a half times
/// the lead, for hysteresis.
fn path(ahead: &Ahead, course: f64, lead: f64) -> Option<Path> {
    let seconds = allowed(ahead, lead) * 1.5;
    Path::new(ahead.from, course, ahead.run + ahead.speed * seconds + 10.0)
}

/// The lead, and what passes until the next fix and until a course is confirmed: so the lead asked for is kept.
fn allowed(ahead: &Ahead, lead: f64) -> f64 {
    lead * 1.1 + ahead.interval + CONFIRMED
}

/// Brings up to date on which side of the boundaries the vehicle is; gives the zones whose boundary it crossed.
fn sides(
    zones: &Zones,
    state: &mut State,
    fix: &Fix,
    before: Option<&Fix>,
    now: Timestamp,
) -> Vec<u32> {
    let place = fix.place();
    let mut numbers: Vec<u32> = state
        .followed
        .iter()
        .filter_map(|f| zones.number(&f.zone))
        .collect();
    zones.near(around(place, fix.accuracy), &mut numbers);
    numbers.sort_unstable();
    numbers.dedup();
    let moved = state.track.moved == Some(now);
    let mut crossed = Vec::new();
    for number in numbers {
        let Some(zone) = zones.get(number) else {
            continue;
        };
        let inside = zone.shape.contains(place);
        let boundary = zone.shape.boundary_within(place, fix.accuracy);
        let known = state.followed.iter().any(|f| f.zone == zone.id);
        if !known && !inside && !boundary {
            continue;
        }
        let was = before.map_or(inside, |b| zone.shape.contains(b.place()));
        let Some(followed) = follow(state, &zone.id, was, now) else {
            continue;
        };
        followed.boundary = boundary;
        followed.lingering = if inside && boundary && !followed.inside && moved {
            followed.lingering.saturating_add(1)
        } else {
            0
        };
        let is = if followed.lingering >= LINGERING {
            true
        } else if boundary {
            followed.inside
        } else {
            inside
        };
        if is != followed.inside {
            followed.inside = is;
            followed.pointing = None;
            followed.lingering = 0;
            crossed.push(number);
        }
    }
    crossed
}

fn follow<'a>(
    state: &'a mut State,
    zone: &str,
    inside: bool,
    now: Timestamp,
) -> Option<&'a mut Followed> {
    if let Some(i) = state.followed.iter().position(|f| f.zone == zone) {
        return state.followed.get_mut(i);
    }
    if state.followed.len() >= FOLLOWED {
        // The one that matters least: without an episode, outside, judged longest ago.
        let (i, least) = state
            .followed
            .iter()
            .enumerate()
            .min_by_key(|(_, f)| (f.is_open(), f.inside, f.last))?;
        if least.is_open() {
            return None;
        }
        state.followed.remove(i);
    }
    state.followed.push(Followed {
        zone: zone.to_owned(),
        inside,
        lingering: 0,
        boundary: false,
        pointing: None,
        entering: Episode::default(),
        leaving: Episode::default(),
        last: now,
    });
    state.followed.last_mut()
}

impl Followed {
    fn is_open(&self) -> bool {
        self.entering.is_open() || self.leaving.is_open()
    }
}

/// Forgets zones that are neither near nor told of lately.
fn forget(rules: &ZoneRules, state: &mut State, now: Timestamp) {
    let kept = rules.cooldown_seconds.max(rules.clear_after_seconds) + 60.0;
    state.followed.retain(|f| {
        let never_told = f.entering.is_idle() && f.leaving.is_idle();
        let near = f.inside || f.boundary || f.pointing.is_some();
        near || f.is_open() || !never_told && since(now, f.last) <= kept
    });
}

fn judge(
    rules: &ZoneRules,
    state: &mut State,
    zone: &Zone,
    seen: &Seen,
    crossed: bool,
    event: &Telemetry,
) -> Option<Finding> {
    let now = event.time;
    let lead = zone.lead.unwrap_or(rules.lead_seconds);
    let inside = state
        .followed
        .iter()
        .find(|f| f.zone == zone.id)
        .map(|f| f.inside);
    let boundary_ahead = zone.kind == Kind::Border || inside != Some(true);
    let reach = seen
        .ahead
        .as_ref()
        .filter(|_| boundary_ahead)
        .and_then(|ahead| reach(zone, ahead, lead, inside == Some(true)));
    if inside.is_none() && reach.is_none() {
        return None;
    }
    let idle = state.track.moved.map_or(f64::MAX, |m| since(now, m));
    let here = state.track.last().map(|f| f.place());
    let inside = inside.unwrap_or_else(|| here.is_some_and(|p| zone.shape.contains(p)));
    let followed = follow(state, &zone.id, inside, now)?;
    if reach.is_none() {
        followed.pointing = None;
    }
    let counts = reach.filter(|r| confirmed(followed, r, seen, now));
    let seconds = |ahead: &Ahead| allowed(ahead, lead);
    let within = seen.ahead.as_ref().map_or(lead, seconds);
    let ahead = counts.filter(|r| r.seconds <= within);
    let approaching = match (ahead, reach) {
        (Some(reach), _) => Judged {
            reach: Some(reach),
            ..Judged::only(Verdict::Wrong(Severity::Warning))
        },
        // Still pointing at it, or on the boundary, or waiting: not over yet.
        (None, Some(_)) => Judged::only(Verdict::Between),
        (None, None) if followed.boundary && !inside => Judged::only(Verdict::Between),
        (None, None) if seen.ahead.is_none() && idle <= WAITING => Judged::only(Verdict::Between),
        (None, None) => Judged::only(Verdict::Clear),
    };
    let judged = match zone.kind {
        Kind::Border if crossed => {
            // It is entered or left now, and the side has changed already.
            let told = Judged {
                reach: Some(Reach {
                    metres: 0.0,
                    seconds: 0.0,
                }),
                ..Judged::only(Verdict::Wrong(Severity::Warning))
            };
            return tell(rules, followed, zone, told, !inside, lead, event);
        }
        Kind::Border => approaching,
        Kind::Closed if inside => Judged::only(Verdict::Wrong(Severity::Critical)),
        Kind::Closed => approaching,
        Kind::Curfew if inside => inside_curfew(zone, now, lead, idle),
        Kind::Curfew => before_curfew(zone, approaching, now, lead),
    };
    let leaving = zone.kind == Kind::Border && inside;
    // What concerns the other direction is over.
    let other = if leaving {
        &mut followed.entering
    } else {
        &mut followed.leaving
    };
    if other.is_open() {
        other.judge(now, Verdict::Clear, rules.pace());
    }
    tell(rules, followed, zone, judged, leaving, lead, event)
}

/// Where the course meets the boundary. The middle of the fan must meet it; farther off also its sides
/// must: who drives along a boundary is not heading for it.
fn reach(zone: &Zone, ahead: &Ahead, lead: f64, leaving: bool) -> Option<Reach> {
    let middle = path(ahead, ahead.course, lead)?;
    let at = zone.shape.first(&middle, !leaving)?;
    let metres = (at - ahead.run).max(0.0);
    let reach = Reach {
        metres,
        seconds: metres / ahead.speed.max(0.1),
    };
    let sides = |degrees: f64| {
        Path::new(ahead.from, ahead.course + degrees, middle.length() * 1.4)
            .is_some_and(|side| zone.shape.first(&side, !leaving).is_some())
    };
    let sure = reach.seconds <= SURE.min(lead / 2.0) || (sides(FAN) && sides(-FAN));
    sure.then_some(reach)
}

/// How uncertain a direction is, in degrees to either side.
const FAN: f64 = 2.5;
/// So near, in seconds, the uncertainty matters little.
const SURE: f64 = 15.0;

fn confirmed(followed: &mut Followed, reach: &Reach, seen: &Seen, now: Timestamp) -> bool {
    let Some(ahead) = &seen.ahead else {
        return false;
    };
    let first = *followed.pointing.get_or_insert(now);
    // Between rare fixes the same course is only repeated.
    let repeated = ahead.interval >= 5.0 || since(now, first) >= CONFIRMED;
    reach.seconds <= NEAR || repeated && !ahead.turning
}

fn inside_curfew(zone: &Zone, now: Timestamp, lead: f64, idle: f64) -> Judged {
    let Some(period) = in_force(&zone.curfew, now, after(now, lead)) else {
        return Judged::only(Verdict::Clear);
    };
    // Who is parked breaks no curfew.
    if idle > IN_USE {
        let waiting = idle <= WAITING;
        return Judged::only(if waiting {
            Verdict::Between
        } else {
            Verdict::Clear
        });
    }
    let begins = period.start > now;
    let severity = if begins {
        Severity::Warning
    } else {
        Severity::Critical
    };
    Judged {
        verdict: Verdict::Wrong(severity),
        reach: None,
        period: Some(period),
        begins,
    }
}

/// Ahead of a curfew area only a curfew counts that is in force on entry, or begins within the lead thereafter.
fn before_curfew(zone: &Zone, approaching: Judged, now: Timestamp, lead: f64) -> Judged {
    let Some(reach) = approaching.reach else {
        return approaching;
    };
    let entry = after(now, reach.seconds);
    match in_force(&zone.curfew, entry, after(entry, lead)) {
        Some(period) => Judged {
            period: Some(period),
            ..approaching
        },
        None => Judged::only(Verdict::Clear),
    }
}

/// Lets the episode judge, and words what is due.
fn tell(
    rules: &ZoneRules,
    followed: &mut Followed,
    zone: &Zone,
    judged: Judged,
    leaving: bool,
    lead: f64,
    event: &Telemetry,
) -> Option<Finding> {
    let now = event.time;
    if judged.verdict != Verdict::Clear {
        followed.last = now;
    }
    let episode = if leaving {
        &mut followed.leaving
    } else {
        &mut followed.entering
    };
    let raised = episode.judge(now, judged.verdict, rules.pace())?;
    let Verdict::Wrong(severity) = judged.verdict else {
        return None;
    };
    Some(finding(
        zone, &judged, severity, raised, leaving, lead, event,
    ))
}

fn finding(
    zone: &Zone,
    judged: &Judged,
    severity: Severity,
    raised: Raised,
    leaving: bool,
    lead: f64,
    event: &Telemetry,
) -> Finding {
    let rule = match zone.kind {
        Kind::Border => super::BORDER,
        Kind::Closed => super::CLOSED_ZONE,
        Kind::Curfew => super::CURFEW,
    };
    let subject = if leaving {
        format!("{}/leaving", zone.id)
    } else {
        zone.id.clone()
    };
    let until_start = judged
        .period
        .filter(|_| judged.begins)
        .map(|p| since(p.start, raised.time).max(0.0));
    let (metres, seconds) = judged.reach.map_or((0.0, 0.0), |r| (r.metres, r.seconds));
    let seconds = until_start.unwrap_or(seconds);
    let ahead = judged.reach.is_some_and(|r| r.metres > 0.0) || judged.begins;
    Finding {
        rule: rule.into(),
        severity,
        episode: raised.id(&event.vehicle, rule, &subject),
        event_time: raised.time,
        signal: super::SIGNAL.into(),
        value: tenths(seconds),
        threshold: lead,
        trend_per_minute: None,
        seconds_to_limit: ahead.then(|| seconds.round()),
        text: text(zone, judged, severity, leaving, seconds),
        details: AlertDetails {
            zone: Some(ZoneAhead {
                id: zone.id.clone(),
                name: zone.name.clone(),
                kind: zone.kind.as_str().to_owned(),
                leaving,
                distance_m: metres.round(),
                seconds: tenths(seconds),
                until: judged.period.map(|p| p.end),
            }),
            ..AlertDetails::default()
        },
        unit: Some("s"),
    }
}

fn text(zone: &Zone, judged: &Judged, severity: Severity, leaving: bool, seconds: f64) -> String {
    let name = &zone.name;
    let soon = match judged.reach {
        Some(r) if r.metres > 0.0 => format!(" in about {} ({:.0} m)", duration(seconds), r.metres),
        _ => String::new(),
    };
    let until = match (judged.period, zone.curfew.first()) {
        (Some(p), Some(window)) => {
            let end = p.end.to_zoned(window.zone.clone());
            format!("curfew until {:02}:{:02}", end.hour(), end.minute())
        }
        _ => "curfew".to_owned(),
    };
    match (zone.kind, severity) {
        (Kind::Border, _) if leaving && soon.is_empty() => format!("{name} was left"),
        (Kind::Border, _) if leaving => format!("Border ahead: {name} is left{soon}"),
        (Kind::Border, _) if soon.is_empty() => format!("{name} was entered"),
        (Kind::Border, _) => format!("Border ahead: {name}{soon}"),
        (Kind::Closed, Severity::Critical) => format!("Inside the closed zone {name}"),
        (Kind::Closed, _) => format!("Closed zone ahead: {name}{soon}"),
        (Kind::Curfew, Severity::Critical) => format!("Inside the curfew area {name}: {until}"),
        (Kind::Curfew, _) if judged.begins => {
            format!(
                "In {name} a curfew begins in about {}; {until}",
                duration(seconds)
            )
        }
        (Kind::Curfew, _) => format!("Curfew area ahead: {name}{soon}; {until}"),
    }
}
