//! The document store of development: a server of MongoDB's wire protocol on one file.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(60);

/// A running document store on loopback, for one test.
pub struct DocumentStore {
    directory: tempfile::TempDir,
    libs: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl DocumentStore {
    /// Starts one on an empty directory.
    ///
    /// Gives `None`, after saying why, where Java or its jars are not to be had (`$MILLRACE_MONGO_WIRE`, else the newest
    /// `mongo-wire-*/home` of the cache).
    ///
    /// # Errors
    /// It does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let home = std::env::var_os("MILLRACE_MONGO_WIRE")
            .map(PathBuf::from)
            .or_else(|| newest("mongo-wire-", "home"));
        let Some(libs) = home.map(|home| home.join("lib")).filter(|l| l.is_dir()) else {
            left_out(
                "the document store",
                "its jars are not in the cache; `cargo xtask test` makes them",
            )?;
            return Ok(None);
        };
        let mut store = Self {
            directory: tempfile::tempdir()?,
            libs,
            port: free_port()?,
            server: None,
        };
        store.start_again()?;
        Ok(Some(store))
    }

    /// Its address for clients.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }

    /// Ends it by kill -9. Its file stays.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.as_mut() {
            server.kill();
        }
        self.server = None;
    }

    /// Starts it on the file and the port that it had.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut command = Command::new("java");
        command
            .args(["-Xmx64m", "-XX:+UseSerialGC", "-cp"])
            .arg(self.libs.join("*"))
            .arg("dev.millrace.wire.Server")
            .arg(self.directory.path().join("data"))
            .arg(self.port.to_string())
            .arg("127.0.0.1");
        let mut server = Server::start(&mut command, &self.directory.path().join("store.log"))?;
        server
            .wait_for_port(self.port, START)
            .context("the document store")?;
        self.server = Some(server);
        Ok(())
    }
}
