//! The progress display: what is happening, and how long each step took.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Steps, some of them side by side. A terminal shows those that run in one live line; a log gets a line at the
/// start and the end of each.
pub struct Steps {
    began: Instant,
    live: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: Vec<(String, Instant, String)>,
}

impl Steps {
    /// Starts the clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            live: std::io::stderr().is_terminal(),
            inner: Mutex::default(),
        }
    }

    /// Runs one step.
    ///
    /// # Errors
    /// Those of `work`, with the step's name.
    pub fn step<T>(
        &self,
        name: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        if let Ok(mut inner) = self.inner.lock() {
            inner.running.push((name.to_owned(), start, String::new()));
        }
        if !self.live {
            self.line(&format!("  … {name}"));
        }
        self.draw();
        let result = work();
        let took = start.elapsed();
        if let Ok(mut inner) = self.inner.lock() {
            inner.running.retain(|(n, _, _)| n != name);
        }
        let mark = if result.is_ok() { "✔" } else { "✘" };
        self.line(&format!("  {mark} {name:<44} {}", seconds(took)));
        if let Err(error) = &result {
            // At once: steps beside this one may go on for long.
            self.line(&format!("    {error:#}"));
        }
        self.draw();
        result.map_err(|e| e.context(name.to_owned()))
    }

    /// Says in the live display what a running step is at.
    pub fn note(&self, name: &str, note: &str) {
        if let Ok(mut inner) = self.inner.lock() {
            for (n, _, text) in &mut inner.running {
                if n == name && text != note {
                    note.clone_into(text);
                    if !self.live {
                        eprintln!("    {name}: {note}");
                    }
                }
            }
        }
        self.draw();
    }

    /// Redraws the live line; call it now and then while something long runs.
    pub fn draw(&self) {
        if !self.live {
            return;
        }
        let Ok(inner) = self.inner.lock() else { return };
        let text: Vec<String> = inner
            .running
            .iter()
            .map(|(name, since, note)| {
                let note = if note.is_empty() {
                    String::new()
                } else {
                    format!(" ({note})")
                };
                format!("{name}{note} {}", seconds(since.elapsed()))
            })
            .collect();
        let line: String = text.join(" · ").chars().take(150).collect();
        eprint!("\r\x1b[2K{line}");
        let _ = std::io::stderr().flush();
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn line(&self, text: &str) {
        if self.live {
            eprint!("\r\x1b[2K");
        }
        eprintln!("{text}");
    }
}

/// `12.3 s`, or `4 min 05 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 min 05 s");
    }

    #[test]
    fn a_failing_step_is_named() {
        let steps = Steps::new();
        let error = steps
            .step("pouring", || -> anyhow::Result<()> {
                anyhow::bail!("empty")
            })
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "pouring: empty");
    }
}
