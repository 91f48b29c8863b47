//! One pod: the contract of images of OpenWhisk, `/init` once and `/run` for each activation.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::PodError;
use super::janitor::Janitor;
use super::kubernetes::Kubernetes;
use super::log::Position;
use super::state::PodState;
use crate::pool::{Instance, Log, Outcome, Stream, Verdict};

/// So often a pod that is not there yet is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A look at whether the log has all of an activation, and how long after the answer it is waited for.
const LOG_LOOK: Duration = Duration::from_millis(50);
const LOG_PATIENCE: Duration = Duration::from_millis(1500);

/// So much of a log is read at once.
const LOG_READ: usize = 4 * 1024 * 1024;

/// What is told, once, of a pod whose image does not say where the log of an activation ends, or not in time.
const INCOMPLETE: &[u8] =
    b"Logs are incomplete: the image's runtime has not marked the end of this activation's log in time.\n";

/// A pod that answered within this time has its address still: another one cannot be made so fast.
const FRESH: Duration = Duration::from_millis(250);

/// So long it is asked whether a pod has its address still.
const CHECK: Duration = Duration::from_secs(2);

/// Of an answer that is no JSON, this much is told.
const SHOWN: usize = 4096;

/// A pod with an action in it. Dropping it has it deleted.
#[derive(Debug)]
pub struct ImagePod {
    name: String,
    base: String,
    address: Option<IpAddr>,
    /// When it answered last.
    seen: Instant,
    http: reqwest::Client,
    kubernetes: Arc<Kubernetes>,
    janitor: Janitor,
    position: Position,
    alive: bool,
    /// Whether it is unknown if Kubernetes made it, or makes it yet.
    unsure: bool,
}

impl Drop for ImagePod {
    fn drop(&mut self) {
        self.janitor.delete(&self.name, self.unsure);
    }
}

/// Why no answer came.
enum Silence {
    Refused,
    TimedOut,
    Broke,
}

impl ImagePod {
    /// A pod that is about to be made: whatever happens, it is deleted in the end.
    pub(super) fn new(
        name: String,
        http: reqwest::Client,
        kubernetes: Arc<Kubernetes>,
        janitor: Janitor,
    ) -> Self {
        Self {
            name,
            base: String::new(),
            address: None,
            seen: Instant::now(),
            http,
            kubernetes,
            janitor,
            position: Position::default(),
            alive: true,
            unsure: false,
        }
    }

    /// Has Kubernetes make it.
    ///
    /// # Errors
    /// Kubernetes does not; or does not say so, and may make it all the same.
    pub(super) async fn create(&mut self, manifest: Value) -> Result<(), PodError> {
        // Until there is an answer, which nobody may wait for any more.
        self.unsure = true;
        let created = self.kubernetes.create(manifest).await;
        self.unsure = matches!(&created, Err(error) if error.is_unsure());
        created?;
        Ok(())
    }

    /// Waits until its container runs, at most so long.
    ///
    /// # Errors
    /// It will not, or it takes too long.
    pub(super) async fn runs(
        &mut self,
        image: &str,
        port: u16,
        patience: Duration,
        log: usize,
    ) -> Result<(), PodError> {
        let deadline = Instant::now() + patience;
        loop {
            let image = || image.to_owned();
            // It goes on starting while nobody can be asked about it.
            let state = self.kubernetes.state(&self.name).await;
            let state = state.unwrap_or_else(|error| PodState::Waiting(error.to_string()));
            let waits_for = match state {
                PodState::Running(address) => {
                    self.base = format!("http://{}", SocketAddr::new(address, port));
                    self.address = Some(address);
                    return Ok(());
                }
                PodState::NoImage(why) => {
                    return Err(PodError::NoImage {
                        image: image(),
                        why,
                    });
                }
                PodState::Broken(why) => return Err(PodError::Broken(why)),
                PodState::Ended { .. } => {
                    let text = "cannot start action: command exited";
                    return Err(self.failed(text.to_owned(), log).await);
                }
                PodState::Gone => return Err(PodError::Gone),
                PodState::Waiting(why) => why,
            };
            if Instant::now() >= deadline {
                let (after, why) = (patience, waits_for);
                return Err(PodError::Late { after, why });
            }
            sleep(LOOK).await;
        }
    }

    /// Gives it its action.
    ///
    /// # Errors
    /// It does not take it, or not in time.
    pub(super) async fn init(
        &mut self,
        value: &Value,
        timeout: Duration,
        log: usize,
    ) -> Result<(), PodError> {
        let exited = "The action did not initialize and exited unexpectedly.";
        let deadline = Instant::now() + timeout;
        let body = value.to_string();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PodError::Timeout(timeout));
            }
            let body = body.clone().into_bytes();
            match self.post("/init", body, left, SHOWN).await {
                Ok((StatusCode::OK, ..)) => return Ok(()),
                Ok((_, body, _)) => {
                    let text = told(&body, "The action failed during initialization");
                    return Err(self.failed(text, log).await);
                }
                // Its program runs and does not listen yet.
                Err(Silence::Refused) => {
                    match self.kubernetes.state(&self.name).await {
                        Ok(PodState::Running(_)) => {}
                        Ok(_) => return Err(self.failed(exited.to_owned(), log).await),
                        Err(error) => tracing::debug!(pod = self.name, %error, "asked again"),
                    }
                    sleep(LOOK).await;
                }
                Err(Silence::TimedOut) => return Err(PodError::Timeout(timeout)),
                Err(Silence::Broke) => return Err(self.failed(exited.to_owned(), log).await),
            }
        }
    }

    /// A start that failed, with what was logged meanwhile, up to so many bytes.
    async fn failed(&mut self, text: String, log: usize) -> PodError {
        let mut log = Log::new(log);
        self.read_log(&mut log, self.position.expected()).await;
        let log = log.finish();
        PodError::Init { text, log }
    }

    /// Status, body up to `longest` bytes, and the length of all of it.
    async fn post(
        &self,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
        longest: usize,
    ) -> Result<(StatusCode, Vec<u8>, usize), Silence> {
        let silence = |error: reqwest::Error| match () {
            () if error.is_connect() => Silence::Refused,
            () if error.is_timeout() => Silence::TimedOut,
            () => Silence::Broke,
        };
        let sent = self
            .http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .timeout(timeout)
            .body(body)
            .send();
        let mut answer = sent.await.map_err(silence)?;
        let (mut kept, mut length) = (Vec::new(), 0);
        while let Some(part) = answer.chunk().await.map_err(silence)? {
            let room = longest.saturating_sub(kept.len()).min(part.len());
            kept.extend_from_slice(&part[..room]);
            length += part.len();
        }
        Ok((answer.status(), kept, length))
    }

    /// Adds what the pod has logged since it was read last, until so many ends of activations came, or when none are expected all
    /// that is there. How many ends came, and whether that was reached in time.
    async fn read_log(&mut self, log: &mut Log, expected: usize) -> (usize, bool) {
        let deadline = Instant::now() + LOG_PATIENCE;
        let mut ends = 0;
        loop {
            let since = self.position.since();
            let text = match self.kubernetes.log(&self.name, since, LOG_READ).await {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(pod = self.name, %error, "a part of a log is missing");
                    return (ends, false);
                }
            };
            let is_cut = text.len() >= LOG_READ;
            // The rest of the last line comes with the next part.
            let whole = match text.rfind('\n') {
                Some(end) if is_cut => &text[..end],
                _ => text.as_str(),
            };
            ends += self.position.take(whole, log);
            if is_cut && self.position.since() == since {
                self.position.skip();
            }
            let is_all = match expected {
                0 => !is_cut,
                _ => ends >= expected,
            };
            if is_all || Instant::now() >= deadline {
                return (ends, is_all);
            }
            if !is_cut {
                sleep(LOG_LOOK).await;
            }
        }
    }

    /// Whether it still is this pod that has the address: that of a pod that is gone may be another's by now.
    async fn has_address(&self) -> bool {
        if self.seen.elapsed() < FRESH {
            return true;
        }
        let deadline = Instant::now() + CHECK;
        loop {
            match timeout_at(deadline, self.kubernetes.state(&self.name)).await {
                Ok(Ok(PodState::Running(address))) => return Some(address) == self.address,
                Ok(Ok(_)) => return false,
                Ok(Err(error)) => tracing::debug!(pod = self.name, %error, "asked again"),
                Err(_) => {
                    tracing::warn!(pod = self.name, "nobody says where it is; not used again");
                    return false;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Throws away what was logged since the log of an activation was given up: it belongs to none that is to come. Whether that
    /// was all.
    async fn catch_up(&mut self) -> bool {
        if !self.position.is_behind() {
            return true;
        }
        let (late, is_all) = self.read_log(&mut Log::new(0), 0).await;
        if is_all {
            self.position.catch_up(late);
        }
        is_all
    }

    /// Why a pod that broke off did not answer. Kubernetes learns of it a moment later.
    async fn broke(&self) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            match self.kubernetes.state(&self.name).await {
                Ok(PodState::Ended { for_memory: true }) => {
                    return Outcome::Ended(Verdict::Memory);
                }
                Ok(PodState::Running(_)) => sleep(LOOK).await,
                _ => break,
            }
        }
        Outcome::Told(
            "The action did not produce a valid response and exited unexpectedly.".to_owned(),
        )
    }
}

impl Instance for ImagePod {
    fn is_alive(&mut self) -> bool {
        self.alive
    }

    async fn ready(&mut self) -> bool {
        self.alive = self.has_address().await && self.catch_up().await;
        self.alive
    }

    async fn run(
        &mut self,
        line: &[u8],
        timeout: Duration,
        longest: usize,
        _: &mut Log,
    ) -> io::Result<Outcome> {
        let outcome = match self.post("/run", line.to_vec(), timeout, longest).await {
            Ok((StatusCode::OK, line, length)) => Outcome::Answer { line, length },
            Ok((_, body, _)) => {
                Outcome::Told(told(&body, "The action did not produce a valid response"))
            }
            Err(Silence::Refused) => Outcome::NotStarted,
            Err(Silence::TimedOut) => Outcome::TimedOut,
            Err(Silence::Broke) => Outcome::Exited,
        };
        self.alive = matches!(outcome, Outcome::Answer { .. });
        self.seen = Instant::now();
        Ok(outcome)
    }

    async fn finish(&mut self, outcome: Outcome, log: &mut Log) -> Outcome {
        let outcome = match outcome {
            Outcome::NotStarted => return outcome,
            Outcome::Exited => self.broke().await,
            outcome => outcome,
        };
        let (ends, is_all) = self.read_log(log, self.position.expected()).await;
        if is_all {
            self.position.ended(ends);
        } else if self.position.give_up(ends) && self.alive {
            tracing::warn!(pod = self.name, ends, "the end of a log is not marked");
            log.push(Stream::Err, INCOMPLETE);
        }
        outcome
    }
}

/// What a runtime says went wrong; `otherwise` when it does not say it as it should.
fn told(body: &[u8], otherwise: &str) -> String {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let error = said.as_ref().and_then(|said| said.get("error"));
    match error {
        Some(Value::String(error)) => error.clone(),
        Some(error) => error.to_string(),
        None if body.is_empty() => format!("{otherwise}."),
        None => {
            let text = &body[..body.len().min(SHOWN)];
            format!("{otherwise}: {}", String::from_utf8_lossy(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_says_in_its_own_words_what_broke() {
        assert_eq!(
            told(br#"{"error":"command exited"}"#, "It broke"),
            "command exited"
        );
        assert_eq!(told(br#"{"error":{"a":1}}"#, "It broke"), r#"{"a":1}"#);
        assert_eq!(told(b"oops", "It broke"), "It broke: oops");
        assert_eq!(told(b"", "It broke"), "It broke.");
    }
}
