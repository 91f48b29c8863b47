//! An OCI registry: the reference implementation of the distribution specification, built once by Go and kept in the cache.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::place::{cache_dir, left_out, repository_root};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(30);

/// A running registry on loopback, for one test. It speaks https.
pub struct Registry {
    directory: tempfile::TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl Registry {
    /// Starts an empty one with this certificate and key, in PEM. `passwords` are lines of a file of htpasswd (bcrypt); anybody
    /// may read and write where there are none.
    ///
    /// Gives `None`, after saying why, where it cannot be built (`testkit/registry`, by Go).
    ///
    /// # Errors
    /// It does not come up, or it is required and missing.
    pub fn start(
        certificate: &str,
        key: &str,
        passwords: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = program()? else {
            return Ok(None);
        };
        let mut registry = Self {
            directory: tempfile::tempdir()?,
            program,
            port: free_port()?,
            server: None,
        };
        let place = registry.directory.path();
        let write = |name: &str, text: &str| std::fs::write(place.join(name), text);
        write("tls.crt", certificate)?;
        write("tls.key", key)?;
        let shown = |name: &str| place.join(name).display().to_string();
        let auth = match passwords {
            None => String::new(),
            Some(lines) => {
                write("htpasswd", lines)?;
                format!(
                    "auth:\n  htpasswd:\n    realm: tests\n    path: {}\n",
                    shown("htpasswd")
                )
            }
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n{auth}http:\n  addr: 127.0.0.1:{}\n  tls:\n    certificate: {}\n    key: {}\n",
            shown("data"),
            registry.port,
            shown("tls.crt"),
            shown("tls.key")
        );
        write("config.yml", &config)?;
        registry.start_again()?;
        Ok(Some(registry))
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps what it was given.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Ends it.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.as_mut() {
            server.kill();
        }
        self.server = None;
    }

    /// Starts it with what it had.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.kill();
        let place = self.directory.path();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(place.join("config.yml"));
        // No spans go anywhere.
        command.env("OTEL_TRACES_EXPORTER", "none");
        let mut server = Server::start(&mut command, &place.join("registry.log"))?;
        server.wait_for_port(self.port, START)?;
        self.server = Some(server);
        Ok(())
    }
}

fn program() -> anyhow::Result<Option<PathBuf>> {
    let sources = repository_root().join("testkit/registry");
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        std::fs::read(sources.join(file))?.hash(&mut hasher);
    }
    let kept = cache_dir().join(format!("registry-{:016x}", hasher.finish()));
    let program = kept.join("registry");
    if program.is_file() {
        return Ok(Some(program));
    }
    match build(&sources, &kept) {
        Ok(()) => Ok(Some(program)),
        Err(error) => {
            left_out("the registry", &format!("Go cannot build it: {error}"))?;
            Ok(None)
        }
    }
}

fn build(sources: &Path, kept: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(kept)?;
    let fresh = tempfile::tempdir_in(kept)?;
    let program = fresh.path().join("registry");
    let go = cache_dir().join("go");
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources)
        .env("GOMODCACHE", go.join("mod"))
        .env("GOCACHE", go.join("build"))
        .env("GOFLAGS", "-modcacherw")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "go build: {told}");
    // Of two that do this at once, the last one stays.
    std::fs::rename(&program, kept.join("registry"))?;
    Ok(())
}
