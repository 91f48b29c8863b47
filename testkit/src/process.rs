//! A child process with a log file, ended with its value.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A running server. It is killed when the value is dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Errors
    /// The program cannot be started or the log cannot be written.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{}: cannot be opened", log.display()))?;
        let err = out.try_clone()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL, as a power cut would, and waits for it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until a loopback port accepts connections.
    ///
    /// # Errors
    /// The process ended or the time is over; the error carries the end of the log.
    pub fn wait_for_port(&mut self, port: u16, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            if wait_for_port(port, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("ended with {status}: {}", self.tail());
            }
            if Instant::now() > end {
                anyhow::bail!(
                    "port {port} did not answer within {limit:?}: {}",
                    self.tail()
                );
            }
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address of the loopback network that no other run of tests has, for servers whose ports cannot be chosen.
#[must_use]
pub fn own_loopback(net: u8, host: u8) -> Ipv4Addr {
    let run = u8::try_from(1 + std::process::id() % 250).unwrap_or(1);
    Ipv4Addr::new(127, run, net, host)
}

/// A built start script whose exporter of metrics listens on one address alone: its port is the same for every server, and
/// another test has servers on addresses of its own.
#[must_use]
pub fn exporting_at(script: &str, address: &str) -> String {
    script.replace("=9404:", &format!("={address}:9404:"))
}

/// Ports that [`free_port`] gives out: below those that Linux takes for outgoing connections (32768 and up by default),
/// so that no client of a test sits on one before its server does.
const PORTS: std::ops::Range<u32> = 20_000..30_000;

/// A loopback port that was free a moment ago, and that this process gets only once.
///
/// # Errors
/// No port can be bound.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let width = PORTS.end - PORTS.start;
    // Processes that run side by side begin far from each other.
    let begin = std::process::id().wrapping_mul(251);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        anyhow::ensure!(given < width, "no loopback port is free in {PORTS:?}");
        let port = u16::try_from(PORTS.start + begin.wrapping_add(given) % width)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

/// Waits until a loopback port accepts connections.
///
/// # Errors
/// The time is over.
pub fn wait_for_port(port: u16, limit: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        if Instant::now() > end {
            anyhow::bail!("port {port} did not answer within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_given_once_and_never_while_it_is_held() {
        let ports: Vec<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        let held = TcpListener::bind(("127.0.0.1", ports[199].wrapping_add(1)));
        let next = free_port().unwrap();
        assert!(held.is_err() || next != ports[199].wrapping_add(1));
    }
}
