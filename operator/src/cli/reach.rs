//! The way to a platform's gateway: its token from a Secret, its connection through a pod.

use std::net::SocketAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

use super::{Gateway, GatewayError, Place};
use crate::job::HTTP_PORT;
use crate::platform::crd::Platform;
use crate::platform::gateway_secret_name;
use crate::reconcile::secrets;

/// What a token of the gateway opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Credentials of vehicles.
    Vehicles,
    /// Dead letters and the flow.
    Operations,
    /// Everything, also what was sealed because it may name a driver.
    Administrator,
}

impl Role {
    /// The role's key in the gateway's Secret.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Vehicles => "vehicles-token",
            Self::Operations => "operations-token",
            Self::Administrator => "admin-token",
        }
    }
}

/// Why a gateway cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// No kubeconfig, or not the context that was asked for.
    #[error("kubeconfig: {0}; name one by --kubeconfig and --context, or a gateway by --gateway")]
    Kubeconfig(#[from] Box<kube::config::KubeconfigError>),
    /// Kubernetes refused.
    #[error("{what}: {source}; see whether the user of the kubeconfig may do this")]
    Kubernetes {
        /// What was asked for.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// The namespace holds no platform, or several.
    #[error("--platform: {problem}; {cure}")]
    Platform {
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// The Secret has no such token.
    #[error("Secret {secret}: no key {key}; wait until the operator has added it, or add one")]
    Token {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// No pod of the gateway is ready.
    #[error(
        "{gateway}: none of its pods is ready; see `kubectl -n {namespace} get pods -l app.kubernetes.io/instance={gateway}`"
    )]
    NotReady {
        /// The StreamJob.
        gateway: String,
        /// Its namespace.
        namespace: String,
    },
    /// A file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No port on loopback.
    #[error("loopback: {0}")]
    Loopback(std::io::Error),
    /// The client cannot be made.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

fn refused(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ReachError {
    let what = what.into();
    |source| ReachError::Kubernetes {
        what,
        source: Box::new(source),
    }
}

/// Finds the gateway with the token of a role.
///
/// # Errors
/// It cannot be found or reached, or the user may not.
pub async fn gateway(place: &Place, role: Role) -> Result<Gateway, ReachError> {
    if let (Some(url), Some(file)) = (&place.gateway, &place.token_file) {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| ReachError::File {
                path: path.clone(),
                source,
            })
        };
        let token = String::from_utf8_lossy(&read(file)?).trim().to_owned();
        let authority = place.ca_file.as_ref().map(read).transpose()?;
        return Ok(Gateway::new(url, token, authority.as_deref())?);
    }
    let (client, namespace) = client(place).await?;
    let platform = platform(&client, &namespace, place.platform.as_deref()).await?;
    let name = gateway_secret_name(&platform);
    let token = token(&client, &namespace, &name, role).await?;
    let pod = ready_pod(&client, &namespace, &name).await?;
    let address = forward(Api::namespaced(client, &namespace), pod).await?;
    Ok(Gateway::new(&format!("http://{address}"), token, None)?)
}

/// A client of the kubeconfig, and the namespace.
///
/// # Errors
/// There is no such kubeconfig or context.
pub async fn client(place: &Place) -> Result<(Client, String), ReachError> {
    let options = KubeConfigOptions {
        context: place.context.clone(),
        ..KubeConfigOptions::default()
    };
    let wrong = |e: kube::config::KubeconfigError| ReachError::Kubeconfig(Box::new(e));
    let config = match &place.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => kube::Config::from_kubeconfig(&options).await,
    }
    .map_err(wrong)?;
    let namespace = place
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(refused("kubeconfig"))?;
    Ok((client, namespace))
}

/// The platform of that name, or the only one.
///
/// # Errors
/// There is none, or several.
pub async fn platform(
    client: &Client,
    namespace: &str,
    name: Option<&str>,
) -> Result<String, ReachError> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let api: Api<Platform> = Api::namespaced(client.clone(), namespace);
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(refused(format!("Platforms in namespace {namespace}")))?;
    let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(ReachError::Platform {
            problem: format!("namespace {namespace} has none"),
            cure: "name its namespace by --namespace".into(),
        }),
        several => Err(ReachError::Platform {
            problem: format!("namespace {namespace} has several: {}", several.join(", ")),
            cure: "name one by --platform".into(),
        }),
    }
}

async fn token(
    client: &Client,
    namespace: &str,
    gateway: &str,
    role: Role,
) -> Result<String, ReachError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api
        .get(gateway)
        .await
        .map_err(refused(format!("Secret {namespace}/{gateway}")))?;
    secrets::text(secret.data.as_ref(), role.key())
        .map(str::to_owned)
        .ok_or_else(|| ReachError::Token {
            secret: format!("{namespace}/{gateway}"),
            key: role.key(),
        })
}

async fn ready_pod(client: &Client, namespace: &str, gateway: &str) -> Result<String, ReachError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = format!("app.kubernetes.io/instance={gateway}");
    let pods = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(refused(format!("pods of {namespace}/{gateway}")))?;
    pods.items
        .iter()
        .find(|pod| ready(pod))
        .map(ResourceExt::name_any)
        .ok_or_else(|| ReachError::NotReady {
            gateway: gateway.to_owned(),
            namespace: namespace.to_owned(),
        })
}

pub(super) fn ready(pod: &Pod) -> bool {
    let going = pod.metadata.deletion_timestamp.is_some();
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    !going
        && conditions
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// Serves a port on loopback whose connections go to the pod. It ends with the process.
async fn forward(pods: Api<Pod>, pod: String) -> Result<SocketAddr, ReachError> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(ReachError::Loopback)?;
    let address = listener.local_addr().map_err(ReachError::Loopback)?;
    let port = u16::try_from(HTTP_PORT).unwrap_or(8080);
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (pods, pod) = (pods.clone(), pod.clone());
            tokio::spawn(async move {
                let mut forwarder = match pods.portforward(&pod, &[port]).await {
                    Ok(forwarder) => forwarder,
                    Err(error) => {
                        tracing::error!(%pod, %error, "cannot forward a port to the pod");
                        return;
                    }
                };
                if let Some(mut there) = forwarder.take_stream(port) {
                    let ended = copy_bidirectional(&mut here, &mut there).await;
                    tracing::debug!(?ended, "connection ended");
                }
            });
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ready: &str, going: bool) -> Pod {
        let mut pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        if going {
            pod.metadata.deletion_timestamp =
                serde_json::from_value(serde_json::json!("2026-01-01T00:00:00Z")).ok();
        }
        pod
    }

    #[test]
    fn pods_that_leave_or_are_not_ready_are_passed_over() {
        assert!(ready(&pod("True", false)));
        assert!(!ready(&pod("False", false)));
        assert!(!ready(&pod("True", true)));
        assert!(!ready(&Pod::default()));
    }
}
