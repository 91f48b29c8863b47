//! What came back: repetitions dropped, times measured.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::{Notification, WarningLine};
use millrace_trips::Trip;

/// Gathers what vehicles receive.
#[derive(Debug, Default)]
pub struct Report {
    seen: HashSet<String>,
    trips: HashMap<String, Span>,
    warned: HashSet<String>,
    // Of the first warning of each vehicle.
    first: Vec<Duration>,
    longest: Duration,
    /// Deliveries of an id that had come before.
    pub repetitions: usize,
    /// Deliveries that belong to an earlier trip of a vehicle.
    pub earlier: usize,
}

/// Times from sending an event to the delivery of its warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// Median of the first warnings of each vehicle: these wait for nothing.
    pub first: Duration,
    /// The longest of them.
    pub first_longest: Duration,
    /// The longest of all warnings: a later one may have waited until it was quiet in the car.
    pub longest: Duration,
}

#[derive(Debug)]
struct Span {
    from: Timestamp,
    until: Timestamp,
    // Event time of the last sample of each batch, and when it was sent.
    sent: Vec<(Timestamp, Timestamp)>,
}

impl Report {
    /// A report on these trips.
    #[must_use]
    pub fn of(trips: &[Trip]) -> Self {
        let mut report = Self::default();
        for trip in trips {
            if let (Some(first), Some(last)) = (trip.samples.first(), trip.samples.last()) {
                let span = Span {
                    from: first.time,
                    until: last.time,
                    sent: Vec::new(),
                };
                report.trips.insert(trip.vehicle.clone(), span);
            }
        }
        report
    }

    /// A batch that ends with this event time is sent.
    pub fn sent(&mut self, vehicle: &str, last: Timestamp, now: Timestamp) {
        if let Some(span) = self.trips.get_mut(vehicle) {
            span.sent.push((last, now));
        }
    }

    /// A vehicle received a notification: the line to be printed, unless it is a repetition or of an earlier
    /// trip.
    pub fn received(&mut self, notification: &Notification, now: Timestamp) -> Option<WarningLine> {
        let span = self.trips.get(&notification.vehicle)?;
        if notification.event_time < span.from || notification.event_time > span.until {
            self.earlier += 1;
            return None;
        }
        if !self.seen.insert(notification.id.clone()) {
            self.repetitions += 1;
            return None;
        }
        if let Some((_, sent)) = span
            .sent
            .iter()
            .find(|(last, _)| *last >= notification.event_time)
        {
            let delay = now.duration_since(*sent).unsigned_abs();
            self.longest = self.longest.max(delay);
            if self.warned.insert(notification.vehicle.clone()) {
                self.first.push(delay);
            }
        }
        Some(WarningLine {
            delivered_at: Some(now),
            ..WarningLine::from(notification)
        })
    }

    /// How many different warnings were received.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.seen.len()
    }

    /// How long warnings were under way; none without any.
    #[must_use]
    pub fn delays(&self) -> Option<Delays> {
        let mut sorted = self.first.clone();
        sorted.sort_unstable();
        Some(Delays {
            first: *sorted.get(sorted.len() / 2)?,
            first_longest: *sorted.last()?,
            longest: self.longest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_trips::simulate::{SimParams, simulate};

    #[test]
    fn repetitions_and_earlier_trips_are_dropped() {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let at = |s: i64| start + jiff::SignedDuration::from_secs(s);
        let trip = simulate(&SimParams {
            start,
            duration_seconds: 100,
            ..SimParams::default()
        });
        let vehicle = trip.vehicle.clone();
        let mut report = Report::of(&[trip]);
        report.sent(&vehicle, at(50), at(200));
        report.sent(&vehicle, at(99), at(201));
        let notification = |id: &str, event: i64| Notification {
            id: id.to_owned(),
            vehicle: vehicle.clone(),
            rule: "overheating".to_owned(),
            severity: millrace_contract::Severity::Warning,
            episode: "e".to_owned(),
            event_time: at(event),
            detected_at: at(202),
            language: "en".to_owned(),
            text: "hot".to_owned(),
            ssml: String::new(),
            expires_at: at(900),
        };
        let line = report.received(&notification("a", 60), at(203)).unwrap();
        assert_eq!(line.delivered_at, Some(at(203)));
        assert!(report.received(&notification("a", 60), at(204)).is_none());
        assert!(report.received(&notification("b", -5), at(204)).is_none());
        assert!(report.received(&notification("c", 10), at(224)).is_some());
        assert_eq!(
            (report.warnings(), report.repetitions, report.earlier),
            (2, 1, 1)
        );
        assert_eq!(
            report.delays(),
            Some(Delays {
                first: Duration::from_secs(2),
                first_longest: Duration::from_secs(2),
                longest: Duration::from_secs(24),
            }),
            "the second of a vehicle waited for quiet"
        );
    }
}
