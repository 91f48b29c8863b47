//! The server as a whole: from settings to listening sockets, and to an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{Api, handle};
use crate::invoke::{Engine, now};
use crate::metrics::{Metrics, WhatLabel};
use crate::pods::Pods;
use crate::pool::{Pool, landlock_available, unconfined};
use crate::runs::Runs;
use crate::settings::{Isolation, Settings};
use crate::store::{Kept, StoreError};
use crate::throttle::Throttle;

/// Records are written through to the disk this often: what a failing machine may lose.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// At the end, runs that were not told yet get at least so long, and at most: what activations under way left of their time.
const TELL_AT_END: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// The server could not be started or failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No isolation.
    #[error(
        "--isolation landlock: this kernel has no Landlock, so actions could read each other's and the server's secrets; \
         use Linux 5.13 or later with Landlock enabled, or give --isolation none if all actions are trusted"
    )]
    NoLandlock,
    /// Actions could take the server's place at Kubernetes.
    #[error(
        "--pods: with --isolation none every action could read this server's token of Kubernetes; leave one of the two away"
    )]
    TokenExposed,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address.
    #[error("{what} {address}: {source}; choose a free address of this machine")]
    Listen {
        /// Which option.
        what: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The client of the gateway that is told what ran.
    #[error("--audit-gateway: the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The directory of children, or a socket later on.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A running server.
pub struct Server {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where metrics are told.
    pub metrics_address: Option<SocketAddr>,
    engine: Arc<Engine>,
    grace: Duration,
    teller: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    /// Restores what is kept, and listens.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(mut settings: Settings) -> Result<Self, ServeError> {
        if settings.pool.isolation == Isolation::Landlock && !landlock_available() {
            return Err(ServeError::NoLandlock);
        }
        if settings.pool.isolation == Isolation::None && settings.pods.is_some() {
            return Err(ServeError::TokenExposed);
        }
        let metrics = Arc::new(Metrics::default());
        let health = match settings.pool.isolation {
            Isolation::Landlock => tell_gaps(&metrics),
            Isolation::None => "ok; actions are not isolated".to_owned(),
        };
        let kept = Kept::open(&settings.data, settings.retention, now())?;
        let pool = Pool::new(&settings.run, settings.pool.clone(), Arc::clone(&metrics))?;
        let listener = listen("--listen", settings.listen).await?;
        let address = listener.local_addr()?;
        let api_host = settings
            .api_host
            .clone()
            .unwrap_or_else(|| format!("http://localhost:{}", address.port()));
        let pods = settings
            .pods
            .clone()
            .map(|pods| Pods::new(pods, Arc::clone(&metrics)))
            .transpose()?;
        settings.kinds.blackbox |= pods.is_some();
        let (mut runs, mut teller) = (None, None);
        if let Some(to) = settings.audit.clone() {
            let (waiting, telling) = Runs::new(to, &metrics)?;
            for record in kept.activations.cut_off() {
                waiting.note(record, None);
            }
            runs = Some(waiting);
            teller = Some(tokio::spawn(telling.tell()));
        }
        let engine = Arc::new(Engine::new(
            kept,
            (pool, pods),
            Arc::clone(&metrics),
            settings.bounds,
            api_host,
            runs,
        ));
        let (triggers, rules) = engine.links.count();
        tracing::info!(%address, actions = engine.actions.count(), triggers, rules, "serving");
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut metrics_address = None;
        if let Some(address) = settings.metrics {
            let listener = listen("--metrics", address).await?;
            metrics_address = Some(listener.local_addr()?);
            tasks.push(tokio::spawn(run(
                listener,
                telling(metrics, health),
                stopped.clone(),
            )));
        }
        tasks.push(tokio::spawn(sync(Arc::clone(&engine), stopped.clone())));
        let grace = settings.grace;
        let throttle = Arc::new(Throttle::new(settings.throttles));
        let api = Arc::new(Api {
            engine: Arc::clone(&engine),
            settings,
            throttle,
        });
        let router = Router::new().fallback(handle).with_state(api);
        tasks.push(tokio::spawn(run(listener, router, stopped)));
        Ok(Self {
            address,
            metrics_address,
            engine,
            grace,
            teller,
            stop,
            tasks,
        })
    }

    /// Ends in order: takes no more requests, lets activations under way end, keeps their records, ends the children.
    pub async fn stop(self) {
        // Fails only when all tasks are gone already.
        let _ = self.stop.send(true);
        let begin = Instant::now();
        let left = self.engine.drain(self.grace).await;
        if left > 0 {
            tracing::warn!(
                activations = left,
                "cut off; the next start gives them a record that says so"
            );
        }
        self.engine.pool.end();
        // What comes next takes time that a supervisor may not give.
        if let Err(error) = self.engine.activations.sync() {
            tracing::error!(%error, "records are not on the disk");
        }
        if let Some(pods) = &self.engine.pods {
            pods.end().await;
        }
        if let (Some(runs), Some(teller)) = (&self.engine.runs, self.teller) {
            runs.close();
            let patience = self.grace.saturating_sub(begin.elapsed());
            let patience = patience.clamp(TELL_AT_END.0, TELL_AT_END.1);
            if tokio::time::timeout(patience, teller).await.is_err() {
                tracing::warn!(
                    "the gateway does not take which actions ran last; the topic audit lacks them"
                );
            }
        }
        for task in self.tasks {
            match tokio::time::timeout(Duration::from_secs(2), task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::warn!(%error, "a listener failed"),
                Ok(Err(error)) => tracing::warn!(%error, "a task failed"),
                Err(_) => tracing::warn!("a client keeps its connection; closed"),
            }
        }
        if let Err(error) = self.engine.activations.sync() {
            tracing::error!(%error, "the last records are not on the disk");
        }
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            what,
            address,
            source,
        })
}

async fn run(
    listener: TcpListener,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    use axum::serve::ListenerExt as _;
    // Small answers at once: an invocation is one request and one answer.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no-delay not set");
        }
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(ended(stopped))
        .await
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone, which is an end too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Tells what this kernel does not keep actions from, in the log and as a metric; what `/healthz` is to say.
fn tell_gaps(metrics: &Metrics) -> String {
    let mut names = Vec::new();
    for gap in unconfined() {
        tracing::error!(
            what = gap.what,
            "ISOLATION IS PARTIAL: {}; Linux {} or later prevents it",
            gap.means,
            gap.linux
        );
        let label = WhatLabel { what: gap.what };
        metrics.unconfined.get_or_create(&label).set(1);
        names.push(gap.what);
    }
    if names.is_empty() {
        "ok".to_owned()
    } else {
        format!("ok; not confined by this kernel: {}", names.join(", "))
    }
}

fn telling(metrics: Arc<Metrics>, health: String) -> Router {
    Router::new()
        .route("/healthz", get(async move || health))
        .route("/readyz", get(async || "ready"))
        .route("/metrics", get(async move || metrics.text()))
}

async fn sync(engine: Arc<Engine>, stopped: watch::Receiver<bool>) -> std::io::Result<()> {
    let ended = ended(stopped);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => return Ok(()),
            () = tokio::time::sleep(SYNC_PERIOD) => {}
        }
        let engine = Arc::clone(&engine);
        match tokio::task::spawn_blocking(move || {
            engine.actions.sweep();
            engine.activations.sync()
        })
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "records are not on the disk"),
            Err(error) => tracing::error!(%error, "writing through ended early"),
        }
    }
}
