//! Settings that every client shares, and what every client reports.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::access::{Access, is_refusal};
use super::error::ConnectError;
use super::login::Login;

/// How long a question to the cluster may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The largest record that is sent. A topic may take less: then the broker refuses it.
pub(super) const LARGEST_RECORD: &str = "2097152";

/// A group name for clients that never join one: the library wants one before it lets partitions be assigned.
pub(super) const NO_GROUP: &str = "millrace-reader";

/// What a client needs of the login that was in force when it was made.
pub(super) fn base(access: &Access, client_id: &str) -> ClientConfig {
    of_login(&access.login(), client_id)
}

pub(super) fn of_login(login: &Login, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    login.apply(&mut config);
    config
        .set("client.id", client_id)
        .set("socket.keepalive.enable", "true")
        .set("log.connection.close", "false")
        // A restarted broker is found again within two seconds, not ten.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Lets a producer ask a broker again while its records still have time: `time` is what they have until they fail.
///
/// The library lets a request with records live as long as the lesser of `socket.timeout.ms` (60 s unless set) and what is
/// left of the time of its records. Where that time is shorter, a request to a broker that went off the network without a
/// word takes all of it, and its records fail though their partition has a new leader after some seconds. So a broker
/// must answer in half of that time and in 10 s at the most: longer than Kafka takes to give up a silent broker (9 s,
/// `broker.session.timeout.ms`), for which the acknowledgements of the others wait too. Those wait in the broker, and for
/// `request.timeout.ms` there: a little shorter, so that a broker that is slow but there can say so, instead of having its
/// connection closed with everything that is on it.
///
/// For a transaction the library itself would take 0.1 s less than all of its time, and refuses more.
pub(super) fn answers_within(config: &mut ClientConfig, time: Duration) {
    let socket = (time / 2).min(Duration::from_secs(10));
    config
        .set("socket.timeout.ms", milliseconds(socket))
        .set("request.timeout.ms", milliseconds(socket * 9 / 10));
}

/// A consumer that reads committed records only and never commits on its own.
pub(super) fn consumer(access: &Access, client_id: &str, group: Option<&str>) -> ClientConfig {
    let mut config = base(access, client_id);
    config
        .set("group.id", group.unwrap_or(NO_GROUP))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        // What is fetched ahead is memory, and only values are counted: a record has its headers and the library's message
        // besides. The defaults, 64 MiB and 100,000 records, are more than a small pod's whole share; and the last answer may
        // come on top.
        .set("queued.max.messages.kbytes", "8192")
        .set("queued.min.messages", "20000")
        .set("fetch.message.max.bytes", "262144");
    config
}

/// A consumer without a group that tells when the end of a partition is reached.
pub(super) fn reader(access: &Access, client_id: &str) -> ClientConfig {
    let mut config = consumer(access, client_id, None);
    config.set("enable.partition.eof", "true");
    config
}

/// Makes a client that tells `access` when it is not let in.
pub(super) fn make<T: FromClientConfigAndContext<Watched>>(
    config: &ClientConfig,
    access: &Access,
) -> Result<T, ConnectError> {
    make_told(config, access, &Refusals::default())
}

/// The same; and `refusals` tells it of this client alone.
pub(super) fn make_told<T: FromClientConfigAndContext<Watched>>(
    config: &ClientConfig,
    access: &Access,
    refusals: &Refusals,
) -> Result<T, ConnectError> {
    let watched = Watched {
        access: access.clone(),
        refusals: refusals.clone(),
    };
    config
        .create_with_context(watched)
        .map_err(|source| ConnectError::Client { source })
}

/// When a client was last not let in.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<Option<Instant>>>);

impl Refusals {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it was not let in less than `span` ago.
    pub(super) fn within(&self, span: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < span)
    }
}

pub(super) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// What a client without events of its own does with the library's.
pub(super) struct Watched {
    access: Access,
    refusals: Refusals,
}

impl ClientContext for Watched {
    fn error(&self, error: KafkaError, reason: &str) {
        if is_refusal(&error) {
            self.refusals.now();
        }
        report(&self.access, &error, reason);
    }
}

impl ConsumerContext for Watched {}

impl ProducerContext for Watched {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

/// Looks into an error that the library tells of outside of a call.
pub(super) fn report(access: &Access, error: &KafkaError, reason: &str) {
    if is_refusal(error) {
        access.refused();
    }
    // Brokers that are away are told by the calls that wait for them.
    tracing::debug!(%error, reason, "Kafka");
}

/// Keeps the reason why a client is not let in.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Option<String>>>);

impl Heard {
    pub(super) fn reason(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        if is_refusal(&error) {
            let cure = if error.rdkafka_error_code() == Some(RDKafkaErrorCode::SSL) {
                "trust the authority of the brokers' certificates: correct certificates in the binding, or, when the \
                 broker refuses, client-certificate and private-key"
            } else {
                "correct username and password in the binding"
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(format!("{reason}; {cure}"));
        }
    }
}

impl ConsumerContext for Heard {}
