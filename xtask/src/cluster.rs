//! The cluster that a command works with: the local one, kind, or one that exists.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::images::{self, Image};
use crate::{Target, builds, run};

/// A cluster and the tools that talk to it.
pub struct Cluster {
    kind: Kind,
    kubeconfig: PathBuf,
    kubectl: Vec<PathBuf>,
    helm: PathBuf,
}

enum Kind {
    /// Nodes in namespaces of this machine, see `cluster/README.md`.
    Local(Local),
    /// Kubernetes in containers, where a container engine answers and this user is not root.
    InContainers(String),
    /// A context of the user's kubeconfig, and where its images are pushed to.
    Existing {
        context: String,
        registry: Option<String>,
    },
}

struct Local {
    script: PathBuf,
    base: PathBuf,
    name: String,
    port: u16,
    built: PathBuf,
}

/// Says before any work which cluster it will be.
///
/// # Errors
/// None is possible here.
pub fn check(target: &Target) -> anyhow::Result<()> {
    if let Some(context) = &target.context {
        anyhow::ensure!(
            run::succeeds(Command::new("kubectl").args(["--context", context, "version"])),
            "--context {context}: kubectl cannot reach it; `kubectl config get-contexts` lists what there is"
        );
        return Ok(());
    }
    if is_root() || kind_answers() {
        return Ok(());
    }
    anyhow::bail!(
        "the local cluster needs root (network namespaces, mounts): run as root, or start a container engine and install kind, or give `--context NAME`"
    )
}

fn is_root() -> bool {
    run::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn kind_answers() -> bool {
    run::succeeds(Command::new("kind").arg("version"))
        && ["docker", "podman"]
            .iter()
            .any(|e| run::succeeds(Command::new(e).arg("info")))
}

/// Whether this will be the cluster of `cluster/`, which is built from source.
#[must_use]
pub fn is_local(target: &Target) -> bool {
    target.context.is_none() && is_root()
}

impl Cluster {
    /// The cluster of `target`, running or not. `built` is where the local cluster's binaries are.
    ///
    /// # Errors
    /// The state directory cannot be made.
    pub fn of(context: &Context, target: &Target, built: &Path) -> anyhow::Result<Self> {
        if let Some(name) = &target.context {
            let kubeconfig = std::env::var_os("KUBECONFIG")
                .map(PathBuf::from)
                .filter(|path| path.is_file())
                .or_else(|| {
                    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"))
                })
                .unwrap_or_default();
            let kind = Kind::Existing {
                context: name.clone(),
                registry: target.registry.clone(),
            };
            return Ok(Self {
                kind,
                kubeconfig,
                kubectl: vec!["kubectl".into()],
                helm: helm(built),
            });
        }
        std::fs::create_dir_all(&context.state)?;
        if !is_local(target) {
            let kubeconfig = context.state.join("kind.kubeconfig");
            return Ok(Self {
                kind: Kind::InContainers(name(context)),
                kubeconfig,
                kubectl: vec!["kubectl".into()],
                helm: helm(built),
            });
        }
        let base = context.state.join("cluster");
        let local = Local {
            script: context.root.join("cluster/cluster.sh"),
            name: name(context),
            port: crate::access::port(context, "kubernetes", 6443)?,
            built: built.to_path_buf(),
            base: base.clone(),
        };
        let kubectl = vec![built.join("hyperkube"), "kubectl".into()];
        Ok(Self {
            kind: Kind::Local(local),
            kubeconfig: base.join("admin.kubeconfig"),
            kubectl,
            helm: built.join("helm"),
        })
    }

    /// Brings it up, or finds it up.
    ///
    /// # Errors
    /// It does not come up; the error carries the end of the log.
    pub fn up(&self, context: &Context, nodes: Option<u8>) -> anyhow::Result<()> {
        let log = context.log("cluster")?;
        match &self.kind {
            Kind::Local(local) => {
                let mut script = local.script();
                if let Some(count) = nodes {
                    script.env("NODES", count.to_string());
                }
                run::logged(script.arg("up"), &log)
            }
            Kind::InContainers(name) => {
                let running =
                    run::output(Command::new("kind").args(["get", "clusters"])).unwrap_or_default();
                if running.lines().any(|l| l == name) {
                    return Ok(());
                }
                run::logged(
                    Command::new("kind")
                        .args([
                            "create",
                            "cluster",
                            "--name",
                            name,
                            "--wait",
                            "120s",
                            "--kubeconfig",
                        ])
                        .arg(&self.kubeconfig),
                    &log,
                )
            }
            Kind::Existing { .. } => Ok(()),
        }
    }

    /// What images are named after.
    #[must_use]
    pub fn image_prefix(&self) -> &str {
        match &self.kind {
            Kind::Existing {
                registry: Some(registry),
                ..
            } => registry,
            _ => "localhost",
        }
    }

    /// Hands images to the nodes.
    ///
    /// # Errors
    /// A node does not take them.
    pub fn load(&self, context: &Context, images: &[Image]) -> anyhow::Result<()> {
        let log = context.log("load")?;
        match &self.kind {
            Kind::Local(local) => run::logged(
                local
                    .script()
                    .arg("load")
                    .args(images.iter().map(|i| &i.archive)),
                &log,
            ),
            Kind::InContainers(name) => {
                for image in images {
                    run::logged(
                        Command::new("kind")
                            .args(["load", "image-archive", "--name", name])
                            .arg(&image.archive),
                        &log,
                    )?;
                }
                Ok(())
            }
            Kind::Existing {
                registry: Some(_), ..
            } => images::push(context, images),
            Kind::Existing {
                registry: None,
                context: name,
            } => anyhow::bail!(
                "--context {name}: its nodes must be able to pull the images; give `--registry HOST/PATH` to push them to"
            ),
        }
    }

    /// Removes the cluster, where `up` made it.
    ///
    /// # Errors
    /// Something of it cannot be removed.
    pub fn remove(&self, context: &Context) -> anyhow::Result<()> {
        let log = context.log("down")?;
        match &self.kind {
            Kind::Local(local) => run::logged(local.script().arg("nuke"), &log),
            Kind::InContainers(name) => run::logged(
                Command::new("kind").args(["delete", "cluster", "--name", name]),
                &log,
            ),
            Kind::Existing { .. } => Ok(()),
        }
    }

    /// Whether `down` has to remove what was installed piece by piece, because the cluster stays.
    #[must_use]
    pub fn outlives_us(&self) -> bool {
        matches!(self.kind, Kind::Existing { .. })
    }

    /// `kubectl` for this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl[0]);
        command
            .args(&self.kubectl[1..])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig);
        if let Kind::Existing { context, .. } = &self.kind {
            command.args(["--context", context]);
        }
        command
    }

    /// `helm` for this cluster.
    #[must_use]
    pub fn helm(&self, context: &Context) -> Command {
        let mut command = Command::new(&self.helm);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Kind::Existing { context, .. } = &self.kind {
            command.args(["--kube-context", context]);
        }
        // helm's own files stay with ours, not in the user's home
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(
                format!("HELM_{kind}_HOME"),
                context.state.join("helm").join(kind.to_lowercase()),
            );
        }
        command
    }

    /// Makes a port of a node reachable on loopback; `None` where the cluster is not on this machine.
    ///
    /// # Errors
    /// The port cannot be listened on.
    pub fn forward(&self, context: &Context, port: u16, target: &str) -> anyhow::Result<bool> {
        let Kind::Local(local) = &self.kind else {
            return Ok(false);
        };
        run::logged(
            local
                .script()
                .args(["forward", &format!("127.0.0.1:{port}={target}")]),
            &context.log("cluster")?,
        )?;
        Ok(true)
    }

    /// What lets a test cut nodes off and heal them again: the script of the local cluster, and its settings.
    #[must_use]
    pub fn drill(&self) -> Vec<(&'static str, String)> {
        let Kind::Local(local) = &self.kind else {
            return Vec::new();
        };
        let shown = |path: &Path| path.display().to_string();
        vec![
            ("MILLRACE_CLUSTER_SCRIPT", shown(&local.script)),
            ("LC_BASE", shown(&local.base)),
            ("LC_NAME", local.name.clone()),
            ("LC_API_PORT", local.port.to_string()),
            ("LC_BIN", shown(&local.built)),
        ]
    }

    /// Where its kubeconfig is.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Local {
    fn script(&self) -> Command {
        let mut command = Command::new("bash");
        command
            .arg(&self.script)
            .env("LC_BASE", &self.base)
            .env("LC_NAME", &self.name)
            .env("LC_API_PORT", self.port.to_string())
            .env("LC_BIN", &self.built);
        command
    }
}

/// `bash` for a script that makes a cluster of its own, for trying the local Kubernetes itself.
pub fn live_script(context: &Context, built: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .env("LC_BASE", context.state.join("live"))
        .env("LC_NAME", format!("{}-live", name(context)))
        .env("LC_BIN", built);
    command
}

/// One name per checkout and instance: two checkouts share no control groups, and `down` knows what is its own.
pub fn name(context: &Context) -> String {
    let hash = Sha256::digest(context.state.to_string_lossy().as_bytes());
    format!("millrace-{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2])
}

fn helm(built: &Path) -> PathBuf {
    let ours = built.join("helm");
    if ours.is_file() { ours } else { "helm".into() }
}

/// The path of the kubeconfig of a cluster that is up.
///
/// # Errors
/// There is none: `up` has not run.
pub fn kubeconfig(context: &Context, target: &Target) -> anyhow::Result<PathBuf> {
    let path = running(context, target)?.kubeconfig;
    Ok(path)
}

/// The cluster that `up` brought up.
///
/// # Errors
/// There is none.
pub fn running(context: &Context, target: &Target) -> anyhow::Result<Cluster> {
    let built = if is_local(target) {
        builds::cluster(context)?
    } else {
        PathBuf::new()
    };
    let cluster = Cluster::of(context, target, &built)?;
    anyhow::ensure!(
        run::succeeds(cluster.kubectl().args(["get", "--raw", "/readyz"])),
        "no cluster is running here: run `cargo xtask up` first"
    );
    Ok(cluster)
}
