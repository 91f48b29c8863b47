//! The real Druid in as few processes as answer questions about what is in Kafka: a coordinator that is the overlord too, an
//! indexer, a broker, a historical where one is asked for; and the ZooKeeper by which they find each other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::hdfs::{java_home, zookeeper};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(120);

/// What Java 17 hides from Druid otherwise.
const OPEN: [&str; 7] = [
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
];

/// Where Druid's jars are (`$MILLRACE_DRUID`, else the newest `druid-*/home` of the cache): the directory of `lib` and
/// `extensions`. Gives `None`, after saying why, where they or Java are not to be had.
///
/// # Errors
/// They are required and missing.
pub fn druid() -> anyhow::Result<Option<PathBuf>> {
    java_home("Druid", "MILLRACE_DRUID", "druid-", "home")
}

/// A running Druid on loopback, for one test.
pub struct Druid {
    directory: tempfile::TempDir,
    home: PathBuf,
    ports: Ports,
    // Ended in this order: whoever loses ZooKeeper first writes long logs.
    servers: Vec<Server>,
}

#[derive(Clone, Copy)]
struct Ports {
    zookeeper: u16,
    metadata: u16,
    coordinator: u16,
    indexer: u16,
    broker: u16,
    /// Of the one that answers for what was handed over, where there is one.
    historical: Option<u16>,
}

impl Druid {
    /// Starts one that has no data sources.
    ///
    /// Gives `None`, after saying why, where Java or the jars are not to be had (`$MILLRACE_DRUID`, else the newest
    /// `druid-*/home` of the cache; ZooKeeper likewise).
    ///
    /// # Errors
    /// A server does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        Self::begin(false)
    }

    /// The same with a historical: what tasks hand over can be asked for.
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub fn start_with_historical() -> anyhow::Result<Option<Self>> {
        Self::begin(true)
    }

    fn begin(historical: bool) -> anyhow::Result<Option<Self>> {
        let home = druid()?;
        let (Some(home), Some(zookeeper)) = (home, zookeeper()?) else {
            return Ok(None);
        };
        let ports = Ports {
            zookeeper: free_port()?,
            metadata: free_port()?,
            coordinator: free_port()?,
            indexer: free_port()?,
            broker: free_port()?,
            historical: historical.then(free_port).transpose()?,
        };
        let mut druid = Self {
            directory: tempfile::tempdir()?,
            home,
            ports,
            servers: Vec::new(),
        };
        let found_by = druid.start_zookeeper(&zookeeper)?;
        // Side by side: each takes some seconds of work before it waits for the others.
        for (role, port, heap, own) in druid.roles() {
            let server = druid.role(role, port, heap, &own)?;
            druid.servers.push(server);
        }
        druid.servers.push(found_by);
        druid.wait()?;
        Ok(Some(druid))
    }

    /// The coordinator, which is the overlord too.
    #[must_use]
    pub fn coordinator(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.coordinator)
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.broker)
    }

    /// The ends of the logs of all processes, for a test that fails.
    #[must_use]
    pub fn tails(&self) -> String {
        let tails: Vec<String> = self.servers.iter().map(Server::tail).collect();
        tails.join("\n\n")
    }

    fn start_zookeeper(&self, home: &Path) -> anyhow::Result<Server> {
        let port = self.ports.zookeeper;
        let directory = self.directory.path();
        let settings = directory.join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            directory.join("zookeeper").display()
        );
        std::fs::write(&settings, text)?;
        let mut command = Command::new("java");
        command
            .args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-cp")
            .arg(home.join("lib/*"))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&settings);
        let mut server = Server::start(&mut command, &directory.join("zookeeper.log"))?;
        server.wait_for_port(port, START).context("ZooKeeper")?;
        Ok(server)
    }

    /// Name, port, heap, and what is set for it alone.
    fn roles(&self) -> Vec<(&'static str, u16, &'static str, String)> {
        let ports = self.ports;
        let historical = ports.historical.map(|port| {
            let segments = self.directory.path().join("loaded");
            let own = format!(
                "druid.segmentCache.locations=[{{\"path\": \"{}\", \"maxSize\": 1000000000}}]\n",
                segments.display()
            );
            ("historical", port, "-Xmx128m", own)
        });
        let mut roles = vec![
            (
                "coordinator",
                ports.coordinator,
                "-Xmx192m",
                "druid.coordinator.asOverlord.enabled=true\n\
                 druid.coordinator.asOverlord.overlordService=druid/overlord\n\
                 druid.coordinator.startDelay=PT1S\n\
                 druid.coordinator.period=PT5S\n\
                 druid.manager.segments.pollDuration=PT2S\n\
                 druid.indexer.queue.startDelay=PT0.5S\n\
                 druid.indexer.runner.type=httpRemote\n\
                 druid.indexer.storage.type=metadata\n"
                    .into(),
            ),
            (
                "indexer",
                ports.indexer,
                "-Xmx320m",
                format!(
                    // Without historicals nothing is handed over: tasks that have read all keep their place.
                    "druid.worker.capacity=5\ndruid.indexer.task.baseDir={}\n",
                    self.directory.path().join("tasks").display()
                ),
            ),
            (
                "broker",
                ports.broker,
                "-Xmx128m",
                "druid.sql.planner.metadataRefreshPeriod=PT1S\n\
                 druid.sql.planner.awaitInitializationOnStart=false\n"
                    .into(),
            ),
        ];
        roles.extend(historical);
        roles
    }

    fn common(&self) -> String {
        let (home, directory) = (self.home.display(), self.directory.path().display());
        let (zookeeper, metadata) = (self.ports.zookeeper, self.ports.metadata);
        format!(
            "druid.extensions.directory={home}/extensions\n\
             druid.extensions.loadList=[\"druid-kafka-indexing-service\", \"druid-datasketches\"]\n\
             druid.host=127.0.0.1\n\
             druid.zk.service.host=127.0.0.1:{zookeeper}\n\
             druid.metadata.storage.type=derby\n\
             druid.metadata.storage.connector.connectURI=jdbc:derby://127.0.0.1:{metadata}/{directory}/metadata;create=true\n\
             druid.metadata.storage.connector.host=127.0.0.1\n\
             druid.metadata.storage.connector.port={metadata}\n\
             druid.storage.type=local\n\
             druid.storage.storageDirectory={directory}/segments\n\
             druid.indexer.logs.type=file\n\
             druid.indexer.logs.directory={directory}/logs\n\
             druid.selectors.indexing.serviceName=druid/overlord\n\
             druid.selectors.coordinator.serviceName=druid/coordinator\n\
             druid.startup.logging.logProperties=false\n\
             druid.lookup.enableLookupSyncOnStartup=false\n\
             druid.server.http.numThreads=12\n\
             druid.processing.numThreads=1\n\
             druid.processing.numMergeBuffers=2\n\
             druid.processing.buffer.sizeBytes=10000000\n"
        )
    }

    fn role(&self, role: &str, port: u16, heap: &str, own: &str) -> anyhow::Result<Server> {
        let directory = self.directory.path();
        let settings = directory.join(role);
        std::fs::create_dir(&settings)?;
        let text = format!(
            "{}druid.service=druid/{role}\ndruid.plaintextPort={port}\n{own}",
            self.common()
        );
        std::fs::write(settings.join("runtime.properties"), text)?;
        std::fs::write(settings.join("log4j2.xml"), LOGGING)?;
        let mut path = settings.into_os_string();
        path.push(":");
        path.push(self.home.join("lib/*"));
        let mut command = Command::new("java");
        command
            .args([heap, "-XX:MaxDirectMemorySize=128m", "-XX:+UseSerialGC"])
            .args(["-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC"])
            .arg(format!("-Djava.io.tmpdir={}", directory.display()))
            // Or Derby writes its log where the test was started.
            .arg(format!("-Dderby.system.home={}", directory.display()))
            .args(OPEN)
            .arg("-cp")
            .arg(path)
            .args(["org.apache.druid.cli.Main", "server", role]);
        Server::start(&mut command, &directory.join(format!("{role}.log")))
    }

    /// A port is open long before a process can do anything.
    fn wait(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        let urls = [
            format!("{}/druid/indexer/v1/workers", self.coordinator()),
            format!("{}/druid/broker/v1/readiness", self.broker()),
        ];
        for url in urls {
            loop {
                for server in &mut self.servers {
                    if server.has_ended() {
                        anyhow::bail!("Druid: a process ended: {}", server.tail());
                    }
                }
                // A worker shows up in the list once it has met the overlord.
                match answer(&url) {
                    Some(text) if url.ends_with("readiness") || text.contains("worker") => break,
                    _ if Instant::now() > end => {
                        anyhow::bail!("Druid: {url} did not answer in time: {}", self.tails())
                    }
                    _ => std::thread::sleep(Duration::from_millis(250)),
                }
            }
        }
        Ok(())
    }
}

const LOGGING: &str = r#"<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"#;

/// The body of an answer of 200 by HTTP.
fn answer(url: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET /{path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.split(' ')
        .nth(1)
        .filter(|status| *status == "200")
        .map(|_| body.to_owned())
}
