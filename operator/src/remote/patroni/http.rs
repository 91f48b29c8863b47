//! One request and its answer, as Patroni's server speaks: HTTP/1.0 over TLS, a connection for each.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Who does not take a connection in this time is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Answers tell of a handful of members.
const MOST: u64 = 1024 * 1024;

/// A request.
pub(super) struct Request<'a> {
    pub(super) host: &'a str,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The value of the header Authorization; none for what everybody may ask.
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a str,
    /// Within which the answer has to be there.
    pub(super) within: Duration,
}

/// Sends a request; gives the status and the body of the answer.
pub(super) async fn send(
    tls: &Arc<ClientConfig>,
    request: &Request<'_>,
) -> Result<(u16, Vec<u8>), String> {
    let answered = timeout(request.within, exchange(tls, request)).await;
    answered.map_err(|_| "it does not answer in time".to_owned())?
}

async fn exchange(
    tls: &Arc<ClientConfig>,
    request: &Request<'_>,
) -> Result<(u16, Vec<u8>), String> {
    let failed = |error: std::io::Error| error.to_string();
    let connecting = async {
        match request.address {
            Some(address) => TcpStream::connect((address, request.port)).await,
            None => TcpStream::connect((request.host, request.port)).await,
        }
    };
    let connected = timeout(CONNECT_WITHIN, connecting).await;
    let stream = connected
        .map_err(|_| "it takes no connection".to_owned())?
        .map_err(failed)?;
    let name = ServerName::try_from(request.host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::clone(tls));
    let mut stream = connector.connect(name, stream).await.map_err(failed)?;
    stream.write_all(&head(request)).await.map_err(failed)?;
    stream
        .write_all(request.body.as_bytes())
        .await
        .map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(MOST);
    match bounded.read_to_end(&mut answer).await {
        // It closes without a word. What is missing then, the length shows.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(failed(error)),
        _ => {}
    }
    parse(&answer)
}

fn head(request: &Request<'_>) -> Vec<u8> {
    let Request {
        method, path, host, ..
    } = request;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n");
    if let Some(authorization) = request.authorization {
        head += &format!("Authorization: {authorization}\r\n");
    }
    if !request.body.is_empty() {
        let length = request.body.len();
        head += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    }
    head += "\r\n";
    head.into_bytes()
}

fn parse(answer: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let cut = || "its answer is cut short".to_owned();
    let (head, body) = answer.split_at(end.ok_or_else(cut)?);
    let body = &body[4..];
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| "it does not speak HTTP".to_owned())?;
    let length = lines.filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.find_map(|(_, value)| value.trim().parse::<usize>().ok());
    if length.is_some_and(|length| length > body.len()) {
        return Err(cut());
    }
    Ok((status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_none() {
        let whole = b"HTTP/1.0 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Ok((200, b"{}".to_vec())));
        let end = whole.len() - 1;
        assert!(parse(&whole[..end]).unwrap_err().contains("cut short"));
        assert_eq!(
            parse(b"HTTP/1.0 503 No\r\n\r\nwhy"),
            Ok((503, b"why".to_vec()))
        );
        assert!(
            parse(b"SSH-2.0\r\n\r\n")
                .unwrap_err()
                .contains("speak HTTP")
        );
    }
}
