//! One TCP connection to one broker: frames out, frames in, one request at a time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::Request;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::access::Login;
use super::error::KafkaError;
use super::frame::{self, Offered};
use super::message::text;
use super::scram::{Exchange, Mechanism};

/// Larger answers are taken for a peer that does not speak Kafka (an HTTP server's text reads as 1.2 GB).
const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the TCP connection and the first exchange.
    pub connect: Duration,
    /// For the answer to one request; brokers are told the same.
    pub request: Duration,
    /// For one call with all its retries.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(15),
            call: Duration::from_secs(30),
        }
    }
}

/// What a connection is opened with: settings of TLS, and a name with its password.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Settings of TLS; the way is not encrypted without.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Name and password.
    pub login: Option<Login>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TLS: {}, {:?}", self.tls.is_some(), self.login)
    }
}

/// A way for bytes, encrypted or not.
trait Way: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Way for T {}

/// A connection that has agreed on versions. After any error it must be thrown away: an answer that comes late
/// would be taken for that of the next request.
pub struct Connection {
    stream: Box<dyn Way>,
    address: String,
    offered: Offered,
    next_correlation: i32,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a connection to {}", self.address)
    }
}

impl Connection {
    /// Connects, asks for the broker's versions and logs in.
    ///
    /// # Errors
    /// [`KafkaError::Connect`], [`KafkaError::Tls`], [`KafkaError::Timeout`], or what the first exchange gave.
    pub async fn open(
        address: &str,
        credentials: &Credentials,
        limits: &Timeouts,
    ) -> Result<Connection, KafkaError> {
        let connecting = async {
            let stream =
                TcpStream::connect(address)
                    .await
                    .map_err(|source| KafkaError::Connect {
                        address: address.to_owned(),
                        source,
                    })?;
            // Small requests, each waited for: nothing to gain from delaying them.
            stream
                .set_nodelay(true)
                .map_err(|source| KafkaError::Connect {
                    address: address.to_owned(),
                    source,
                })?;
            let mut connection = Connection {
                stream: encrypted(stream, address, credentials).await?,
                address: address.to_owned(),
                offered: Offered::new(),
                next_correlation: 0,
            };
            connection.offered = connection.ask_versions().await?;
            if let Some(login) = &credentials.login {
                connection.log_in(login, limits.connect).await?;
            }
            Ok(connection)
        };
        timeout(limits.connect, connecting)
            .await
            .map_err(|_| KafkaError::Timeout {
                address: address.to_owned(),
                asked: "accept a connection".to_owned(),
                after: limits.connect,
            })?
    }

    /// `host:port` of the peer.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request in the highest common version, which `build` is told, and waits for its answer.
    ///
    /// # Errors
    /// Any [`KafkaError`] but `Broker`: error codes inside the answer are the caller's to read.
    pub async fn ask<R: Request>(
        &mut self,
        build: impl FnOnce(i16) -> R,
        asked: &str,
        within: Duration,
    ) -> Result<R::Response, KafkaError> {
        let version = frame::version_of::<R>(&self.offered, &self.address, asked)?;
        let request = build(version);
        timeout(within, self.exchange(&request, version, asked))
            .await
            .map_err(|_| KafkaError::Timeout {
                address: self.address.clone(),
                asked: asked.to_owned(),
                after: within,
            })?
    }

    async fn log_in(&mut self, login: &Login, within: Duration) -> Result<(), KafkaError> {
        let asked = format!("let {} in", login.username);
        let address = self.address.clone();
        let refused = |problem: String| KafkaError::Login {
            address: address.clone(),
            username: login.username.clone(),
            problem,
        };
        let mechanism = Mechanism::by_name(&login.mechanism)
            .ok_or_else(|| refused(format!("{} is not spoken here", login.mechanism)))?;
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|error| refused(error.to_string()))?;
        let (exchange, first) =
            Exchange::begin(mechanism, &login.username, &URL_SAFE_NO_PAD.encode(random));
        let handshake = self
            .ask(
                |_| SaslHandshakeRequest::default().with_mechanism(text(&login.mechanism)),
                &asked,
                within,
            )
            .await?;
        KafkaError::check(handshake.error_code, None, &asked)?;
        let answer = self.authenticate(first, &asked, within, login).await?;
        let proven = exchange.prove(&answer, &login.password).map_err(&refused)?;
        let message = proven.message.clone();
        let answer = self.authenticate(message, &asked, within, login).await?;
        proven.check(&answer).map_err(refused)
    }

    async fn authenticate(
        &mut self,
        message: String,
        asked: &str,
        within: Duration,
        login: &Login,
    ) -> Result<String, KafkaError> {
        let bytes = bytes::Bytes::from(message);
        let answer = self
            .ask(
                |_| SaslAuthenticateRequest::default().with_auth_bytes(bytes),
                asked,
                within,
            )
            .await?;
        if answer.error_code != 0 {
            return Err(KafkaError::Login {
                address: self.address.clone(),
                username: login.username.clone(),
                problem: answer
                    .error_message
                    .map_or_else(|| "no reason was given".to_owned(), |text| text.to_string()),
            });
        }
        Ok(String::from_utf8_lossy(&answer.auth_bytes).into_owned())
    }

    async fn ask_versions(&mut self) -> Result<Offered, KafkaError> {
        let asked = "tell its protocol versions";
        let request = frame::api_versions_request();
        // Brokers older than 2.4 know no version 3 and answer with UNSUPPORTED_VERSION in the form of version 0.
        let newest = self.exchange_raw(&request, 3, asked).await?;
        let response = frame::decode::<ApiVersionsRequest>(newest.1.clone(), 3, newest.0, asked)
            .or_else(|_| frame::decode::<ApiVersionsRequest>(newest.1, 0, newest.0, asked))?;
        match frame::read_api_versions(&response) {
            Err(error) if error.code() == Some(ResponseError::UnsupportedVersion) => {
                let oldest = self
                    .exchange(&ApiVersionsRequest::default(), 0, asked)
                    .await?;
                frame::read_api_versions(&oldest)
            }
            result => result,
        }
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        asked: &str,
    ) -> Result<R::Response, KafkaError> {
        let (correlation, answer) = self.exchange_raw(request, version, asked).await?;
        frame::decode::<R>(answer, version, correlation, asked)
    }

    async fn exchange_raw<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        asked: &str,
    ) -> Result<(i32, bytes::Bytes), KafkaError> {
        let correlation = self.next_correlation;
        self.next_correlation = correlation.wrapping_add(1);
        let outgoing = frame::with_length(&frame::encode(request, version, correlation, asked)?);
        let answer = async {
            self.stream.write_all(&outgoing).await?;
            let length = self.stream.read_u32().await? as usize;
            if length > MAX_FRAME_BYTES {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    format!(
                        "an answer of {length} bytes was announced; is this a Kafka listener without TLS?"
                    ),
                ));
            }
            let mut body = BytesMut::zeroed(length);
            self.stream.read_exact(&mut body).await?;
            Ok(body.freeze())
        };
        // A broker that wants another certificate says so only when it is asked something.
        let answer = answer.await.map_err(|source| {
            KafkaError::tls(&self.address, &source).unwrap_or_else(|| KafkaError::Broken {
                address: self.address.clone(),
                asked: asked.to_owned(),
                source,
            })
        })?;
        Ok((correlation, answer))
    }
}

async fn encrypted(
    stream: TcpStream,
    address: &str,
    credentials: &Credentials,
) -> Result<Box<dyn Way>, KafkaError> {
    let Some(tls) = &credentials.tls else {
        return Ok(Box::new(stream));
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| {
        KafkaError::Address {
            value: address.to_owned(),
        }
    })?;
    let secured = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .map_err(|source| {
            KafkaError::tls(address, &source).unwrap_or_else(|| KafkaError::Connect {
                address: address.to_owned(),
                source,
            })
        })?;
    Ok(Box::new(secured))
}
