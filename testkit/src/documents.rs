//! The document store of development: a server of MongoDB's wire protocol on one file.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::{Server, free_port};
use crate::volume::Volume;

const START: Duration = Duration::from_secs(60);

/// A running document store on loopback, for one test.
pub struct DocumentStore {
    // Taken away before the directory in which it is mounted.
    volume: Option<Volume>,
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
        Self::begin(None)
    }

    /// The same on a volume of so many mebibytes, which can be filled.
    ///
    /// # Errors
    /// As those of [`start`](Self::start), or this user may not mount.
    pub fn start_on_volume(mebibytes: u32) -> anyhow::Result<Option<Self>> {
        Self::begin(Some(mebibytes))
    }

    fn begin(mebibytes: Option<u32>) -> anyhow::Result<Option<Self>> {
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
        let directory = tempfile::tempdir()?;
        let volume = match mebibytes {
            Some(size) => {
                let data = directory.path().join("data");
                std::fs::create_dir(&data)?;
                Some(Volume::on(&data, size)?)
            }
            None => None,
        };
        let mut store = Self {
            volume,
            directory,
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

    /// Its volume, if it has one of its own.
    #[must_use]
    pub fn volume(&self) -> Option<&Volume> {
        self.volume.as_ref()
    }

    /// Whether its process has ended, by itself or by a kill.
    pub fn has_ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(Server::has_ended)
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
