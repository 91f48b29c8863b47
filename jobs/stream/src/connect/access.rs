//! The login in force, shared by all clients of a process, and exchanged when the binding's files change.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::client;
use super::error::ConnectError;
use super::login::Login;
use crate::server::Health;
use crate::settings::{Binding, SettingsError};

/// The part of the health that waits while Kafka does not let this process in.
const PART: &str = "kafka login";
/// The kubelet itself takes up to a minute to bring a changed Secret.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a trial login may take.
const TRIAL: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where Kafka is and how to log in. Clones share it; a client notices by [`Access::generation`] that it must be made anew.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    login: ArcSwap<Login>,
    // A channel rather than a number, for readers that wait in a receive.
    generation: watch::Sender<u64>,
    source: Option<Source>,
    // How often a client was not let in: what is counted here is acted upon by `follow`.
    refusals: AtomicU64,
    refused: Notify,
    // Of the last trial login.
    shut_out: AtomicBool,
}

/// The binding, to be read again.
struct Source {
    folder: PathBuf,
    // Given by flag: then the binding's is not used.
    bootstrap: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("login", &*self.login())
            .field("generation", &self.generation())
            .finish()
    }
}

impl From<&str> for Access {
    fn from(bootstrap: &str) -> Self {
        Self::of(Login::plain(bootstrap), None)
    }
}

impl From<&String> for Access {
    fn from(bootstrap: &String) -> Self {
        bootstrap.as_str().into()
    }
}

impl From<&Self> for Access {
    fn from(other: &Self) -> Self {
        other.clone()
    }
}

impl Access {
    fn of(login: Login, source: Option<Source>) -> Self {
        Self {
            shared: Arc::new(Shared {
                login: ArcSwap::from_pointee(login),
                generation: watch::Sender::new(0),
                source,
                refusals: AtomicU64::new(0),
                refused: Notify::new(),
                shut_out: AtomicBool::new(false),
            }),
        }
    }

    /// Takes address and credentials from a binding; `bootstrap`, where given, instead of the binding's address.
    ///
    /// # Errors
    /// A key is missing, unusable or contradicts another.
    pub fn bound(binding: &Binding, bootstrap: Option<String>) -> Result<Self, SettingsError> {
        let login = login_of(binding, bootstrap.clone())?;
        let source = Source {
            folder: binding.folder().to_path_buf(),
            bootstrap,
        };
        Ok(Self::of(login, Some(source)))
    }

    /// The login in force.
    #[must_use]
    pub fn login(&self) -> Arc<Login> {
        self.shared.login.load_full()
    }

    /// Changes with the login. To be asked for before the login is: else a change in between goes unnoticed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        *self.shared.generation.borrow()
    }

    /// Completes when the login is no longer that of `generation`.
    pub async fn changed(&self, generation: u64) {
        let mut changes = self.shared.generation.subscribe();
        if changes.wait_for(|now| *now != generation).await.is_err() {
            // Cannot be: the sender lives as long as this does.
            std::future::pending::<()>().await;
        }
    }

    /// Whether there is a binding to be read again.
    pub(super) fn can_change(&self) -> bool {
        self.shared.source.is_some()
    }

    /// Whether Kafka did not let this process in when it was last tried: clients of that login wait in vain.
    pub(super) fn is_shut_out(&self) -> bool {
        self.shared.shut_out.load(Ordering::Relaxed)
    }

    /// Tells that Kafka did not let a client in: `follow` looks into it.
    pub(super) fn refused(&self) {
        self.shared.refusals.fetch_add(1, Ordering::Relaxed);
        self.shared.refused.notify_one();
    }

    /// Reads the binding again; true when it holds another login, which is in force from here on.
    ///
    /// # Errors
    /// The binding cannot be read or used: the former login stays.
    pub fn look(&self) -> Result<bool, SettingsError> {
        let Some(source) = &self.shared.source else {
            return Ok(false);
        };
        let binding = Binding::read(&source.folder)?;
        let login = login_of(&binding, source.bootstrap.clone())?;
        if *self.login() == login {
            return Ok(false);
        }
        self.shared.login.store(Arc::new(login));
        self.shared.generation.send_modify(|now| *now += 1);
        Ok(true)
    }

    /// Keeps the login up to date until `stop` is cancelled: looks at the binding every two seconds, and at once when
    /// Kafka does not let a client in. While it does not, the health waits.
    pub async fn follow(self, health: Health, stop: CancellationToken) {
        let mut told = String::new();
        // Clients that wait for their first answer do not say why it does not come: so it is tried here.
        let mut trouble = Some(Trouble::default());
        loop {
            let pause = trouble.as_ref().map_or(LOOK_EVERY, Trouble::wait);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.refused.notified(), if trouble.is_none() => {}
                () = tokio::time::sleep(pause.min(LOOK_EVERY)) => {}
            }
            match self.look() {
                Ok(true) => {
                    told.clear();
                    tracing::info!(
                        login = ?self.login(),
                        "the Kafka binding has changed: clients are made anew"
                    );
                    // What was refused was the former login.
                    trouble = trouble.map(|former| Trouble {
                        told: former.told,
                        ..Trouble::default()
                    });
                }
                Ok(false) => told.clear(),
                Err(error) => {
                    let problem = error.to_string();
                    if problem != told {
                        tracing::error!(%error, "the Kafka binding cannot be used; the former login stays");
                        told = problem;
                    }
                }
            }
            if self.shared.refusals.swap(0, Ordering::Relaxed) > 0 && trouble.is_none() {
                trouble = Some(Trouble::default());
            }
            let due = trouble.as_ref().is_some_and(|t| t.wait().is_zero());
            if due {
                trouble = self.try_login(trouble.unwrap_or_default(), &health).await;
            }
        }
    }

    // None when Kafka lets this process in.
    async fn try_login(&self, mut trouble: Trouble, health: &Health) -> Option<Trouble> {
        let login = self.login();
        let tried = tokio::task::spawn_blocking(move || trial(&login)).await;
        match tried {
            Ok(Trial::In) => {
                if trouble.told {
                    tracing::info!("Kafka lets this process in again");
                }
                self.shared.shut_out.store(false, Ordering::Relaxed);
                health.ready(PART);
                // What clients met before this login counts no more.
                self.shared.refusals.store(0, Ordering::Relaxed);
                return None;
            }
            Ok(Trial::Refused(problem)) => {
                trouble.failed();
                trouble.told = true;
                self.shared.shut_out.store(true, Ordering::Relaxed);
                tracing::error!(
                    problem,
                    again_in_seconds = trouble.pause.as_secs(),
                    "Kafka does not let this process in; the binding is read again"
                );
                health.waiting(PART, problem);
            }
            // Whoever needs a broker tells that there is none.
            Ok(Trial::Nobody) => trouble.failed(),
            Err(error) => {
                trouble.failed();
                tracing::error!(%error, "a login was not tried to its end");
            }
        }
        Some(trouble)
    }
}

/// Logins that fail, one after the other.
#[derive(Default)]
struct Trouble {
    pause: Duration,
    since: Option<Instant>,
    // Whether it is in the log and in the health.
    told: bool,
}

impl Trouble {
    fn failed(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.since = Some(Instant::now());
    }

    // Until the next trial.
    fn wait(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| {
            self.pause.saturating_sub(since.elapsed())
        })
    }
}

fn login_of(binding: &Binding, bootstrap: Option<String>) -> Result<Login, SettingsError> {
    let bootstrap = match bootstrap {
        Some(given) => given,
        None => binding.require("bootstrap-servers")?.to_owned(),
    };
    Login::read(binding.name(), bootstrap, |key| binding.get(key))
}

/// What a trial login tells.
#[derive(Debug, PartialEq, Eq)]
enum Trial {
    In,
    /// Why not.
    Refused(String),
    /// No broker answers, which says nothing about the login.
    Nobody,
}

// Asks the brokers for anything at all; what the library says on the way is the reason.
fn trial(login: &Login) -> Trial {
    let said = client::Heard::default();
    let mut config = client::of_login(login, "millrace-login");
    config.set("group.id", client::NO_GROUP);
    let made: Result<BaseConsumer<client::Heard>, _> = config.create_with_context(said.clone());
    let consumer = match made {
        Ok(consumer) => consumer,
        Err(source) => return Trial::Refused(ConnectError::Client { source }.to_string()),
    };
    let end = Instant::now() + TRIAL;
    while Instant::now() < end {
        // Serves the errors too.
        let _ = consumer.poll(Duration::from_millis(10));
        let asked = consumer
            .client()
            .fetch_cluster_id(Duration::from_millis(200));
        if asked.is_some() {
            return Trial::In;
        }
        if let Some(reason) = said.reason() {
            return Trial::Refused(reason);
        }
    }
    Trial::Nobody
}

/// Whether a client was not let in: by its credentials, or since one of the two does not trust the other.
pub(super) fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Bindings;

    fn write(folder: &std::path::Path, keys: &[(&str, &str)]) {
        for (key, value) in keys {
            std::fs::write(folder.join(key), value).unwrap();
        }
    }

    #[tokio::test]
    async fn a_new_password_is_a_new_generation_and_a_bad_binding_is_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("kafka");
        std::fs::create_dir(&folder).unwrap();
        write(
            &folder,
            &[
                ("type", "kafka"),
                ("bootstrap-servers", "k:9094"),
                ("security-protocol", "SASL_SSL"),
                ("username", "u"),
                ("password", "one"),
            ],
        );
        let bindings = Bindings::read(root.path()).unwrap();
        let access = Access::bound(bindings.of_type("kafka").unwrap(), None).unwrap();
        let first = access.login();
        // The same content in files of another time is no change.
        write(&folder, &[("password", "one\n")]);
        assert!(!access.look().unwrap());
        write(&folder, &[("password", "two")]);
        let seen = access.generation();
        assert!(access.look().unwrap());
        assert_ne!(*access.login(), *first);
        access.changed(seen).await;
        std::fs::remove_file(folder.join("username")).unwrap();
        let e = access.look().unwrap_err().to_string();
        assert!(e.contains("username"), "{e}");
        assert_eq!(access.generation(), seen + 1, "the last good one stays");
        assert!(!Access::from("k:9092").look().unwrap());
    }

    #[test]
    fn trials_become_rarer() {
        let mut trouble = Trouble::default();
        assert!(trouble.wait().is_zero());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            trouble.failed();
            pauses.push(trouble.pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn nobody_there_is_no_refusal() {
        assert_eq!(trial(&Login::plain("127.0.0.1:1")), Trial::Nobody);
    }
}
