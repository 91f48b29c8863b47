//! Actions that bring an image: a pod of Kubernetes each, warm for a while, and none when nobody asks.

mod check;
mod instance;
mod janitor;
mod kubernetes;
mod log;
mod manifest;
mod state;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::action::Action;
use crate::metrics::Metrics;
use crate::name::FullName;
use crate::pool::{Lease, PoolError, Shelf, Within};

pub use check::{check, own_pod};
pub use instance::ImagePod;
use janitor::Janitor;
pub use kubernetes::{Access, Kubernetes, KubernetesError};
pub use log::END;
pub use manifest::{COMPONENT, Family, PORT, init};

/// How often idle pods are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// A connection to a pod of the same cluster takes no longer.
const CONNECT: Duration = Duration::from_secs(5);

/// At the end, pods are deleted for so long; those that are left go with the server's own.
/// With what activations under way and runs to tell get before and after, Kubernetes has to give the server's pod that long.
const FAREWELL: Duration = Duration::from_secs(3);

/// How pods are made.
#[derive(Debug, Clone)]
pub struct PodSettings {
    /// Where Kubernetes is.
    pub access: Access,
    /// What all pods have in common.
    pub family: Family,
    /// Bounds of all pods.
    pub within: Within,
    /// The port of `/init` and `/run`.
    pub port: u16,
    /// A pod whose container does not run after so long is given up: its image may have to be fetched.
    pub patience: Duration,
}

/// No pod could be had.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// Kubernetes.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// The image.
    #[error("Failed to pull container image '{image}'. {why}")]
    NoImage {
        /// Its name.
        image: String,
        /// What Kubernetes says.
        why: String,
    },
    /// The container.
    #[error("cannot start action: {0}")]
    Broken(String),
    /// Somebody deleted it.
    #[error("the action's pod was deleted while it started")]
    Gone,
    /// It took too long until the container ran.
    #[error("the action's pod did not run within {} s: {why}", after.as_secs())]
    Late {
        /// How long was waited.
        after: Duration,
        /// What for.
        why: String,
    },
    /// It took too long until the action was taken.
    #[error("The action exceeded its time limits of {} milliseconds during initialization.", .0.as_millis())]
    Timeout(Duration),
    /// It was not taken.
    #[error("{text}")]
    Init {
        /// What the image's runtime says, or what is said for it.
        text: String,
        /// Lines of its log.
        log: Vec<String>,
    },
}

impl PodError {
    /// Whether the action, or its image, is to blame.
    pub fn is_of_action(&self) -> bool {
        matches!(
            self,
            Self::NoImage { .. } | Self::Broken(_) | Self::Timeout(_) | Self::Init { .. }
        )
    }
}

/// The pods of all image actions.
#[derive(Debug)]
pub struct Pods {
    settings: PodSettings,
    kubernetes: Arc<Kubernetes>,
    http: reqwest::Client,
    shelf: Arc<Shelf<ImagePod>>,
    janitor: Janitor,
    cleaning: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
}

impl Pods {
    /// Without a pod yet; those that an earlier run has left are deleted from now on.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(settings: PodSettings, metrics: Arc<Metrics>) -> std::io::Result<Arc<Self>> {
        let kubernetes = Arc::new(Kubernetes::new(settings.access.clone()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            // An image that redirects would have this server ask, with its own reach, whom the image names.
            .redirect(reqwest::redirect::Policy::none())
            // A kept connection may be of a pod that is gone, whose address another has got.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(std::io::Error::other)?;
        let (count, promised) = (metrics.pods.clone(), metrics.pod_memory.clone());
        let shelf = Shelf::new(settings.within, Arc::clone(&metrics), count, promised);
        let orphans = settings.family.orphans();
        let (janitor, cleaning) = Janitor::start(Arc::clone(&kubernetes), orphans);
        let swept = Arc::downgrade(&shelf);
        tokio::spawn(async move {
            while let Some(shelf) = swept.upgrade() {
                shelf.sweep();
                drop(shelf);
                tokio::time::sleep(SWEEP_PERIOD).await;
            }
        });
        Ok(Arc::new(Self {
            settings,
            kubernetes,
            http,
            shelf,
            janitor,
            cleaning: Mutex::new(Some(cleaning)),
            metrics,
        }))
    }

    /// The API's address as actions in pods are told it.
    pub fn api_host(&self) -> &str {
        &self.settings.family.api_host
    }

    /// A pod for an activation of this action: a warm one, or a new one as soon as there is room, which gets `init`.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn lease(
        &self,
        action: &Action,
        image: &str,
        init: impl FnOnce() -> Result<Value, PoolError>,
    ) -> Result<Lease<ImagePod>, PoolError> {
        let start = |_| async move {
            let init = init()?;
            let started = self.start(action, image, &init).await;
            started.map_err(PoolError::from)
        };
        self.shelf.lease(action, start).await
    }

    async fn start(
        &self,
        action: &Action,
        image: &str,
        init: &Value,
    ) -> Result<ImagePod, PodError> {
        let family = &self.settings.family;
        let name = family.pod_name(action);
        let manifest = family.pod(&name, action, image);
        let (http, kubernetes) = (self.http.clone(), Arc::clone(&self.kubernetes));
        let mut pod = ImagePod::new(name, http, kubernetes, self.janitor.clone());
        self.metrics.pod_starts.inc();
        pod.create(manifest).await?;
        let (port, patience) = (self.settings.port, self.settings.patience);
        let log = action.limits.log_bytes();
        pod.runs(image, port, patience, log).await?;
        let timeout = Duration::from_millis(action.limits.timeout);
        pod.init(init, timeout, log).await?;
        Ok(pod)
    }

    /// Ends idle pods of an action that changed or went.
    pub fn forget(&self, name: &FullName, now: Option<&Action>) {
        self.shelf.forget(name, now);
    }

    /// Ends all idle pods, gives out none from now on, and waits a while until they are deleted.
    pub async fn end(&self) {
        self.shelf.end();
        self.janitor.end();
        let cleaning = self
            .cleaning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut cleaning) = cleaning
            && tokio::time::timeout(FAREWELL, &mut cleaning).await.is_err()
        {
            cleaning.abort();
            tracing::warn!("pods of actions may be left; they go with the server's own pod");
        }
    }
}
