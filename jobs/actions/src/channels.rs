//! The channels over which a warning goes out, and the attempts at each of them.

pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod smtp;
pub(crate) mod webhook;

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::retry::{attempt_time, pause};
use crate::secret::Scrubber;

/// What a mail says.
pub(crate) struct Letter {
    /// Names what it is about, for good: a mail that comes twice is known by it.
    pub(crate) id: String,
    pub(crate) subject: String,
    /// BCP 47 tag of the language of subject and body.
    pub(crate) language: String,
    /// Lines that end with CR and LF.
    pub(crate) body: String,
}

/// What one attempt led to.
pub(crate) enum Attempt {
    /// It was taken.
    Told {
        /// Whether the receiver says that it had it already.
        duplicate: bool,
        /// Which of several receivers will never take it, and why.
        refused: Option<String>,
    },
    /// It may succeed later.
    Again {
        /// What went wrong.
        problem: String,
        /// How long the receiver asks to wait at least.
        wait: Option<Duration>,
    },
    /// It will not succeed, however often it is tried.
    Refused(String),
}

/// One way to tell.
pub(crate) trait Channel {
    /// Its name among the parameters.
    fn name(&self) -> &'static str;
    /// Who is told, for messages; without secrets.
    fn receiver(&self) -> String;
    /// The longest that one attempt may take.
    fn longest(&self) -> Duration;
    /// Whether it is told only when the others are through, because telling it twice shows.
    fn goes_last(&self) -> bool {
        false
    }
    /// Tells once, within about `time`.
    fn attempt(&self, time: Duration) -> Attempt;
}

/// How a channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Told; whether the receiver had it already, and which of several will never take it.
    Told {
        duplicate: bool,
        refused: Option<String>,
    },
    /// Not told, and trying again later may help.
    Passing(String),
    /// Not told, and trying again will not help.
    Final(String),
}

/// A channel on its way.
struct Line<'a> {
    channel: &'a dyn Channel,
    attempts: u32,
    /// Time since the start at which the next attempt is due.
    due: Duration,
    problem: Option<String>,
    outcome: Option<Outcome>,
}

/// Tells every channel, each again until it is told, refuses, or `patience` is at an end: one after the other in one
/// thread, the one whose turn came first going first, so that none that hangs keeps the others waiting for long.
/// The outcomes are in the order of `channels`.
pub(crate) fn tell(
    channels: &[Box<dyn Channel>],
    patience: Duration,
    scrubber: &Scrubber,
) -> Vec<(&'static str, Outcome)> {
    let started = Instant::now();
    let mut lines: Vec<Line<'_>> = channels
        .iter()
        .map(|channel| Line {
            channel: channel.as_ref(),
            attempts: 0,
            due: Duration::ZERO,
            problem: None,
            outcome: None,
        })
        .collect();
    loop {
        let others_open = lines
            .iter()
            .any(|line| line.outcome.is_none() && !line.channel.goes_last());
        let next = lines
            .iter_mut()
            .filter(|line| line.outcome.is_none() && !(others_open && line.channel.goes_last()))
            .min_by_key(|line| line.due);
        let Some(line) = next else { break };
        let elapsed = started.elapsed();
        let wait = line.due.saturating_sub(elapsed);
        let left = patience.saturating_sub(elapsed).saturating_sub(wait);
        let Some(time) = attempt_time(left, line.channel.longest()) else {
            // To end now would bring the next activation, and its attempts, before the receiver wants them.
            sleep(patience.saturating_sub(elapsed));
            break;
        };
        sleep(wait);
        line.attempt(time, started, scrubber);
    }
    lines.into_iter().map(Line::end).collect()
}

impl Line<'_> {
    fn attempt(&mut self, time: Duration, started: Instant, scrubber: &Scrubber) {
        self.attempts += 1;
        match self.channel.attempt(time) {
            Attempt::Told { duplicate, refused } => {
                let refused = refused.map(|problem| self.reason(&problem, scrubber));
                self.outcome = Some(Outcome::Told { duplicate, refused });
            }
            Attempt::Refused(problem) => {
                self.outcome = Some(Outcome::Final(self.reason(&problem, scrubber)));
            }
            Attempt::Again { problem, wait } => {
                let problem = scrubber.clean(&problem);
                eprintln!(
                    "{}, attempt {}: {problem}",
                    self.channel.name(),
                    self.attempts
                );
                let wait = wait.unwrap_or_default().max(pause(self.attempts));
                self.due = started.elapsed().saturating_add(wait);
                self.problem = Some(problem);
            }
        }
    }

    fn reason(&self, problem: &str, scrubber: &Scrubber) -> String {
        format!("{}: {}", self.channel.receiver(), scrubber.clean(problem))
    }

    fn end(self) -> (&'static str, Outcome) {
        let outcome = self.outcome.unwrap_or_else(|| {
            let receiver = self.channel.receiver();
            let reason = match self.problem {
                Some(problem) => format!(
                    "{receiver}: {problem} after {} attempts; it may be sent again with the same id",
                    self.attempts
                ),
                None if self.channel.goes_last() => {
                    format!("{receiver}: held back until the other channels are told")
                }
                None => format!("{receiver}: no time left before the deadline"),
            };
            Outcome::Passing(reason)
        });
        (self.channel.name(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    type Log = Rc<RefCell<Vec<&'static str>>>;

    /// Answers from a list, and remembers the order in which it was asked.
    struct Listed {
        name: &'static str,
        last: bool,
        answers: RefCell<Vec<Attempt>>,
        log: Log,
    }

    impl Channel for Listed {
        fn name(&self) -> &'static str {
            self.name
        }
        fn receiver(&self) -> String {
            format!("{} at home", self.name)
        }
        fn longest(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn goes_last(&self) -> bool {
            self.last
        }
        fn attempt(&self, _: Duration) -> Attempt {
            self.log.borrow_mut().push(self.name);
            let mut answers = self.answers.borrow_mut();
            if answers.len() > 1 {
                return answers.remove(0);
            }
            match answers.first() {
                Some(Attempt::Again { problem, wait }) => Attempt::Again {
                    problem: problem.clone(),
                    wait: *wait,
                },
                Some(Attempt::Refused(problem)) => Attempt::Refused(problem.clone()),
                _ => TOLD,
            }
        }
    }

    fn again(wait: Option<u64>) -> Attempt {
        Attempt::Again {
            problem: "s3cret is away".to_owned(),
            wait: wait.map(Duration::from_secs),
        }
    }

    const TOLD: Attempt = Attempt::Told {
        duplicate: false,
        refused: None,
    };
    const WAS_TOLD: Outcome = Outcome::Told {
        duplicate: false,
        refused: None,
    };

    fn run(
        channels: Vec<(&'static str, bool, Vec<Attempt>)>,
        milliseconds: u64,
    ) -> (Vec<(&'static str, Outcome)>, Vec<&'static str>) {
        let log = Log::default();
        let channels: Vec<Box<dyn Channel>> = channels
            .into_iter()
            .map(|(name, last, answers)| {
                Box::new(Listed {
                    name,
                    last,
                    answers: RefCell::new(answers),
                    log: log.clone(),
                }) as Box<dyn Channel>
            })
            .collect();
        let mut scrubber = Scrubber::default();
        scrubber.hide("s3cret");
        let outcomes = tell(&channels, Duration::from_millis(milliseconds), &scrubber);
        let log = log.borrow().clone();
        (outcomes, log)
    }

    #[test]
    fn one_that_is_away_keeps_no_other_waiting() {
        let (outcomes, log) = run(
            vec![
                ("a", false, vec![again(None), again(None), TOLD]),
                ("b", false, vec![TOLD]),
                ("c", false, vec![Attempt::Refused("never".to_owned())]),
            ],
            5000,
        );
        assert_eq!(log, ["a", "b", "c", "a", "a"]);
        assert_eq!(
            outcomes,
            [
                ("a", WAS_TOLD),
                ("b", WAS_TOLD),
                ("c", Outcome::Final("c at home: never".to_owned())),
            ]
        );
    }

    #[test]
    fn the_last_one_waits_for_the_others() {
        let (outcomes, log) = run(
            vec![("a", false, vec![again(None)]), ("z", true, vec![TOLD])],
            400,
        );
        assert!(log.iter().all(|name| *name == "a"), "{log:?}");
        assert!(
            matches!(&outcomes[0].1, Outcome::Passing(r) if r.starts_with("a at home: *** is away after ")),
            "{outcomes:?}"
        );
        assert_eq!(
            outcomes[1].1,
            Outcome::Passing("z at home: held back until the other channels are told".to_owned())
        );
        let (_, log) = run(
            vec![
                ("z", true, vec![TOLD]),
                ("a", false, vec![again(None), TOLD]),
            ],
            2000,
        );
        assert_eq!(log, ["a", "a", "z"]);
    }

    #[test]
    fn a_wish_to_wait_is_kept() {
        let started = Instant::now();
        let (outcomes, _) = run(vec![("a", false, vec![again(Some(1)), TOLD])], 3000);
        assert_eq!(outcomes[0].1, WAS_TOLD);
        assert!(started.elapsed() >= Duration::from_secs(1));
        let started = Instant::now();
        let (outcomes, log) = run(vec![("a", false, vec![again(Some(u64::MAX)), TOLD])], 600);
        assert_eq!(log, ["a"]);
        assert!(matches!(outcomes[0].1, Outcome::Passing(_)));
        // The activation lasts as long as it may, for the next one would not wait.
        assert!(started.elapsed() >= Duration::from_millis(600));
    }
}
