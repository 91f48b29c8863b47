//! The servers as processes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::settings::at;
use super::{Hdfs, START};
use crate::process::Server;

const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";
const JOURNAL_NODE: &str = "org.apache.hadoop.hdfs.qjournal.server.JournalNode";

impl Hdfs {
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    pub(super) fn volume(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("data-{number}"))
    }

    pub(super) fn name_node(&self, number: usize) -> Command {
        let names = self.directory.path().join(format!("name-{number}"));
        let mut command = self.java(NAME_NODE);
        command.arg(format!(
            "-Ddfs.namenode.name.dir=file://{}",
            names.display()
        ));
        if self.plan.pair {
            command.arg(format!("-Ddfs.ha.namenode.id=nn{number}"));
        }
        command
    }

    pub(super) fn data_node(&self, number: usize) -> anyhow::Result<Server> {
        let (data, http, ipc) = self.ports.data[number];
        let volume = self.volume(number);
        let mut command = self.java(DATA_NODE);
        command
            .arg(format!(
                "-Ddfs.datanode.data.dir=file://{}",
                volume.display()
            ))
            .arg(format!("-Ddfs.datanode.address={}", at(data)))
            .arg(format!("-Ddfs.datanode.http.address={}", at(http)))
            .arg(format!("-Ddfs.datanode.ipc.address={}", at(ipc)));
        if let Some(size) = self.plan.volume {
            std::fs::create_dir_all(&volume)?;
            command = on_own_volume(&command, &volume, size);
        }
        Server::start(&mut command, &self.log(&format!("DataNode-{number}")))
    }

    pub(super) fn start_journal_nodes(&mut self) -> anyhow::Result<()> {
        for (n, (rpc, http)) in self.ports.journal.iter().enumerate() {
            let edits = self.directory.path().join(format!("journal-{n}"));
            let mut command = self.java(JOURNAL_NODE);
            command
                .arg(format!("-Ddfs.journalnode.edits.dir={}", edits.display()))
                .arg(format!("-Ddfs.journalnode.rpc-address={}", at(*rpc)))
                .arg(format!("-Ddfs.journalnode.http-address={}", at(*http)));
            let server = Server::start(&mut command, &self.log(&format!("JournalNode-{n}")))?;
            self.journal_nodes.push(server);
        }
        for (node, (rpc, _)) in self.journal_nodes.iter_mut().zip(&self.ports.journal) {
            node.wait_for_port(*rpc, START).context("JournalNode")?;
        }
        Ok(())
    }

    pub(super) fn java(&self, class: &str) -> Command {
        let share = self.share.display();
        let parts = ["common/lib/*", "common/*", "hdfs", "hdfs/lib/*", "hdfs/*"];
        let mut path = self.settings().display().to_string();
        for part in parts {
            // Writing into a String cannot fail.
            let _ = write!(path, ":{share}/{part}");
        }
        let mut command = Command::new("java");
        command
            .args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("--add-opens=java.base/java.lang=ALL-UNNAMED")
            .arg("-cp")
            .arg(path)
            .arg(class)
            .env("HADOOP_USER_NAME", "hdfs");
        command
    }
}

// The same command in a mount namespace of its own, with a volume that ends with it. Nobody but root may mount, hence the
// user namespace of everybody else.
fn on_own_volume(command: &Command, volume: &Path, size: u32) -> Command {
    let mut own = Command::new("unshare");
    let root = Command::new("id").arg("-u").output();
    if !root.is_ok_and(|id| id.stdout.trim_ascii() == b"0") {
        own.arg("--map-root-user");
    }
    own.args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=\"$1\",mode=0700 volume \"$2\" && shift 2 && exec \"$@\"")
        .arg("sh")
        .arg(format!("{size}m"))
        .arg(volume)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            own.env(name, value);
        }
    }
    own
}

pub(super) fn finished(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
