//! The running operator: all controllers of the registry, health and metrics, an orderly end.
//!
//! Of several operators for the same namespaces one leads and works, see [`crate::leader`]; the others are ready and
//! stand by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use futures::future::{join_all, select_all};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::context::{Context, Settings};
use crate::leader::{Candidate, Elector, Fence, Lost, Timing};
use crate::made;
use crate::registry::{owned, registry};

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
    /// Another operator leads, or may lead.
    #[error("this operator leads no longer: {0}; it must be started anew to stand by")]
    Lost(#[from] Lost),
}

#[derive(Clone)]
struct Served {
    context: Arc<Context>,
    ready: Arc<AtomicBool>,
}

/// Runs until SIGTERM or SIGINT. Without a candidate there is no election: this must be the only operator then.
///
/// # Errors
/// Kubernetes or the port cannot be had, a controller ended by itself, or another operator leads.
pub async fn run(
    settings: Settings,
    listen: SocketAddr,
    candidate: Option<Candidate>,
) -> Result<(), RunError> {
    let mut config = Config::infer().await?;
    // A watch is silent for minutes; anything shorter would tear it down.
    config.read_timeout = Some(Duration::from_secs(300));
    let (context, elector) = connect(config, settings, candidate, Timing::default())?;
    let version = context.client.apiserver_version().await.map_err(Box::new)?;
    tracing::info!(
        kubernetes = version.git_version,
        operator = env!("CARGO_PKG_VERSION"),
        settings = ?context.settings,
        "starting"
    );

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
    // A standby is ready: else a roll-out of two would wait for ever.
    served.ready.store(true, Ordering::Relaxed);
    let server = tokio::spawn(serve(listener, served.clone()));

    let (mut terminate, mut interrupt) = (
        handler(SignalKind::terminate())?,
        handler(SignalKind::interrupt())?,
    );
    let (stop, stopped) = watch::channel(false);
    let signals = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        served.ready.store(false, Ordering::Relaxed);
        let _ = stop.send(true);
        // The sender lives until the end: its loss would say stop as well.
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = work(context, elector, stopped) => ended,
        () = signals => Ok(()),
    };
    server.abort();
    ended
}

/// The context of an operator, whose client writes only while it leads; and what makes it lead, if there is a candidate.
///
/// # Errors
/// The configuration of the client does not make one.
pub fn connect(
    config: Config,
    settings: Settings,
    candidate: Option<Candidate>,
    timing: Timing,
) -> Result<(Arc<Context>, Option<Elector>), RunError> {
    let Some(candidate) = candidate else {
        let client = Client::try_from(config).map_err(Box::new)?;
        return Ok((Arc::new(Context::new(client, settings)), None));
    };
    let fence = Fence::closed();
    let mut own = config.clone();
    // A renewal that hangs must fail in time.
    own.read_timeout = Some(timing.renew_deadline);
    let elector = Elector::new(
        Client::try_from(own).map_err(Box::new)?,
        candidate,
        timing,
        fence.clone(),
    );
    let client = ClientBuilder::try_from(config)
        .map_err(Box::new)?
        .with_layer(&fence)
        .build();
    Ok((Arc::new(Context::new(client, settings)), Some(elector)))
}

/// Works as long as this operator leads, and until `stopped` says true.
///
/// # Errors
/// A controller ended by itself, or another operator leads: all work has been dropped then.
pub async fn work(
    context: Arc<Context>,
    elector: Option<Elector>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let Some(mut elector) = elector else {
        context.metrics.set_leader(true);
        return control(context, stopped).await;
    };
    tokio::select! {
        () = elector.acquire() => {}
        _ = stopped.wait_for(|stop| *stop) => return Ok(()),
    }
    context.metrics.set_leader(true);
    // Renewed while the work comes to its end, too: until then nobody else may begin.
    let ended = tokio::select! {
        ended = control(Arc::clone(&context), stopped) => ended,
        lost = elector.hold() => Err(lost.into()),
    };
    context.metrics.set_leader(false);
    if !matches!(ended, Err(RunError::Lost(_))) {
        elector.release().await;
    }
    ended
}

/// Tasks that end with their owner: work that is dropped must not go on by itself.
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn control(context: Arc<Context>, stopped: watch::Receiver<bool>) -> Result<(), RunError> {
    let telling = Arc::clone(&context);
    let _beside = Tasks(vec![
        tokio::spawn(made::watch(Arc::clone(&context), owned())),
        tokio::spawn(async move { telling.changes.tell(&telling.client).await }),
    ]);
    let mut tasks = Tasks(
        registry()
            .into_iter()
            .map(|component| tokio::spawn((component.run)(Arc::clone(&context), stopped.clone())))
            .collect(),
    );
    let mut told = stopped.clone();
    tokio::select! {
        _ = told.wait_for(|stop| *stop) => {}
        _ = select_all(&mut tasks.0) => {
            // Asked to stop they all end, and one of them first.
            if !*stopped.borrow() {
                return Err(RunError::Ended);
            }
        }
    }
    let rest = tasks.0.iter_mut().filter(|task| !task.is_finished());
    if tokio::time::timeout(GRACE, join_all(rest)).await.is_err() {
        tracing::warn!("reconciles were still under way after {GRACE:?}");
    }
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

async fn metrics(State(served): State<Served>) -> ([(HeaderName, &'static str); 1], String) {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], served.context.metrics.text())
}

async fn ready(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }
}
