//! Whether telemetry is taken in: a file says so, written by who watches Kafka's disks, and read again when it changes.
//!
//! Only new telemetry of vehicles is held up. What is on its way to vehicles, enrolment and the rest of the API go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::settings::{SettingsError, read_config};

/// The file's name in its folder.
pub const FILE: &str = "ingest.yaml";
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: u32 = 3600;

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Order {
    accept: Accept,
    retry_after_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Accept {
    All,
    None,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            accept: Accept::All,
            retry_after_seconds: 30,
        }
    }
}

/// The order in force.
#[derive(Debug)]
pub struct Throttle {
    file: PathBuf,
    // The seconds after which vehicles may try again, while nothing is taken in.
    refused: watch::Sender<Option<u32>>,
}

impl Throttle {
    /// Reads the order in a folder; without the folder or the file everything is taken in.
    ///
    /// # Errors
    /// The file cannot be read or used.
    pub fn open(directory: &Path) -> Result<Self, SettingsError> {
        let file = directory.join(FILE);
        let refused = watch::Sender::new(read(&file)?);
        Ok(Self { file, refused })
    }

    /// While nothing is taken in: after how many seconds vehicles may try again.
    #[must_use]
    pub fn refused(&self) -> Option<u32> {
        *self.refused.borrow()
    }

    /// Completes when telemetry is taken in.
    pub async fn lifted(&self) {
        let mut orders = self.refused.subscribe();
        if orders.wait_for(Option::is_none).await.is_err() {
            // Cannot be: the sender lives as long as this does.
            std::future::pending::<()>().await;
        }
    }

    /// Reads the file again; true when it says something new.
    ///
    /// # Errors
    /// It cannot be used: the last good order stays.
    pub fn look(&self) -> Result<bool, SettingsError> {
        let now = read(&self.file)?;
        Ok(self.refused.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        }))
    }

    /// Looks at the file every two seconds, until `stop` is cancelled.
    pub async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut told = String::new();
        self.tell(&metrics);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look() {
                Ok(changed) => {
                    told.clear();
                    if changed {
                        self.tell(&metrics);
                    }
                }
                Err(error) => {
                    let problem = error.to_string();
                    if problem != told {
                        tracing::error!(%error, "the order for the ingest cannot be used; the last good one stays");
                        told = problem;
                    }
                }
            }
        }
    }

    fn tell(&self, metrics: &Metrics) {
        let refused = self.refused();
        let before = metrics.throttled.set(i64::from(refused.is_some()));
        match refused {
            Some(retry_after_seconds) => tracing::warn!(
                retry_after_seconds,
                "no telemetry is taken in from here on, by order of the file"
            ),
            None if before != 0 => tracing::info!("telemetry is taken in again"),
            None => {}
        }
    }
}

fn read(file: &Path) -> Result<Option<u32>, SettingsError> {
    let order: Order = match read_config(file) {
        Ok(order) => order,
        Err(SettingsError::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Order::default()
        }
        Err(error) => return Err(error),
    };
    let seconds = order.retry_after_seconds;
    if !(1..=LONGEST_RETRY).contains(&seconds) {
        return Err(SettingsError::Unusable {
            name: format!("{} retryAfterSeconds", file.display()),
            problem: format!("{seconds} is out of range"),
            cure: format!("give 1 to {LONGEST_RETRY}"),
        });
    }
    Ok((order.accept == Accept::None).then_some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_obeyed_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(directory.path().join(FILE), text).unwrap();
        let throttle = Throttle::open(directory.path()).unwrap();
        assert_eq!(throttle.refused(), None, "no file");
        throttle.lifted().await;
        write("accept: none\n");
        assert!(throttle.look().unwrap());
        assert!(!throttle.look().unwrap(), "told once");
        assert_eq!(throttle.refused(), Some(30));
        assert!(futures::poll!(Box::pin(throttle.lifted())).is_pending());
        write("accept: none\nretryAfterSeconds: 5\n");
        assert!(throttle.look().unwrap());
        assert_eq!(throttle.refused(), Some(5));
        for (bad, told) in [
            ("accept: some\n", "some"),
            ("accept: none\nretryAfterSeconds: 0\n", "retryAfterSeconds"),
            ("acept: none\n", "acept"),
        ] {
            write(bad);
            let e = throttle.look().unwrap_err().to_string();
            assert!(e.contains(told), "{e}");
            assert_eq!(throttle.refused(), Some(5));
        }
        std::fs::remove_file(directory.path().join(FILE)).unwrap();
        assert!(throttle.look().unwrap());
        throttle.lifted().await;
    }
}
