//! Kafka administration: which broker to ask, how often, and with which connection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::protocol::Request;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::access::Access;
use super::address::parse_bootstrap;
use super::connection::{Connection, Credentials, Timeouts};
use super::error::KafkaError;
use super::message::{self, ClusterView, NewTopic, TopicView};

/// Idle connections kept per broker; more calls at once open more and close them again.
const KEPT_PER_BROKER: usize = 2;
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Who has to answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// Any broker that can be reached.
    Any,
    /// The broker that takes changes. KRaft brokers forward them; older ones say who it is.
    Controller,
    /// One broker, `host:port`.
    At(&'a str),
}

/// A client of one Kafka cluster. Cheap to share; calls may run at once.
///
/// Every call retries what may pass (a broken connection, a moved controller, a coordinator still loading) until its
/// time is up. A change whose answer was lost is asked for again, so "already exists" can be the answer to one's own
/// first try: callers that care look before they conclude.
#[derive(Debug)]
pub struct KafkaAdmin {
    bootstrap: Vec<String>,
    credentials: Credentials,
    pub(super) limits: Timeouts,
    /// Connections nobody uses now. One that failed is never put back.
    idle: Mutex<BTreeMap<String, Vec<Connection>>>,
    /// The last metadata; empty when it must be asked for again.
    known: Mutex<ClusterView>,
}

impl KafkaAdmin {
    /// A client for `bootstrap` (`host:port`, several separated by commas). Connects when first asked.
    ///
    /// # Errors
    /// [`KafkaError::Address`].
    pub fn new(bootstrap: &str, limits: Timeouts) -> Result<KafkaAdmin, KafkaError> {
        Self::connect(&Access::plain(bootstrap), limits)
    }

    /// A client with certificates and credentials. Connects when first asked.
    ///
    /// # Errors
    /// [`KafkaError::Address`], [`KafkaError::Access`].
    pub fn connect(access: &Access, limits: Timeouts) -> Result<KafkaAdmin, KafkaError> {
        Ok(KafkaAdmin {
            bootstrap: parse_bootstrap(&access.bootstrap)?,
            credentials: Credentials {
                tls: access.tls()?,
                login: access.login.clone(),
            },
            limits,
            idle: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// The brokers of the cluster, as one of them sees it now.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn cluster(&self) -> Result<ClusterView, KafkaError> {
        let view = self
            .call(
                Target::Any,
                "list its brokers",
                |_| message::metadata_request(Some(&[])),
                |answer| Ok(message::read_cluster(answer)),
            )
            .await?;
        *locked(&self.known) = view.clone();
        Ok(view)
    }

    /// A topic, or `None` when there is none of that name.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicView>, KafkaError> {
        let asked = format!("describe topic {name}");
        let topics = self
            .call(
                Target::Any,
                &asked,
                |_| message::metadata_request(Some(&[name])),
                |answer| message::read_topics(answer, &asked),
            )
            .await?;
        Ok(topics.into_iter().find(|topic| topic.name == name))
    }

    /// All topics, Kafka's own included.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn topics(&self) -> Result<Vec<TopicView>, KafkaError> {
        let asked = "list its topics";
        self.call(
            Target::Any,
            asked,
            |_| message::metadata_request(None),
            |answer| message::read_topics(answer, asked),
        )
        .await
    }

    /// Creates a topic and gives its id (nil from brokers older than 2.8).
    ///
    /// # Errors
    /// [`KafkaError::is_already_exists`] when there is one of that name; [`KafkaError::is_invalid_request`] when the
    /// cluster cannot have it so.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<Uuid, KafkaError> {
        let asked = format!("create topic {}", topic.name);
        self.call(
            Target::Controller,
            &asked,
            |_| message::create_topic_request(topic, self.request_ms(), false),
            |answer| message::read_create_topic(answer, &asked),
        )
        .await
    }

    /// Whether a topic could be created, without creating it.
    ///
    /// # Errors
    /// As [`KafkaAdmin::create_topic`].
    pub async fn validate_topic(&self, topic: &NewTopic) -> Result<(), KafkaError> {
        let asked = format!("check topic {}", topic.name);
        self.call(
            Target::Controller,
            &asked,
            |_| message::create_topic_request(topic, self.request_ms(), true),
            |answer| message::read_create_topic(answer, &asked).map(drop),
        )
        .await
    }

    /// Grows a topic to `count` partitions in all.
    ///
    /// # Errors
    /// [`KafkaError::is_invalid_request`] when it has as many or more.
    pub async fn grow_topic(&self, topic: &str, count: i32) -> Result<(), KafkaError> {
        let asked = format!("grow topic {topic} to {count} partitions");
        self.call(
            Target::Controller,
            &asked,
            |_| message::create_partitions_request(topic, count, self.request_ms()),
            |answer| message::read_create_partitions(answer, &asked),
        )
        .await
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// [`KafkaError::is_unknown_topic`] when there is none.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), KafkaError> {
        let asked = format!("delete topic {topic}");
        self.call(
            Target::Controller,
            &asked,
            |version| message::delete_topic_request(topic, self.request_ms(), version >= 6),
            |answer| message::read_delete_topic(answer, &asked),
        )
        .await
    }

    pub(super) async fn existing(&self, topic: &str, asked: &str) -> Result<TopicView, KafkaError> {
        let found = self.topic(topic).await?;
        found.ok_or_else(|| KafkaError::unknown_topic(asked))
    }

    pub(super) fn request_ms(&self) -> i32 {
        i32::try_from(self.limits.request.as_millis()).unwrap_or(i32::MAX)
    }

    pub(super) async fn call<R: Request, T>(
        &self,
        target: Target<'_>,
        asked: &str,
        build: impl Fn(i16) -> R,
        read: impl Fn(&R::Response) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + self.limits.call;
        let mut pause = FIRST_PAUSE;
        loop {
            let result = match self.ask(target, asked, &build).await {
                Ok(answer) => read(&answer),
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.wants_new_metadata() {
                *locked(&self.known) = ClusterView::default();
                // Whoever holds the answer to a fixed address has to find the new one.
                if matches!(target, Target::At(_)) && error.code().is_some() {
                    return Err(error);
                }
            }
            if !error.is_retriable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "asking Kafka again");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask<R: Request>(
        &self,
        target: Target<'_>,
        asked: &str,
        build: &impl Fn(i16) -> R,
    ) -> Result<R::Response, KafkaError> {
        let mut connection = self.connection(target).await?;
        // A broker that waits for its followers answers at its own time limit: give that answer a moment to arrive.
        let within = self.limits.request + Duration::from_secs(1);
        let answer = connection.ask(build, asked, within).await?;
        let mut idle = locked(&self.idle);
        let kept = idle.entry(connection.address().to_owned()).or_default();
        if kept.len() < KEPT_PER_BROKER {
            kept.push(connection);
        }
        Ok(answer)
    }

    async fn connection(&self, target: Target<'_>) -> Result<Connection, KafkaError> {
        let addresses = self.addresses(target);
        for address in &addresses {
            if let Some(connection) = locked(&self.idle).get_mut(address).and_then(Vec::pop) {
                return Ok(connection);
            }
        }
        let mut last = None;
        for address in &addresses {
            match Connection::open(address, &self.credentials, &self.limits).await {
                Ok(connection) => return Ok(connection),
                // What does not pass by itself says more than that another address did not answer.
                Err(error) => match &last {
                    Some(KafkaError::Tls { .. } | KafkaError::Login { .. }) => {}
                    _ => last = Some(error),
                },
            }
        }
        Err(last.unwrap_or_else(|| KafkaError::Address {
            value: self.bootstrap.join(","),
        }))
    }

    /// Where to try, in order.
    fn addresses(&self, target: Target<'_>) -> Vec<String> {
        if let Target::At(address) = target {
            return vec![address.to_owned()];
        }
        let known = locked(&self.known);
        let mut addresses = Vec::new();
        if let (Target::Controller, Some(controller)) = (target, known.controller) {
            addresses.extend(known.brokers.get(&controller).map(|b| b.address.clone()));
        }
        // The bootstrap address outlives every broker, so it stands before those once known.
        addresses.extend(self.bootstrap.iter().cloned());
        addresses.extend(known.brokers.values().map(|b| b.address.clone()));
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        addresses
    }
}

/// A panic elsewhere leaves a cache behind that is still usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
