//! One combined KRaft node of the real Apache Kafka.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::{Server, free_port};

const START: Duration = Duration::from_secs(90);

/// A running Kafka on loopback, for one test.
pub struct Kafka {
    directory: tempfile::TempDir,
    libs: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl Kafka {
    /// Formats a fresh log directory and starts the broker.
    ///
    /// Gives `None`, after saying why, where Java or Kafka's jars are not to be had
    /// (`$MILLRACE_KAFKA_LIBS`, else the newest `kafka-*/libs` of the cache).
    ///
    /// # Errors
    /// The broker does not come up, or it is required and missing.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let libs = std::env::var_os("MILLRACE_KAFKA_LIBS")
            .map(PathBuf::from)
            .or_else(|| newest("kafka-", "libs"));
        let Some(libs) = libs.filter(|l| l.is_dir()) else {
            left_out(
                "Kafka",
                "its jars are not in the cache; `cargo xtask test` fetches them",
            )?;
            return Ok(None);
        };
        if Command::new("java").arg("-version").output().is_err() {
            left_out("Kafka", "there is no java on the PATH")?;
            return Ok(None);
        }
        let mut kafka = Self {
            directory: tempfile::tempdir()?,
            libs,
            port: free_port()?,
            server: None,
        };
        kafka.format()?;
        kafka.start_again()?;
        Ok(Some(kafka))
    }

    /// Host and port for clients.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the broker as a power cut would. Its data stays.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.as_mut() {
            server.kill();
        }
        self.server = None;
    }

    /// Starts the broker on the data and the port that it had.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop();
        let mut command = self.java("kafka.Kafka");
        command.arg(self.properties());
        let mut server = Server::start(&mut command, &self.directory.path().join("kafka.log"))?;
        server.wait_for_port(self.port, START).context("Kafka")?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills and starts the broker.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.start_again()
    }

    fn properties(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dlog4j2.level=WARN")
            .arg("-cp")
            .arg(self.libs.join("*"))
            .arg(class);
        command
    }

    fn format(&self) -> anyhow::Result<()> {
        let (port, controller) = (self.port, free_port()?);
        let data = self.directory.path().join("data");
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=0\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=3\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\n\
             log.cleaner.dedupe.buffer.size=2097152\n\
             log.cleaner.io.buffer.size=65536\n\
             num.network.threads=1\n\
             num.io.threads=2\n",
            data.display()
        );
        std::fs::write(self.properties(), text)?;
        let output = self
            .java("kafka.tools.StorageTool")
            .args([
                "format",
                "--standalone",
                "--cluster-id=MillraceTestsKafka0000",
                "-c",
            ])
            .arg(self.properties())
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "Kafka's storage cannot be formatted: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "systems tier"]
    fn a_broker_comes_up_and_comes_back() {
        let Some(mut kafka) = Kafka::start().unwrap() else {
            return;
        };
        let port = kafka.port;
        kafka.stop();
        assert!(crate::wait_for_port(port, Duration::from_millis(300)).is_err());
        kafka.start_again().unwrap();
        assert!(crate::wait_for_port(port, Duration::from_secs(1)).is_ok());
    }
}
