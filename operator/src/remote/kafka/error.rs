//! What can go wrong between this process and a Kafka broker.

use std::time::Duration;

use kafka_protocol::ResponseError;

/// A failed conversation with Kafka. Each variant says what was asked, and of whom.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// No address to start from, or one that is not `host:port`.
    #[error("{value:?} is not a Kafka address; give host:port, several separated by commas")]
    Address {
        /// What was given.
        value: String,
    },
    /// The TCP connection could not be opened.
    #[error("cannot connect to Kafka at {address}: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// Why the operating system refused.
        source: std::io::Error,
    },
    /// One of the two does not accept the other's certificate, or they do not agree on TLS. It will not, unchanged.
    #[error(
        "Kafka at {address}: no TLS: {problem}; check certificates, client-certificate and private-key of the binding: {}",
        tls_cure(*.by_broker)
    )]
    Tls {
        /// `host:port`.
        address: String,
        /// What TLS says.
        problem: String,
        /// Whether it was the broker that refused.
        by_broker: bool,
    },
    /// The connection broke while a request was under way; whether the broker acted is unknown.
    #[error("the connection to Kafka at {address} broke while asking to {asked}: {source}")]
    Broken {
        /// `host:port`.
        address: String,
        /// What was asked.
        asked: String,
        /// Why.
        source: std::io::Error,
    },
    /// Name and password were not accepted.
    #[error("Kafka at {address} does not let {username} in: {problem}")]
    Login {
        /// `host:port`.
        address: String,
        /// The user.
        username: String,
        /// What the broker said.
        problem: String,
    },
    /// The binding says something wrong.
    #[error(transparent)]
    Access(#[from] millrace_contract::Invalid),
    /// No answer in time; whether the broker acted is unknown.
    #[error("Kafka at {address} did not answer within {after:?} when asked to {asked}")]
    Timeout {
        /// `host:port`.
        address: String,
        /// What was asked.
        asked: String,
        /// How long was waited.
        after: Duration,
    },
    /// Broker and client share no version of the request.
    #[error(
        "Kafka at {address} cannot be asked to {asked}: it offers {offered}, this client speaks versions {min} to {max}; use Kafka 2.4 or later"
    )]
    Version {
        /// `host:port`.
        address: String,
        /// What was asked.
        asked: String,
        /// The versions the broker offers, in words.
        offered: String,
        /// Lowest version known here.
        min: i16,
        /// Highest version known here.
        max: i16,
    },
    /// The bytes were not what the protocol says.
    #[error("cannot {direction} the message to {asked}: {problem}")]
    Codec {
        /// `encode` or `decode`.
        direction: &'static str,
        /// What was asked.
        asked: String,
        /// What the codec said.
        problem: String,
    },
    /// The broker answered with an error.
    #[error("Kafka refused to {asked}: {code}{}", message_text(.message))]
    Broker {
        /// What was asked.
        asked: String,
        /// The error of the protocol.
        code: ResponseError,
        /// The broker's own words, when it gave any.
        message: Option<String>,
    },
    /// The answer lacks what was asked for.
    #[error("Kafka's answer to {asked} lacks {missing}")]
    Incomplete {
        /// What was asked.
        asked: String,
        /// What is missing.
        missing: String,
    },
}

fn message_text(message: &Option<String>) -> String {
    match message {
        Some(text) if !text.is_empty() => format!(": {text}"),
        _ => String::new(),
    }
}

fn tls_cure(by_broker: bool) -> &'static str {
    if by_broker {
        "client-certificate must be of an authority that the broker trusts"
    } else {
        "certificates must hold the authority of the broker's certificate"
    }
}

impl KafkaError {
    /// The error of TLS in one of input and output; `None` when it is another one, which may pass.
    pub(super) fn tls(address: &str, error: &std::io::Error) -> Option<KafkaError> {
        let problem = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(KafkaError::Tls {
            address: address.to_owned(),
            problem: problem.to_string(),
            by_broker: matches!(problem, rustls::Error::AlertReceived(_)),
        })
    }

    /// The error of a response's code, `Ok` for 0.
    ///
    /// # Errors
    /// [`KafkaError::Broker`] for any other code.
    pub fn check(code: i16, message: Option<&str>, asked: &str) -> Result<(), KafkaError> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(code) => Err(KafkaError::Broker {
                asked: asked.to_owned(),
                code,
                message: message.map(str::to_owned),
            }),
        }
    }

    /// There is no such topic.
    pub(super) fn unknown_topic(asked: &str) -> KafkaError {
        KafkaError::Broker {
            asked: asked.to_owned(),
            code: ResponseError::UnknownTopicOrPartition,
            message: None,
        }
    }

    /// The broker's error code, if a broker answered at all.
    #[must_use]
    pub fn code(&self) -> Option<ResponseError> {
        match self {
            KafkaError::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The topic to be created is there already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.code() == Some(ResponseError::TopicAlreadyExists)
    }

    /// The topic, partition or topic id does not exist.
    #[must_use]
    pub fn is_unknown_topic(&self) -> bool {
        matches!(
            self.code(),
            Some(ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId)
        )
    }

    /// The request itself is wrong and will fail again unchanged: somebody has to change the specification.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ResponseError::InvalidTopicException
                    | ResponseError::InvalidPartitions
                    | ResponseError::InvalidReplicationFactor
                    | ResponseError::InvalidReplicaAssignment
                    | ResponseError::InvalidConfig
                    | ResponseError::InvalidRequest
                    | ResponseError::PolicyViolation
            )
        )
    }

    /// Another try, maybe against another broker, may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            KafkaError::Connect { .. } | KafkaError::Broken { .. } | KafkaError::Timeout { .. } => {
                true
            }
            // The protocol calls an unknown topic retriable because metadata may lag; here it is an answer.
            KafkaError::Broker { code, .. } => code.is_retriable() && !self.is_unknown_topic(),
            _ => false,
        }
    }

    /// The known list of brokers or the known controller is out of date.
    #[must_use]
    pub fn wants_new_metadata(&self) -> bool {
        match self {
            KafkaError::Connect { .. } | KafkaError::Broken { .. } | KafkaError::Timeout { .. } => {
                true
            }
            _ => matches!(
                self.code(),
                Some(
                    ResponseError::NotController
                        | ResponseError::NotLeaderOrFollower
                        | ResponseError::LeaderNotAvailable
                        | ResponseError::NotCoordinator
                        | ResponseError::BrokerNotAvailable
                        | ResponseError::RebootstrapRequired
                )
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_error_says_what_was_asked_and_why_it_failed() {
        let error = KafkaError::check(
            38,
            Some("Unable to replicate the partition 3 time(s): only 1 broker(s) are registered."),
            "create topic alerts",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kafka refused to create topic alerts: InvalidReplicationFactor: Unable to replicate the partition 3 time(s): only 1 broker(s) are registered."
        );
        assert!(error.is_invalid_request());
        assert!(!error.is_retriable());
    }

    #[test]
    fn no_message_leaves_no_trailing_colon() {
        let error = KafkaError::check(36, None, "create topic a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kafka refused to create topic a: TopicAlreadyExists"
        );
        assert!(error.is_already_exists());
        assert!(KafkaError::check(0, Some("ignored"), "x").is_ok());
    }

    #[test]
    fn a_refused_certificate_is_told_with_the_key_and_not_asked_again() {
        let io = |inner: rustls::Error| std::io::Error::other(inner);
        let unknown = rustls::CertificateError::UnknownIssuer;
        let ours = io(rustls::Error::InvalidCertificate(unknown));
        let ours = KafkaError::tls("k:9091", &ours).unwrap();
        assert!(!ours.is_retriable());
        assert!(
            ours.to_string()
                .ends_with("certificates must hold the authority of the broker's certificate"),
            "{ours}"
        );
        let alert = rustls::AlertDescription::CertificateRequired;
        let theirs = KafkaError::tls("k:9091", &io(rustls::Error::AlertReceived(alert))).unwrap();
        assert!(
            theirs
                .to_string()
                .ends_with("client-certificate must be of an authority that the broker trusts"),
            "{theirs}"
        );
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(KafkaError::tls("k:9091", &broken).is_none());
    }

    #[test]
    fn a_moved_controller_is_retried_with_new_metadata_and_an_unknown_topic_is_an_answer() {
        let moved = KafkaError::check(41, None, "create topic a").unwrap_err();
        assert!(moved.is_retriable() && moved.wants_new_metadata());
        let unknown = KafkaError::check(3, None, "describe topic a").unwrap_err();
        assert!(unknown.is_unknown_topic() && !unknown.is_retriable());
    }
}
