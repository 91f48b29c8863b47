//! HDFS.
//!
//! `rename` is the NameNode's `rename2` without overwrite: one of those who want a name gets it, all others are told
//! that it is taken. A call that is answered by nobody is tried again by the client itself, so its second try may
//! find its first one done: the callers look at what is there before they believe an error.

mod close;
mod error;
mod file;

use std::time::Duration;

use bytes::Bytes;
use hdfs_native::client::FileStatus;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};

use super::{Entry, Storage, StorageError, StorageKind};
use error::{TO_THE_TRASH, with_cure, within};
pub use file::HdfsFile;

/// How to reach HDFS.
#[derive(Debug, Clone, Default)]
pub struct HdfsSettings {
    /// `hdfs://HOST:PORT` or `hdfs://NAMESERVICE`, without a path.
    pub address: String,
    /// Absolute path of the lake's root.
    pub root: String,
    /// Folder with core-site.xml and hdfs-site.xml; needed for a name service.
    pub config_dir: Option<String>,
    /// The user that files belong to.
    pub user: Option<String>,
    /// Replication of data files; the server's own when absent.
    pub replication: Option<u32>,
    /// The longest wait for an answer.
    pub timeout: Option<Duration>,
}

const LONGEST: Duration = Duration::from_secs(60);

/// A lake in HDFS.
#[derive(Clone)]
pub struct Hdfs {
    client: Client,
    address: String,
    root: String,
    replication: Option<u32>,
    timeout: Duration,
}

impl std::fmt::Debug for Hdfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hdfs")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Hdfs {
    /// Makes a client. It connects with the first call.
    ///
    /// # Errors
    /// The address or the configuration cannot be used.
    pub fn new(settings: &HdfsSettings) -> Result<Self, StorageError> {
        let mut builder = ClientBuilder::new().with_url(&settings.address);
        if let Some(folder) = &settings.config_dir {
            builder = builder.with_config_dir(folder);
        }
        if let Some(user) = &settings.user {
            builder = builder.with_user(user);
        }
        let client = builder.build().map_err(|e| {
            StorageError::new(StorageKind::Refused, "connect to", &settings.address, e)
        })?;
        Ok(Self {
            client,
            address: settings.address.clone(),
            root: settings.root.trim_end_matches('/').to_owned(),
            replication: settings.replication,
            timeout: settings.timeout.unwrap_or(LONGEST),
        })
    }

    fn path(&self, path: &str) -> String {
        if path.is_empty() {
            self.root.clone()
        } else {
            format!("{}/{path}", self.root)
        }
    }

    async fn make_folder_of(&self, path: &str) -> Result<(), StorageError> {
        let full = self.path(path);
        let Some((folder, _)) = full.rsplit_once('/').filter(|(f, _)| !f.is_empty()) else {
            return Ok(());
        };
        let made = self.client.mkdirs(folder, 0o755, true);
        self.ask("make folders of", path, made).await
    }

    async fn ask<T>(
        &self,
        doing: &'static str,
        path: &str,
        call: impl Future<Output = hdfs_native::Result<T>>,
    ) -> Result<T, StorageError> {
        let answer = within(self.timeout, doing, path, call).await;
        answer.map_err(|error| {
            let mut problem = with_cure(&self.root, doing, path, error.problem);
            if error.kind == StorageKind::Away {
                problem = format!("{}: {problem}", self.address);
            }
            StorageError { problem, ..error }
        })
    }
}

impl Storage for Hdfs {
    type File = HdfsFile;

    async fn create(&self, path: &str) -> Result<HdfsFile, StorageError> {
        let mut options = WriteOptions::default().overwrite(false).create_parent(true);
        if let Some(replication) = self.replication {
            options = options.replication(replication);
        }
        let full = self.path(path);
        let writer = self
            .ask("create", path, self.client.create(&full, options))
            .await?;
        Ok(HdfsFile {
            writer,
            client: self.client.clone(),
            timeout: self.timeout,
            path: path.to_owned(),
            full,
            written: 0,
        })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.make_folder_of(to).await?;
        let (from, full) = (self.path(from), self.path(to));
        self.ask("rename to", to, self.client.rename(&from, &full, false))
            .await
    }

    async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        let full = self.path(path);
        let whole = async {
            let mut reader = self.client.read(&full).await?;
            let length = reader.file_length();
            reader.read_bytes(length).await
        };
        self.ask("read", path, whole).await
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let full = self.path(path);
        match self
            .ask("look at", path, self.client.get_file_info(&full))
            .await
        {
            Ok(status) => Ok(Some(status.length as u64)),
            Err(e) if e.kind == StorageKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, StorageError> {
        let full = self.path(folder);
        let found = self
            .ask("list", folder, self.client.list_status(&full, false))
            .await;
        let found = match found {
            Err(e) if e.kind == StorageKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut entries: Vec<Entry> = found.iter().filter_map(entry).collect();
        entries.sort();
        Ok(entries)
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let full = self.path(path);
        match self
            .ask("remove", path, self.client.delete(&full, true))
            .await
        {
            Err(e) if e.kind != StorageKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    // To .Trash/Current in the home of the user, where `hdfs dfs -expunge` and the NameNode look.
    async fn trash(&self, path: &str) -> Result<(), StorageError> {
        let full = self.path(path);
        let doing = TO_THE_TRASH;
        // Its own error says nothing of what to do.
        let moved = async {
            match self.client.trash(&full).await {
                Err(HdfsError::TrashNotEnabled) => Ok(false),
                done => done.map(|_| true),
            }
        };
        if self.ask(doing, path, moved).await? {
            return Ok(());
        }
        let problem =
            "HDFS has no trash: its fs.trash.interval is 0; raise it, or give --skip-trash";
        Err(StorageError::new(
            StorageKind::Refused,
            doing,
            path,
            problem,
        ))
    }

    async fn replicate(&self, path: &str, replication: u32) -> Result<(), StorageError> {
        let full = self.path(path);
        let set = self.client.set_replication(&full, replication);
        if self.ask("set the replication of", path, set).await? {
            return Ok(());
        }
        // False says that there is no such file.
        Err(StorageError::new(
            StorageKind::NotFound,
            "set the replication of",
            path,
            "it is not there",
        ))
    }

    // The client is not told the policy of a file. A coded file has one copy by its status, and takes more than its length
    // by what the disks hold.
    async fn is_coded(&self, path: &str) -> Result<bool, StorageError> {
        let full = self.path(path);
        let (status, summary) = (
            self.client.get_file_info(&full),
            self.client.get_content_summary(&full),
        );
        let status = self.ask("look at", path, status).await?;
        let summary = self.ask("look at", path, summary).await?;
        Ok(status.replication == Some(1) && summary.space_consumed > summary.length)
    }
}

fn entry(status: &FileStatus) -> Option<Entry> {
    let name = status.path.trim_end_matches('/').rsplit('/').next()?;
    (!name.is_empty()).then(|| Entry {
        name: name.to_owned(),
        folder: status.isdir,
        bytes: status.length as u64,
        replication: status.replication,
        owner: Some(status.owner.clone()).filter(|owner| !owner.is_empty()),
    })
}
