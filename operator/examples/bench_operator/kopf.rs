//! The peer: an operator on kopf that makes the same kinds of objects (`bench/kopf/operator.py`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use millrace_testkit::Server;

use crate::world::World;

/// The peer; it is killed with this value.
pub struct Kopf(Server);

impl Kopf {
    /// Starts it on an API server, in a virtual environment under Cargo's target directory.
    pub fn start(world: &World) -> anyhow::Result<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/kopf");
        let python = environment(&sources)?;
        let log = world.server.kubeconfig().with_file_name("kopf.log");
        let server = Server::start(
            Command::new(python)
                .args([
                    "-m",
                    "kopf",
                    "run",
                    "--quiet",
                    "--all-namespaces",
                    "--standalone",
                ])
                .arg(sources.join("operator.py"))
                .env("KUBECONFIG", world.server.kubeconfig()),
            &log,
        )?;
        Ok(Self(server))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }
}

fn environment(sources: &Path) -> anyhow::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let target = example.ancestors().nth(3).context("no target directory")?;
    let place = target.join("kopf");
    let python = place.join("bin/python");
    if !place.join("installed").is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(sources.join("requirements.txt")))?;
        std::fs::write(place.join("installed"), "")?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    anyhow::ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
