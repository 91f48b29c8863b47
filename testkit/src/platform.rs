//! A platform that runs on real nodes, as `cargo xtask test --tier cluster` brought it up.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::place::left_out;

/// `name`, and the time after it: a vehicle that no earlier run has used.
#[must_use]
pub fn fresh(name: &str) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    format!("{name}-{:x}", since.unwrap_or_default().as_millis())
}

/// The running platform and the way to it.
#[derive(Clone, Debug)]
pub struct Platform {
    /// `http://127.0.0.1:PORT` of the gateway.
    pub http: String,
    /// `127.0.0.1:PORT` of the gateway's MQTT.
    pub mqtt: String,
    /// Holds the gateway's administrator token.
    pub admin_token_file: PathBuf,
    /// Where the platform lives.
    pub namespace: String,
    /// The Platform's name.
    pub name: String,
    kubeconfig: PathBuf,
    hyperkube: PathBuf,
}

impl Platform {
    /// The platform named by the `MILLRACE_*` variables of the task.
    ///
    /// Gives `None`, after saying why, where there is none.
    ///
    /// # Errors
    /// It is required and missing.
    pub fn find() -> anyhow::Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let found = (|| {
            Some(Self {
                http: variable("MILLRACE_GATEWAY_HTTP")?,
                mqtt: variable("MILLRACE_GATEWAY_MQTT")?,
                admin_token_file: variable("MILLRACE_ADMIN_TOKEN_FILE")?.into(),
                namespace: variable("MILLRACE_NAMESPACE")?,
                name: variable("MILLRACE_PLATFORM")?,
                kubeconfig: variable("MILLRACE_KUBECONFIG")?.into(),
                hyperkube: variable("MILLRACE_HYPERKUBE")?.into(),
            })
        })();
        if found.is_none() {
            left_out(
                "the platform on real nodes",
                "no platform is named; `cargo xtask test --tier cluster` brings one up",
            )?;
        }
        Ok(found)
    }

    /// Runs `kubectl` in the platform's namespace and gives its output.
    ///
    /// # Errors
    /// It fails; the error carries what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(arguments).output()?;
        anyhow::ensure!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies a manifest; an error is what the API server said.
    ///
    /// # Errors
    /// It is refused.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut child = self
            .command()
            .args(["apply", "-f", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .context("kubectl has no standard input")?
            .write_all(manifest.as_bytes())?;
        let output = child.wait_with_output()?;
        anyhow::ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// An entry of a Secret.
    ///
    /// # Errors
    /// It is not there.
    pub fn secret(&self, name: &str, key: &str) -> anyhow::Result<String> {
        let entry = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        let text = self.kubectl(&["get", "secret", name, "-o", &entry])?;
        anyhow::ensure!(!text.is_empty(), "Secret {name}: {key} is empty");
        Ok(text)
    }

    /// Runs a statement in the database `scores` of a PostgresCluster, as a role of it with a password: by the name of the
    /// Service and with the certificate looked at, inside the first server's pod, since no policy lets anybody else in. Gives
    /// the rows without a header, `|` between their fields.
    ///
    /// # Errors
    /// The server refuses; the error carries what it said.
    pub fn psql(
        &self,
        cluster: &str,
        (role, password): (&str, &str),
        statement: &str,
    ) -> anyhow::Result<String> {
        let host = self.secret(&format!("{cluster}-{role}-binding"), "host")?;
        let connect = format!(
            "host={host} hostaddr=127.0.0.1 user={role} dbname=scores sslmode=verify-full sslrootcert=/etc/millrace-certificate/ca.crt connect_timeout=60"
        );
        let password = format!("PGPASSWORD={password}");
        let pod = format!("{cluster}-0");
        self.kubectl(&[
            "exec", &pod, "--", "env", &password, "psql", &connect, "-Atc", statement,
        ])
    }

    /// Runs a CronJob now, as `kubectl create job` does, and waits until that has succeeded. A run of before goes.
    ///
    /// # Errors
    /// It fails, or has not ended in time; the error carries the end of its log.
    pub fn run_now(&self, cron_job: &str, limit: Duration) -> anyhow::Result<()> {
        let name = format!("{cron_job}-now");
        let (job, from) = (format!("job/{name}"), format!("--from=cronjob/{cron_job}"));
        self.kubectl(&["delete", &job, "--ignore-not-found", "--timeout=120s"])?;
        self.kubectl(&["create", "job", &name, &from])?;
        let states = "go-template={{range .status.conditions}}{{.type}}={{.status}} {{end}}";
        let started = Instant::now();
        loop {
            // One question may get no answer from a busy machine.
            let told = self.kubectl(&["get", &job, "-o", states]);
            let told = told.unwrap_or_else(|error| error.to_string());
            let is = |state: &str| told.split_whitespace().any(|one| one == state);
            if is("Complete=True") {
                return Ok(());
            }
            if is("Failed=True") || started.elapsed() > limit {
                let log = self.kubectl(&["logs", &job, "--tail=20"]);
                let log = log.unwrap_or_else(|error| error.to_string());
                anyhow::bail!("{job} has not succeeded ({}): {log}", told.trim());
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// The kubeconfig of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.hyperkube);
        command
            .args(["kubectl", "--namespace", &self.namespace, "--kubeconfig"])
            .arg(&self.kubeconfig);
        command
    }
}
