//! What can go wrong with Kafka, sorted by what the caller must do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What a caller must do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same call may succeed later.
    Retriable,
    /// The transaction must be aborted; the client stays usable.
    Abortable,
    /// The client is of no use any more: it was fenced, or its state is lost.
    Fatal,
    /// Neither: the request itself is refused.
    Refused,
}

/// An error of a Kafka client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No client can be made of these settings.
    #[error("Kafka client: {source}; correct the bootstrap servers or the client's settings")]
    Client {
        /// What the library said.
        source: KafkaError,
    },
    /// A request failed.
    #[error("{doing}: {source}")]
    Request {
        /// What was being done.
        doing: String,
        /// What to do about it.
        kind: Kind,
        /// What the library said.
        source: KafkaError,
    },
    /// A topic is not there.
    #[error("topic {topic}: does not exist; create it, or apply the KafkaTopic resource that does")]
    TopicMissing {
        /// Its name.
        topic: String,
    },
    /// The client was made of a login that is no longer in force.
    #[error("the Kafka login has changed; a new client is made")]
    LoginChanged,
    /// A worker of this process ended before it answered.
    #[error("{doing}: the worker ended before it answered; restart the job")]
    Ended {
        /// What was being done.
        doing: String,
    },
}

impl ConnectError {
    pub(super) fn request(doing: impl Into<String>, source: KafkaError) -> Self {
        let kind = kind(&source);
        Self::Request {
            doing: doing.into(),
            kind,
            source,
        }
    }

    /// What the caller must do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Request { kind, .. } => *kind,
            Self::TopicMissing { .. } | Self::LoginChanged => Kind::Retriable,
            Self::Client { .. } => Kind::Refused,
            Self::Ended { .. } => Kind::Fatal,
        }
    }

    /// The same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.kind() == Kind::Retriable
    }

    /// The client is of no use any more.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.kind() == Kind::Fatal
    }

    /// The local queue of unsent records is full: slow down.
    #[must_use]
    pub fn is_queue_full(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.rdkafka_error_code() == Some(Code::QueueFull))
    }

    /// For a record whose sending failed: it surely lies nowhere. After all other errors it may have been stored,
    /// and only its acknowledgement got lost.
    #[must_use]
    pub fn is_surely_unsent(&self) -> bool {
        let Self::Request { source, .. } = self else {
            return matches!(self, Self::TopicMissing { .. });
        };
        match source.rdkafka_error_code() {
            Some(
                Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::QueueFull,
            ) => true,
            Some(_) => self.kind() == Kind::Refused,
            None => false,
        }
    }

    /// The record is larger than the client or the broker takes.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Request { source, .. }
                if matches!(source.rdkafka_error_code(), Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize))
        )
    }
}

fn kind(error: &KafkaError) -> Kind {
    if let KafkaError::Transaction(inner) = error {
        // In this order: a fatal error may carry the other marks too.
        return if inner.is_fatal() {
            Kind::Fatal
        } else if inner.txn_requires_abort() {
            Kind::Abortable
        } else if inner.is_retriable() {
            Kind::Retriable
        } else {
            Kind::Refused
        };
    }
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Kind::Fatal;
    }
    match error.rdkafka_error_code() {
        Some(code) => kind_of_code(code),
        None => Kind::Refused,
    }
}

fn kind_of_code(code: Code) -> Kind {
    match code {
        Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::FencedInstanceId => Kind::Fatal,
        // Given up by this process: sent or not, nobody knows.
        Code::PurgeQueue
        | Code::PurgeInflight
        // Another login may be on its way; without one, brokers that are away look the same.
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL
        | Code::QueueFull
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::WaitingForCoordinator
        | Code::NodeUpdate
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::RebalanceInProgress
        | Code::UnstableOffsetCommit
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::PollExceeded => Kind::Retriable,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_worth_another_try() {
        let e = ConnectError::request("x", KafkaError::MetadataFetch(Code::BrokerTransportFailure));
        assert!(e.is_retriable());
        let e = ConnectError::request("x", KafkaError::MessageProduction(Code::QueueFull));
        assert!(e.is_queue_full() && e.is_retriable());
    }

    #[test]
    fn what_was_not_acknowledged_in_time_may_lie_there() {
        let of = |code| ConnectError::request("x", KafkaError::MessageProduction(code));
        assert!(!of(Code::MessageTimedOut).is_surely_unsent());
        assert!(!ConnectError::request("x", KafkaError::Canceled).is_surely_unsent());
        for code in [
            Code::QueueFull,
            Code::UnknownTopic,
            Code::MessageSizeTooLarge,
            Code::TopicAuthorizationFailed,
        ] {
            assert!(of(code).is_surely_unsent(), "{code}");
        }
    }

    #[test]
    fn fenced_is_fatal_and_an_unknown_member_is_refused() {
        assert!(ConnectError::request("x", KafkaError::Global(Code::Fenced)).is_fatal());
        let e = ConnectError::request("x", KafkaError::ConsumerCommit(Code::UnknownMemberId));
        assert_eq!(e.kind(), Kind::Refused);
    }
}
