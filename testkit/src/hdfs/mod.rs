//! The real HDFS: one NameNode or a pair of them, and DataNodes.

mod servers;
mod settings;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use servers::finished;
pub use settings::HdfsPlan;
use settings::{Ports, SERVICE, at};

use crate::place::{left_out, newest};
use crate::process::Server;

const START: Duration = Duration::from_secs(120);

/// A running HDFS on loopback, for one test or several. Everybody who says that he is `hdfs` may do everything.
pub struct Hdfs {
    directory: tempfile::TempDir,
    share: PathBuf,
    plan: HdfsPlan,
    ports: Ports,
    name_nodes: Vec<Option<Server>>,
    data_nodes: Vec<Option<Server>>,
    journal_nodes: Vec<Server>,
}

impl Hdfs {
    /// Formats a fresh file system and starts one NameNode and one DataNode.
    ///
    /// Gives `None`, after saying why, where Java or the jars of HDFS are not to be had (`$MILLRACE_HADOOP`, else the newest
    /// `hadoop-*/share` of the cache).
    ///
    /// # Errors
    /// A server does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        Self::start_as(HdfsPlan::default())
    }

    /// The same with other servers. Of a pair the first NameNode is the active one.
    ///
    /// # Errors
    /// Those of [`Hdfs::start`].
    pub fn start_as(plan: HdfsPlan) -> anyhow::Result<Option<Self>> {
        let Some(share) = hadoop()? else {
            return Ok(None);
        };
        let ports = Ports::free(&plan)?;
        let mut hdfs = Self {
            directory: tempfile::tempdir()?,
            share,
            plan,
            name_nodes: ports.name.iter().map(|_| None).collect(),
            data_nodes: ports.data.iter().map(|_| None).collect(),
            ports,
            journal_nodes: Vec::new(),
        };
        settings::write(&hdfs.settings(), &hdfs.uri(), &plan, &hdfs.ports)?;
        hdfs.start_journal_nodes()?;
        finished(hdfs.name_node(0).args([
            "-format",
            "-nonInteractive",
            "-clusterId",
            "millrace-tests",
        ]))?;
        hdfs.start_name_node_number(0)?;
        // DataNodes come up while the second NameNode copies the names of the first.
        for n in 0..hdfs.data_nodes.len() {
            let server = hdfs.data_node(n)?;
            hdfs.data_nodes[n] = Some(server);
        }
        if plan.pair {
            finished(
                hdfs.name_node(1)
                    .args(["-bootstrapStandby", "-nonInteractive"]),
            )?;
            hdfs.start_name_node_number(1)?;
            hdfs.make_active(0)?;
        }
        hdfs.wait_for_data_nodes()?;
        Ok(Some(hdfs))
    }

    /// The address of the file system: `hdfs://host:port`, or that of the pair, which only clients with
    /// [`Hdfs::settings`] understand.
    #[must_use]
    pub fn uri(&self) -> String {
        match self.ports.name.first() {
            Some((rpc, _)) if !self.plan.pair => format!("hdfs://{}", at(*rpc)),
            _ => format!("hdfs://{SERVICE}"),
        }
    }

    /// Host and port of the first NameNode by HTTP.
    #[must_use]
    pub fn http(&self) -> String {
        at(self.ports.name.first().map_or(0, |(_, http)| *http))
    }

    /// The directory with `core-site.xml` and `hdfs-site.xml`, for clients that read them.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.directory.path().join("conf")
    }

    /// Ends the (first) NameNode as a power cut would. Its names stay.
    pub fn stop_name_node(&mut self) {
        self.kill_name_node(0);
    }

    /// Ends a NameNode of a pair with SIGKILL.
    pub fn kill_name_node(&mut self, number: usize) {
        self.name_nodes[number] = None;
    }

    /// Makes a NameNode of a pair the active one. The other one must be a standby, or dead.
    ///
    /// # Errors
    /// It refuses.
    pub fn make_active(&self, number: usize) -> anyhow::Result<()> {
        // Not asked whether the other one is active: a dead one does not answer. JournalNodes take edits of one alone.
        let number = format!("nn{number}");
        self.tool(
            "haadmin",
            &["-transitionToActive", "--forceactive", &number],
        )
        .map(|_| ())
    }

    /// Ends the DataNodes as a power cut would. Their blocks stay, unless they lie on volumes of memory.
    pub fn stop_data_node(&mut self) {
        for node in &mut self.data_nodes {
            *node = None;
        }
    }

    /// Stops the DataNodes where they are, as a machine that hangs: they take connections and say nothing.
    ///
    /// # Errors
    /// They are not running.
    pub fn freeze_data_nodes(&self) -> anyhow::Result<()> {
        self.signal_data_nodes("-STOP")
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// They are not running.
    pub fn thaw_data_nodes(&self) -> anyhow::Result<()> {
        self.signal_data_nodes("-CONT")
    }

    fn signal_data_nodes(&self, signal: &str) -> anyhow::Result<()> {
        for node in self.data_nodes.iter().flatten() {
            finished(Command::new("kill").args([signal, &node.pid().to_string()]))?;
        }
        Ok(())
    }

    /// Starts the NameNode on the names and the ports that it had, and waits until it serves clients.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_name_node(&mut self) -> anyhow::Result<()> {
        self.start_name_node_number(0)
    }

    /// The same for one of a pair; it comes up as a standby.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_name_node_number(&mut self, number: usize) -> anyhow::Result<()> {
        self.launch_name_node(number)?;
        self.wait_for_name_node(number)
    }

    /// Starts one of a pair and does not wait for it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn launch_name_node(&mut self, number: usize) -> anyhow::Result<()> {
        self.name_nodes[number] = None;
        let log = self.log(&format!("NameNode-{number}"));
        let server = Server::start(&mut self.name_node(number), &log)?;
        self.name_nodes[number] = Some(server);
        Ok(())
    }

    /// Waits until one of a pair, which was started, answers.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn wait_for_name_node(&mut self, number: usize) -> anyhow::Result<()> {
        let port = self.ports.name[number].0;
        let server = self.name_nodes[number].as_mut();
        server
            .context("it was not started")
            .and_then(|server| server.wait_for_port(port, START))
            .with_context(|| format!("NameNode {number}"))
    }

    /// Starts the DataNodes on the blocks and the ports that they had, and waits until files can be written.
    ///
    /// # Errors
    /// They do not come up in time.
    pub fn start_data_node(&mut self) -> anyhow::Result<()> {
        for n in 0..self.data_nodes.len() {
            self.data_nodes[n] = None;
            let server = self.data_node(n)?;
            self.data_nodes[n] = Some(server);
        }
        self.wait_for_data_nodes()
    }

    /// Fills the volumes of all DataNodes to the last byte.
    ///
    /// # Errors
    /// They have none of their own ([`HdfsPlan::volume`]).
    pub fn fill_volumes(&self) -> anyhow::Result<()> {
        for path in self.fillers()? {
            let mut file = File::create(&path)?;
            let block = [0_u8; 64 * 1024];
            let full = loop {
                if let Err(error) = file.write_all(&block) {
                    break error;
                }
            };
            anyhow::ensure!(
                full.kind() == std::io::ErrorKind::StorageFull,
                "{}: {full}",
                path.display()
            );
        }
        Ok(())
    }

    /// Takes away what filled them.
    ///
    /// # Errors
    /// They were not filled.
    pub fn empty_volumes(&self) -> anyhow::Result<()> {
        for path in self.fillers()? {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    // A volume is seen by its DataNode alone; others get there through the process.
    fn fillers(&self) -> anyhow::Result<Vec<PathBuf>> {
        anyhow::ensure!(
            self.plan.volume.is_some(),
            "the DataNodes have no volumes of their own"
        );
        let running = self.data_nodes.iter().enumerate();
        Ok(running
            .filter_map(|(n, node)| {
                let root = PathBuf::from(format!("/proc/{}/root", node.as_ref()?.pid()));
                let volume = self.volume(n);
                Some(root.join(volume.strip_prefix("/").ok()?).join("filler"))
            })
            .collect())
    }

    /// Runs `hdfs dfs` with these arguments as this user. Gives what it prints.
    ///
    /// # Errors
    /// It ends with an error, whose text is given.
    pub fn dfs(&self, user: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.java("org.apache.hadoop.fs.FsShell");
        command.args(arguments).env("HADOOP_USER_NAME", user);
        finished(&mut command)
    }

    /// Runs `hdfs haadmin`, `hdfs dfsadmin` or `hdfs ec` as the administrator. Gives what it prints.
    ///
    /// # Errors
    /// It ends with an error, whose text is given.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let class = match name {
            "haadmin" => "org.apache.hadoop.hdfs.tools.DFSHAAdmin",
            "dfsadmin" => "org.apache.hadoop.hdfs.tools.DFSAdmin",
            "ec" => "org.apache.hadoop.hdfs.tools.ECAdmin",
            other => anyhow::bail!("{other}: no tool that is known here"),
        };
        finished(self.java(class).args(arguments))
    }

    fn wait_for_data_nodes(&mut self) -> anyhow::Result<()> {
        for (node, (.., ipc)) in self.data_nodes.iter_mut().zip(&self.ports.data) {
            if let Some(node) = node {
                node.wait_for_port(*ipc, START).context("DataNode")?;
            }
        }
        self.wait_for_writes()
    }

    fn wait_for_writes(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        // The smallest thing that needs a DataNode and no safe mode.
        let place = self.directory.path().join("empty");
        std::fs::write(&place, "x")?;
        let place = place.display().to_string();
        loop {
            match self.dfs("hdfs", &["-put", "-f", &place, "/.ready"]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error.context("HDFS")),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

/// Where the jars of HDFS are, in the layout of `share/hadoop`; `None`, after saying why, where they cannot be used.
///
/// # Errors
/// They are required and missing.
pub fn hadoop() -> anyhow::Result<Option<PathBuf>> {
    java_home("HDFS", "MILLRACE_HADOOP", "hadoop-", "share")
}

/// Where ZooKeeper is: the directory that holds its `lib`. The same.
///
/// # Errors
/// It is required and missing.
pub fn zookeeper() -> anyhow::Result<Option<PathBuf>> {
    java_home("ZooKeeper", "MILLRACE_ZOOKEEPER", "zookeeper-", "home")
}

pub(crate) fn java_home(
    what: &str,
    variable: &str,
    prefix: &str,
    part: &str,
) -> anyhow::Result<Option<PathBuf>> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let home = given.or_else(|| newest(prefix, part));
    let Some(home) = home.filter(|home| home.is_dir()) else {
        let why = "its jars are not in the cache; `cargo xtask test` fetches them";
        left_out(what, why)?;
        return Ok(None);
    };
    if Command::new("java").arg("-version").output().is_err() {
        left_out(what, "there is no java on the PATH")?;
        return Ok(None);
    }
    Ok(Some(home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "systems tier"]
    fn files_outlive_both_servers() {
        let Some(mut hdfs) = Hdfs::start().unwrap() else {
            return;
        };
        let file = hdfs.directory.path().join("file");
        std::fs::write(&file, "what was written").unwrap();
        let file = file.display().to_string();
        hdfs.dfs("hdfs", &["-put", &file, "/kept"]).unwrap();
        hdfs.stop_data_node();
        hdfs.stop_name_node();
        assert!(hdfs.dfs("hdfs", &["-ls", "/"]).is_err());
        hdfs.start_name_node().unwrap();
        hdfs.start_data_node().unwrap();
        let read = hdfs.dfs("hdfs", &["-cat", "/kept"]).unwrap();
        assert_eq!(read, "what was written");
    }

    #[test]
    #[ignore = "systems tier"]
    fn a_standby_takes_over_and_a_full_volume_takes_nothing() {
        let plan = HdfsPlan {
            pair: true,
            volume: Some(48),
            ..HdfsPlan::default()
        };
        let Some(mut hdfs) = Hdfs::start_as(plan).unwrap() else {
            return;
        };
        let file = hdfs.directory.path().join("file");
        std::fs::write(&file, "what was written").unwrap();
        let file = file.display().to_string();
        hdfs.dfs("hdfs", &["-put", &file, "/kept"]).unwrap();
        hdfs.kill_name_node(0);
        hdfs.make_active(1).unwrap();
        assert_eq!(
            hdfs.dfs("hdfs", &["-cat", "/kept"]).unwrap(),
            "what was written"
        );
        hdfs.fill_volumes().unwrap();
        assert!(hdfs.dfs("hdfs", &["-put", &file, "/more"]).is_err());
        hdfs.empty_volumes().unwrap();
        hdfs.wait_for_writes().unwrap();
    }
}
