//! The operator as a process of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_testkit::{Server, free_port};

use crate::world::World;

/// The operator; it is killed with this value.
pub struct Operator {
    server: Server,
    port: u16,
    started: Instant,
}

impl Operator {
    /// Starts it on an API server.
    pub fn start(world: &World) -> anyhow::Result<Self> {
        let port = free_port()?;
        let started = Instant::now();
        let log = world.server.kubeconfig().with_file_name("operator.log");
        let server = Server::start(
            Command::new(program()?)
                .arg("run")
                .arg(format!("--listen=127.0.0.1:{port}"))
                .args([
                    "--image-kafka=kafka:4",
                    "--image-druid=druid:33",
                    "--image-zookeeper=zookeeper:3",
                    "--image-hadoop=hadoop:3",
                    "--image-postgres=postgres:15",
                    "--image-mongodb=mongo:8",
                    "--image-mongo-wire=mongo-wire:1",
                    "--image-stream=stream:1",
                    "--image-whisk=whisk:1",
                    "--image-ballista=ballista:1",
                ])
                .env("KUBECONFIG", world.server.kubeconfig())
                .env("POD_NAMESPACE", "default"),
            &log,
        )?;
        Ok(Self {
            server,
            port,
            started,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Waits until it serves and has read what there is.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        self.server
            .wait_for_port(self.port, Duration::from_secs(60))?;
        // Its watches start within this time; nothing tells when they have.
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    }

    /// From its start until it has looked at `count` jobs.
    pub async fn synced(&mut self, count: usize, limit: Duration) -> anyhow::Result<Duration> {
        self.server
            .wait_for_port(self.port, Duration::from_secs(60))?;
        loop {
            let looked = self.reconciles().await.unwrap_or_default();
            if looked >= count {
                return Ok(self.started.elapsed());
            }
            anyhow::ensure!(
                self.started.elapsed() < limit,
                "{looked} of {count} jobs were looked at after {limit:?}: {}",
                self.server.tail()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn reconciles(&self) -> anyhow::Result<usize> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let text = reqwest::get(url).await?.text().await?;
        let counts = text
            .lines()
            .filter(|line| {
                line.starts_with("millrace_operator_reconciles_total{")
                    && line.contains("component=\"job\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        Ok(counts.sum())
    }
}

fn program() -> anyhow::Result<PathBuf> {
    // Beside `examples/`, of the same profile.
    let example = std::env::current_exe()?;
    let directory = example.parent().and_then(std::path::Path::parent);
    let program = directory
        .context("this program has no directory")?
        .join("millrace-operator");
    anyhow::ensure!(program.is_file(), "{} is not built", program.display());
    Ok(program)
}
