//! One TCP connection to one broker: frames out, frames in, one request at a time.

use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::KafkaError;
use super::frame::{self, Offered};

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

/// A connection that has agreed on versions. After any error it must be thrown away: an answer that comes late
/// would be taken for that of the next request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    offered: Offered,
    next_correlation: i32,
}

impl Connection {
    /// Connects and asks for the broker's versions.
    ///
    /// # Errors
    /// [`KafkaError::Connect`], [`KafkaError::Timeout`], or what the first exchange gave.
    pub async fn open(address: &str, limits: &Timeouts) -> Result<Connection, KafkaError> {
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
                stream,
                address: address.to_owned(),
                offered: Offered::new(),
                next_correlation: 0,
            };
            connection.offered = connection.ask_versions().await?;
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
        let answer = answer.await.map_err(|source| KafkaError::Broken {
            address: self.address.clone(),
            asked: asked.to_owned(),
            source,
        })?;
        Ok((correlation, answer))
    }
}
