//! The running operator: all controllers of the registry, health and metrics, an orderly end.
//!
//! One operator runs at a time: its Deployment has one replica and the strategy Recreate. There is no leader election
//! yet, so do not start a second one for the same namespaces.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use futures::future::{join_all, select_all};
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::context::{Context, Settings};
use crate::registry::registry;

/// Reconciles under way get so long to end.
const GRACE: Duration = Duration::from_secs(20);

/// Why the operator could not run, or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Kubernetes cannot be reached.
    #[error("Kubernetes: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
    /// No address of Kubernetes, or no credentials.
    #[error("the configuration of the client of Kubernetes: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The port for metrics and health, or a signal handler, cannot be had.
    #[error("{what}: {source}")]
    Io {
        /// What cannot be had.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A controller ended by itself.
    #[error("a controller ended by itself; the operator must be started anew")]
    Ended,
}

#[derive(Clone)]
struct Served {
    context: Arc<Context>,
    ready: Arc<AtomicBool>,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Kubernetes or the port cannot be had, or a controller ended by itself.
pub async fn run(settings: Settings, listen: SocketAddr) -> Result<(), RunError> {
    let mut config = kube::Config::infer().await?;
    // A watch is silent for minutes; anything shorter would tear it down.
    config.read_timeout = Some(Duration::from_secs(300));
    let client = Client::try_from(config).map_err(Box::new)?;
    let version = client.apiserver_version().await.map_err(Box::new)?;
    tracing::info!(
        kubernetes = version.git_version,
        operator = env!("CARGO_PKG_VERSION"),
        ?settings,
        "starting"
    );
    let context = Arc::new(Context::new(client, settings));

    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| RunError::Io {
            what: format!("--listen {listen}"),
            source,
        })?;
    let served = Served {
        context: Arc::clone(&context),
        ready: Arc::default(),
    };
    served.ready.store(true, Ordering::Relaxed);
    let server = tokio::spawn(serve(listener, served.clone()));

    let (stop, stopped) = watch::channel(false);
    let running: Vec<_> = registry()
        .into_iter()
        .map(|component| tokio::spawn((component.run)(Arc::clone(&context), stopped.clone())))
        .collect();
    let (mut terminate, mut interrupt) = (
        handler(SignalKind::terminate())?,
        handler(SignalKind::interrupt())?,
    );
    let mut watched = select_all(running);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = &mut watched => return Err(RunError::Ended),
    }
    tracing::info!("asked to stop");
    served.ready.store(false, Ordering::Relaxed);
    let _ = stop.send(true);
    let rest = watched.into_inner();
    if tokio::time::timeout(GRACE, join_all(rest)).await.is_err() {
        tracing::warn!("reconciles were still under way after {GRACE:?}");
    }
    server.abort();
    Ok(())
}

fn handler(kind: SignalKind) -> Result<tokio::signal::unix::Signal, RunError> {
    signal(kind).map_err(|source| RunError::Io {
        what: "a signal handler".to_owned(),
        source,
    })
}

async fn serve(listener: TcpListener, served: Served) {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(served);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "metrics and health are served no longer");
    }
}

async fn metrics(State(served): State<Served>) -> String {
    served.context.metrics.text()
}

async fn ready(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }
}
