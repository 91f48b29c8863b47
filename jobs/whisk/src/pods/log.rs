//! The log of a pod, of which each activation gets its own part.

use jiff::Timestamp;

use crate::pool::{Log, Stream};

/// What the proxies of OpenWhisk write to both streams after each activation.
pub const END: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

/// Proxies end the log of an activation on both streams.
const STREAMS: usize = 2;

/// Where in a pod's log an activation begins, and how many ends each has there.
#[derive(Debug)]
pub struct Position {
    last: Option<Timestamp>,
    /// An activation's log is read until so many ends came: not all images write them.
    expected: usize,
    /// The ends that had come when the log of the last activation was given up.
    given_up: Option<usize>,
    /// It was told that a log is incomplete.
    told: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            last: None,
            expected: STREAMS,
            given_up: None,
            told: false,
        }
    }
}

impl Position {
    /// From when on lines are still to be read.
    pub fn since(&self) -> Option<Timestamp> {
        self.last
    }

    /// How many ends the log of an activation has.
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// The log of an activation is complete, and had so many ends.
    pub fn ended(&mut self, ends: usize) {
        self.expected = self.expected.max(ends.min(STREAMS));
    }

    /// The log of an activation is given up after so many ends. Whether that is to be told: once is enough.
    pub fn give_up(&mut self, ends: usize) -> bool {
        self.given_up = Some(ends);
        !std::mem::replace(&mut self.told, true)
    }

    /// Whether lines may come that belong to an activation whose log was given up.
    pub fn is_behind(&self) -> bool {
        self.given_up.is_some()
    }

    /// All lines of earlier activations have been read, and so many ends that came late: if some are missing yet, this image
    /// does not write them, and none waits for them again.
    pub fn catch_up(&mut self, late: usize) {
        if let Some(ends) = self.given_up.take() {
            self.expected = (ends + late).min(STREAMS);
        }
    }

    /// Goes on at the next second: one that has more lines than are read at once would be read for ever.
    pub fn skip(&mut self) {
        let next = |last: Timestamp| Timestamp::from_second(last.as_second() + 1).ok();
        self.last = self.last.and_then(next);
    }

    /// Takes the lines that are new out of a text in which each has its time; how many ends of an activation were among them.
    ///
    /// Kubernetes does not say of which stream a line is.
    pub fn take(&mut self, text: &str, log: &mut Log) -> usize {
        let mut ends = 0;
        let before = self.last;
        for line in text.lines() {
            let (time, line) = line.split_once(' ').unwrap_or((line, ""));
            let Ok(time) = time.parse::<Timestamp>() else {
                continue;
            };
            if before.is_some_and(|before| time <= before) {
                continue;
            }
            self.last = self.last.max(Some(time));
            if line == END {
                ends += 1;
                continue;
            }
            log.push(Stream::Out, line.as_bytes());
            log.push(Stream::Out, b"\n");
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_are_missing_are_waited_for_once() {
        let mut position = Position::default();
        assert_eq!(position.expected(), 2);
        assert!(position.give_up(1) && position.is_behind());
        // The other one was late.
        position.catch_up(1);
        assert!(!position.is_behind());
        assert_eq!(position.expected(), 2);
        assert!(!position.give_up(0), "it is told already");
        position.catch_up(0);
        assert_eq!(position.expected(), 0);
        // It writes them after all.
        position.ended(2);
        assert_eq!(position.expected(), 2);
        position.ended(4);
        assert_eq!(position.expected(), 2);
    }

    #[test]
    fn a_second_with_too_much_in_it_is_left() {
        let mut position = Position::default();
        position.skip();
        assert_eq!(position.since(), None);
        position.take("2026-01-01T00:00:00.1Z one\n", &mut Log::new(1000));
        position.skip();
        let since = position.since().unwrap().to_string();
        assert_eq!(since, "2026-01-01T00:00:01Z");
    }

    fn texts(log: Log) -> Vec<String> {
        let lines = log.finish();
        lines.iter().map(|line| line[31..].to_owned()).collect()
    }

    #[test]
    fn each_activation_gets_its_own_lines() {
        let first = "2026-01-01T00:00:00.1Z one\n2026-01-01T00:00:00.2Z\n\
                     2026-01-01T00:00:00.3Z XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n\
                     2026-01-01T00:00:00.300000001Z XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n";
        let (mut position, mut log) = (Position::default(), Log::new(1000));
        assert_eq!(position.since(), None);
        assert_eq!(position.take(first, &mut log), 2);
        assert_eq!(texts(log), ["stdout: one", "stdout: "]);
        // Asked for whole seconds, Kubernetes tells some of it again.
        let second = format!("{first}2026-01-01T00:00:00.9Z two words\nno line\n");
        let mut log = Log::new(1000);
        assert_eq!(position.take(&second, &mut log), 0);
        assert_eq!(texts(log), ["stdout: two words"]);
        assert_eq!(
            position.since().unwrap().to_string(),
            "2026-01-01T00:00:00.9Z"
        );
    }
}
