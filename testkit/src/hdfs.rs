//! One NameNode and one DataNode of the real HDFS.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(120);
const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";

/// A running HDFS on loopback, for one test. Everybody who says that he is `hdfs` may do everything.
pub struct Hdfs {
    directory: tempfile::TempDir,
    share: PathBuf,
    ports: Ports,
    name_node: Option<Server>,
    data_node: Option<Server>,
}

#[derive(Clone, Copy)]
struct Ports {
    name: u16,
    name_http: u16,
    data: u16,
    data_http: u16,
    data_ipc: u16,
}

impl Hdfs {
    /// Formats a fresh file system and starts both servers.
    ///
    /// Gives `None`, after saying why, where Java or the jars of HDFS are not to be had (`$MILLRACE_HADOOP`, else the newest
    /// `hadoop-*/share` of the cache).
    ///
    /// # Errors
    /// A server does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(share) = hadoop()? else {
            return Ok(None);
        };
        let mut hdfs = Self {
            directory: tempfile::tempdir()?,
            share,
            ports: Ports {
                name: free_port()?,
                name_http: free_port()?,
                data: free_port()?,
                data_http: free_port()?,
                data_ipc: free_port()?,
            },
            name_node: None,
            data_node: None,
        };
        hdfs.write_settings()?;
        hdfs.format()?;
        hdfs.start_name_node()?;
        hdfs.start_data_node()?;
        Ok(Some(hdfs))
    }

    /// The address of the file system: `hdfs://host:port`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("hdfs://127.0.0.1:{}", self.ports.name)
    }

    /// Host and port of the NameNode by HTTP.
    #[must_use]
    pub fn http(&self) -> String {
        format!("127.0.0.1:{}", self.ports.name_http)
    }

    /// The directory with `core-site.xml` and `hdfs-site.xml`, for clients that read them.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.directory.path().join("conf")
    }

    /// Ends the NameNode as a power cut would. Its names stay.
    pub fn stop_name_node(&mut self) {
        self.name_node = None;
    }

    /// Ends the DataNode as a power cut would. Its blocks stay.
    pub fn stop_data_node(&mut self) {
        self.data_node = None;
    }

    /// Starts the NameNode on the names and the ports that it had, and waits until it serves clients.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_name_node(&mut self) -> anyhow::Result<()> {
        self.name_node = None;
        let server = self.server(NAME_NODE, self.ports.name)?;
        self.name_node = Some(server);
        Ok(())
    }

    /// Starts the DataNode on the blocks and the ports that it had, and waits until files can be written.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_data_node(&mut self) -> anyhow::Result<()> {
        self.data_node = None;
        let server = self.server(DATA_NODE, self.ports.data_ipc)?;
        self.data_node = Some(server);
        self.wait_for_writes()
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

    fn server(&self, class: &str, port: u16) -> anyhow::Result<Server> {
        let name = class.rsplit('.').next().unwrap_or(class);
        let log = self.directory.path().join(format!("{name}.log"));
        let mut server = Server::start(&mut self.java(class), &log)?;
        server.wait_for_port(port, START).context(name.to_owned())?;
        Ok(server)
    }

    fn java(&self, class: &str) -> Command {
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

    fn format(&self) -> anyhow::Result<()> {
        let mut command = self.java(NAME_NODE);
        command.args(["-format", "-nonInteractive", "-clusterId", "millrace-tests"]);
        finished(&mut command).map(|_| ())
    }

    fn write_settings(&self) -> anyhow::Result<()> {
        let home = self.directory.path().display();
        let ports = self.ports;
        let at = |port: u16| format!("127.0.0.1:{port}");
        let core = [("fs.defaultFS", self.uri())];
        let hdfs = [
            ("dfs.namenode.rpc-address", at(ports.name)),
            ("dfs.namenode.http-address", at(ports.name_http)),
            ("dfs.namenode.name.dir", format!("file://{home}/name")),
            ("dfs.namenode.safemode.extension", "0".to_owned()),
            ("dfs.datanode.data.dir", format!("file://{home}/data")),
            ("dfs.datanode.address", at(ports.data)),
            ("dfs.datanode.http.address", at(ports.data_http)),
            ("dfs.datanode.ipc.address", at(ports.data_ipc)),
            ("dfs.replication", "1".to_owned()),
            // Small files with several blocks.
            ("dfs.namenode.fs-limits.min-block-size", "4096".to_owned()),
        ];
        let settings = self.settings();
        std::fs::create_dir_all(&settings)?;
        std::fs::write(settings.join("core-site.xml"), site(&core))?;
        std::fs::write(settings.join("hdfs-site.xml"), site(&hdfs))?;
        std::fs::write(settings.join("log4j.properties"), LOGGING)?;
        Ok(())
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

fn java_home(
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

fn site(settings: &[(&str, String)]) -> String {
    let properties = settings.iter().map(|(name, value)| {
        format!("<property><name>{name}</name><value>{value}</value></property>\n")
    });
    format!(
        "<configuration>\n{}</configuration>\n",
        properties.collect::<String>()
    )
}

const LOGGING: &str = "log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
";

fn finished(command: &mut Command) -> anyhow::Result<String> {
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
}
