//! A real kube-apiserver with etcd inside its process, without nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(120);
const TOKEN: &str = "administrator-of-the-tests";

/// A running API server on loopback, for one test binary. RBAC is on; its kubeconfig is an administrator's.
pub struct ApiServer {
    directory: tempfile::TempDir,
    hyperkube: PathBuf,
    port: u16,
    server: Server,
}

impl ApiServer {
    /// Starts an API server with empty storage.
    ///
    /// Gives `None`, after saying why, where the Kubernetes binary is not to be had
    /// (`$MILLRACE_HYPERKUBE`, else the newest `cluster-*/hyperkube` of the cache).
    ///
    /// # Errors
    /// It does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        Self::start_with(&[])
    }

    /// The same with further arguments of kube-apiserver.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub fn start_with(arguments: &[String]) -> anyhow::Result<Option<Self>> {
        let binary = std::env::var_os("MILLRACE_HYPERKUBE")
            .map(PathBuf::from)
            .or_else(|| newest("cluster-", "hyperkube"));
        let Some(hyperkube) = binary.filter(|b| b.is_file()) else {
            left_out(
                "the API server",
                "its binary is not in the cache; `cargo xtask test` builds it",
            )?;
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let (port, client, peer) = (free_port()?, free_port()?, free_port()?);
        std::fs::write(at.join("etcd.yaml"), etcd(at, client, peer))?;
        std::fs::write(
            at.join("tokens.csv"),
            format!("{TOKEN},tests,tests,\"system:masters\"\n"),
        )?;
        std::fs::write(at.join("kubeconfig"), kubeconfig(port))?;
        service_account_key(at)?;
        let mut server = Server::start(
            Command::new(&hyperkube)
                .arg("kube-apiserver-etcd")
                .env("ETCD_CONFIG", at.join("etcd.yaml"))
                .arg(format!("--etcd-servers=http://127.0.0.1:{client}"))
                .arg("--bind-address=127.0.0.1")
                .arg(format!("--secure-port={port}"))
                .arg(format!("--cert-dir={}", at.join("certificates").display()))
                .arg(format!(
                    "--token-auth-file={}",
                    at.join("tokens.csv").display()
                ))
                .arg("--authorization-mode=RBAC")
                .arg("--service-cluster-ip-range=10.96.0.0/16")
                .arg("--service-account-issuer=https://kubernetes.default.svc")
                .arg(format!(
                    "--service-account-key-file={}",
                    at.join("sa.key").display()
                ))
                .arg(format!(
                    "--service-account-signing-key-file={}",
                    at.join("sa.key").display()
                ))
                // Nothing gives default service accounts here, and no pod ever runs.
                .arg("--disable-admission-plugins=ServiceAccount")
                .arg("--profiling=false")
                .args(arguments),
            &at.join("apiserver.log"),
        )?;
        server
            .wait_for_port(port, START)
            .context("kube-apiserver")?;
        let api = Self {
            directory,
            hyperkube,
            port,
            server,
        };
        api.wait_ready()?;
        Ok(Some(api))
    }

    /// The path of an administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the authority of its certificate, which has the name 127.0.0.1.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("certificates/apiserver.crt")
    }

    /// `kubectl` for this server.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.hyperkube);
        command
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(self.kubeconfig());
        command
    }

    /// Lets it hang, or go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn hang(&self, hangs: bool) -> anyhow::Result<()> {
        let signal = if hangs { "-STOP" } else { "-CONT" };
        let pid = self.server.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status()?;
        anyhow::ensure!(sent.success(), "{pid} cannot be signalled");
        Ok(())
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        loop {
            let output = self.kubectl().args(["get", "--raw", "/readyz"]).output()?;
            if output.status.success() {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < end,
                "the API server is not ready: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn etcd(at: &Path, client: u16, peer: u16) -> String {
    format!(
        "name: tests\n\
         data-dir: {}\n\
         listen-client-urls: http://127.0.0.1:{client}\n\
         advertise-client-urls: http://127.0.0.1:{client}\n\
         listen-peer-urls: http://127.0.0.1:{peer}\n\
         initial-advertise-peer-urls: http://127.0.0.1:{peer}\n\
         initial-cluster: tests=http://127.0.0.1:{peer}\n\
         unsafe-no-fsync: true\n\
         log-level: error\n",
        at.join("etcd").display()
    )
}

// The server signs its own certificate at start and it lives on loopback only, hence no verification.
fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters: [{{name: tests, cluster: {{server: \"https://127.0.0.1:{port}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: tests, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: tests, context: {{cluster: tests, user: tests, namespace: default}}}}]\n\
         current-context: tests\n"
    )
}

fn service_account_key(at: &Path) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args([
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-noout",
            "-out",
        ])
        .arg(at.join("sa.key"))
        .output()
        .context("openssl cannot be started; install the Debian package openssl")?;
    anyhow::ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "api tier"]
    fn it_answers_an_administrator() {
        let Some(api) = ApiServer::start().unwrap() else {
            return;
        };
        let output = api
            .kubectl()
            .args(["get", "namespaces", "-o", "name"])
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("namespace/default"));
    }
}
