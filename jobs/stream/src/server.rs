//! Health and metrics of a job: `/healthz`, `/readyz` and `/metrics` on a port of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a job is still waiting for. Cloned into every part that can be unready.
#[derive(Debug, Clone, Default)]
pub struct Health {
    inner: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    waiting: BTreeMap<String, String>,
    dead: Option<String>,
}

impl Health {
    /// A job with nothing to wait for: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The part named `what` is not ready, for `reason`.
    pub fn waiting(&self, what: &str, reason: impl Into<String>) {
        self.lock().waiting.insert(what.to_owned(), reason.into());
    }

    /// The part named `what` is ready.
    pub fn ready(&self, what: &str) {
        self.lock().waiting.remove(what);
    }

    /// The job cannot go on and wants to be restarted.
    pub fn dead(&self, reason: impl Into<String>) {
        self.lock().dead = Some(reason.into());
    }

    /// Nothing is waited for and nothing is dead.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && state.dead.is_none()
    }

    /// One line per part that is waited for.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.lock()
            .waiting
            .iter()
            .map(|(what, why)| format!("{what}: {why}"))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Endpoints {
    health: Health,
    registry: Arc<Registry>,
}

/// Serves the three endpoints on `addr` until `stop` is cancelled; returns the bound address.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    addr: SocketAddr,
    health: Health,
    registry: Registry,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await.map_err(|e| {
        std::io::Error::new(
            e.kind(),
            format!("--metrics {addr}: cannot listen: {e}; choose a free address"),
        )
    })?;
    let bound = listener.local_addr()?;
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Endpoints {
            health,
            registry: Arc::new(registry),
        });
    tokio::spawn(async move {
        let served = axum::serve(listener, app)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the metrics server ended");
        }
    });
    Ok(bound)
}

async fn healthz(State(endpoints): State<Endpoints>) -> Response {
    match &endpoints.health.lock().dead {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn readyz(State(endpoints): State<Endpoints>) -> Response {
    if endpoints.health.is_ready() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        let mut text = endpoints.health.reasons().join("\n");
        text.push('\n');
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &endpoints.registry) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Completes at SIGTERM or SIGINT.
pub async fn terminated() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt => {}
            }
        }
        // Without a SIGTERM handler the default action ends the process; SIGINT still ends it in order.
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught");
            let _ = interrupt.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_nothing_is_waited_for() {
        let health = Health::new();
        assert!(health.is_ready());
        health.waiting("credentials", "12 of 40 read");
        assert!(!health.is_ready());
        assert_eq!(health.reasons(), ["credentials: 12 of 40 read"]);
        health.ready("credentials");
        assert!(health.is_ready());
        health.dead("producer fenced");
        assert!(!health.is_ready());
    }
}
