//! The API of Kubernetes, as far as pods of actions go: nothing else speaks to it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::state::{PodState, state};

/// Where Kubernetes puts what a pod needs to know of it.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One call, at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that is no log is no larger.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Of an answer that says no, this much is told.
const SHOWN: usize = 300;

/// Kubernetes does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// No pod.
    #[error("--pods: this process is in no pod of Kubernetes: {0} is not set; leave --pods away")]
    NoCluster(&'static str),
    /// A file of the service account.
    #[error(
        "--pods: {path}: {source}; let the pod mount the token of a ServiceAccount that may create pods"
    )]
    Account {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The authority.
    #[error(
        "--pods: {0}: holds no certificate; Kubernetes puts the authority of its API there, in PEM"
    )]
    Authority(PathBuf),
    /// No answer.
    #[error("Kubernetes cannot be asked to {asked}: {problem}")]
    Unreachable {
        /// What for.
        asked: String,
        /// Why not.
        problem: String,
    },
    /// It says no.
    #[error("Kubernetes does not {asked}: {status}: {message}")]
    Refused {
        /// What it was asked for.
        asked: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl KubernetesError {
    /// Whether what it was asked for may happen all the same.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::NoCluster(_) | Self::Account { .. } | Self::Authority(_) => false,
        }
    }
}

/// How to reach the API.
#[derive(Debug, Clone)]
pub struct Access {
    /// For example `https://10.0.0.1:443`.
    pub url: String,
    /// File with the token. Read again for each call, since it is replaced before it ends.
    pub token: Option<PathBuf>,
    /// Whom to trust.
    pub roots: Option<RootCerts>,
    /// The namespace of the pods.
    pub namespace: String,
}

impl Access {
    /// What Kubernetes tells each pod.
    ///
    /// # Errors
    /// This is no pod, or its service account is not mounted.
    pub fn in_cluster() -> Result<Self, KubernetesError> {
        let variable = |name: &'static str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or(KubernetesError::NoCluster(name))
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => host,
        };
        let account = Path::new(ACCOUNT);
        let namespace = read(&account.join("namespace"))?;
        let authority = account.join("ca.crt");
        let roots = roots(&read(&authority)?).ok_or(KubernetesError::Authority(authority))?;
        let token = account.join("token");
        read(&token)?;
        Ok(Self {
            url: format!("https://{host}:{port}"),
            token: Some(token),
            roots: Some(roots),
            namespace: namespace.trim().to_owned(),
        })
    }
}

fn read(path: &Path) -> Result<String, KubernetesError> {
    std::fs::read_to_string(path).map_err(|source| KubernetesError::Account {
        path: path.to_owned(),
        source,
    })
}

fn roots(pem: &str) -> Option<RootCerts> {
    let certificates: Vec<Certificate<'static>> = parse_pem(pem.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::from(certificates))
}

/// A client.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    agent: Agent,
    access: Access,
}

impl Kubernetes {
    /// A client; it connects when it is asked.
    pub fn new(access: Access) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(roots) = &access.roots {
            tls = tls.root_certs(roots.clone());
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // It is in the cluster; a proxy of the environment does not know it.
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("millrace-whisk/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .into();
        Self { agent, access }
    }

    /// Makes a pod.
    ///
    /// # Errors
    /// [`KubernetesError`].
    pub async fn create(&self, pod: Value) -> Result<(), KubernetesError> {
        let asked = "create the pod of an action";
        let body = Some(pod.to_string());
        let (status, text) = self.call(Method::POST, "", body, asked).await?;
        accepted(status, &text, asked)
    }

    /// How far a pod is.
    ///
    /// # Errors
    /// [`KubernetesError`].
    pub async fn state(&self, name: &str) -> Result<PodState, KubernetesError> {
        let asked = "tell of the pod of an action";
        let path = format!("/{name}");
        let (status, text) = self.call(Method::GET, &path, None, asked).await?;
        if status == 404 {
            return Ok(PodState::Gone);
        }
        accepted(status, &text, asked)?;
        Ok(state(&serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Ends a pod, if there is one: whether there was.
    ///
    /// # Errors
    /// [`KubernetesError`].
    pub async fn delete(&self, name: &str) -> Result<bool, KubernetesError> {
        let asked = "delete the pod of an action";
        let path = format!("/{name}");
        match self.call(Method::DELETE, &path, None, asked).await? {
            (404, _) => Ok(false),
            (status, text) => accepted(status, &text, asked).map(|()| true),
        }
    }

    /// The names of the pods that a selector of labels finds.
    ///
    /// # Errors
    /// [`KubernetesError`].
    pub async fn names(&self, selector: &str) -> Result<Vec<String>, KubernetesError> {
        let asked = "list the pods of actions";
        let selector = selector
            .replace('!', "%21")
            .replace('=', "%3D")
            .replace(',', "%2C");
        let path = format!("?labelSelector={selector}");
        let (status, text) = self.call(Method::GET, &path, None, asked).await?;
        accepted(status, &text, asked)?;
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items
            .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
            .collect())
    }

    /// The log of a pod with the time of each line: from a whole second on, `bytes` of it at most.
    ///
    /// # Errors
    /// [`KubernetesError`].
    pub async fn log(
        &self,
        name: &str,
        since: Option<jiff::Timestamp>,
        bytes: usize,
    ) -> Result<String, KubernetesError> {
        let asked = "read the log of an action";
        let mut path = format!("/{name}/log?timestamps=true&limitBytes={bytes}");
        if let Some(since) = since {
            path.push_str(&format!("&sinceTime={since:.0}"));
        }
        let (status, text) = self.call(Method::GET, &path, None, asked).await?;
        accepted(status, &text, asked)?;
        Ok(text)
    }

    /// Status and body of an answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        asked: &str,
    ) -> Result<(u16, String), KubernetesError> {
        let unreachable = |problem: String| KubernetesError::Unreachable {
            asked: asked.to_owned(),
            problem,
        };
        let Access { url, namespace, .. } = &self.access;
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{url}/api/v1/namespaces/{namespace}/pods{path}"))
            .header("accept", "application/json, */*");
        if let Some(token) = &self.access.token {
            let token = read(token)?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let agent = self.agent.clone();
        let sent = tokio::task::spawn_blocking(move || send(&agent, request, body));
        match sent.await {
            Ok(answer) => answer.map_err(|error| unreachable(error.to_string())),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

#[allow(
    clippy::result_large_err,
    reason = "the error is told in words one call further up"
)]
fn send(
    agent: &Agent,
    request: http::request::Builder,
    body: Option<String>,
) -> Result<(u16, String), ureq::Error> {
    let mut answer = match body {
        Some(body) => agent.run(
            request
                .header("content-type", "application/json")
                .body(body)?,
        )?,
        None => agent.run(request.body(())?)?,
    };
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec()?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn accepted(status: u16, text: &str, asked: &str) -> Result<(), KubernetesError> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    let message = told["message"].as_str().unwrap_or(text);
    Err(KubernetesError::Refused {
        asked: asked.to_owned(),
        status,
        message: message.chars().take(SHOWN).collect(),
    })
}
