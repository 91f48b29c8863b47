//! Connections of HTTP: accepted up to a limit, with or without TLS, and ended in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const HANDSHAKE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; further ones wait in the system's queue.
    pub connections: u32,
    /// How long the head of a request may take, and the pause between two requests.
    pub head: Duration,
}

/// Serves `app` on `listener` until `stop` is cancelled and the requests that were begun have ended.
///
/// # Errors
/// Never; the type is that of a server that may fail.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let most = usize::try_from(limits.connections).unwrap_or(usize::MAX);
    let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let mut open = JoinSet::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(std::io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (app, tls, stop) = (app.clone(), tls.clone(), stop.clone());
                open.spawn(async move {
                    connection(stream, tls, app, limits.head, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Too many open files, for instance: it passes when connections end.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
    Ok(())
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: Router,
    head: Duration,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(stream, app, head, stop).await;
    };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, app, head, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
        Err(_) => tracing::debug!("the TLS handshake took too long"),
    }
}

async fn requests<S>(stream: S, app: Router, head: Duration, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(app);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    async fn start(connections: u32, head: Duration) -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = Router::new().route("/", get(async || "here"));
        let limits = Limits { connections, head };
        tokio::spawn(serve(listener, None, app, limits, stop.clone()));
        (address, stop)
    }

    #[tokio::test]
    async fn who_does_not_send_a_head_is_closed() {
        let (address, _stop) = start(10, Duration::from_millis(200)).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        let mut answer = Vec::new();
        let closed = slow.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), closed)
            .await
            .unwrap()
            .unwrap();
        assert!(!String::from_utf8(answer).unwrap().contains("here"));
    }

    #[tokio::test]
    async fn who_is_too_many_waits() {
        let (address, _stop) = start(1, Duration::from_secs(30)).await;
        let first = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        let early = second.read_to_string(&mut answer);
        let early = tokio::time::timeout(Duration::from_millis(300), early).await;
        assert!(early.is_err(), "answered beyond the limit");
        drop(first);
        let late = second.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), late)
            .await
            .unwrap()
            .unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn at_the_end_nobody_is_let_in() {
        let (address, stop) = start(10, Duration::from_secs(30)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
        let mut answer = Vec::new();
        let closed = idle.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(5), closed).await;
        assert_eq!(closed.unwrap().unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
