//! How fast the embedded OpenWhisk is: warm invocations through the whole server beside an empty axum handler, in turns; `/run` of
//! an action behind the proxy beside the same handler, and the harness alone, over its pipes; starts of actions, with and without
//! a launcher that stands ready; memory with many actions.
//!
//! ```sh
//! cargo build --release -p millrace-whisk --bins --examples
//! cargo rustc --release -p millrace-harness --example echo -- -C target-feature=+crt-static -C strip=symbols
//! target/release/examples/bench_whisk [SECONDS] [CONNECTIONS] [ACTIONS]
//! ```
//!
//! The action is a static program, as `millrace action build` makes them. Loads are bounded in time and stay on loopback.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};

const UUID: &str = "0f1e2d3c-0000-4000-8000-000000000001";
const KEY: &str = "0123456789abcdefghijklmnop";

/// What is sent and answered.
fn input() -> Value {
    json!({ "vehicle": "car-1", "rule": "overheating", "value": 117.6 })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |name: &str, default: u32| match arguments.next() {
        Some(text) => text
            .parse()
            .with_context(|| format!("{name}: {text}: is not a number")),
        None => Ok(default),
    };
    let (seconds, connections, actions) = (
        number("SECONDS", 5)?,
        number("CONNECTIONS", 8)?,
        number("ACTIONS", 1000)?,
    );
    let beside = std::env::current_exe()?;
    let examples = beside.parent().context("the program's folder")?;
    let echo = examples.join("echo");
    ensure!(
        echo.is_file(),
        "{}: build it first, see above",
        echo.display()
    );
    let length = Duration::from_secs(seconds.into());

    let directory = tempfile::tempdir()?;
    let program = examples.join("../millrace-whisk");
    let server = Server::start(&program, &directory.path().join("1"), "2").await?;
    let whisk = Asked::at(server.address);
    // First, for what was invoked leaves memory behind.
    let before = server.resident()?;
    for number in 0..actions {
        let script =
            format!("#!/bin/sh\n# {number}\nwhile read -r line; do echo '{{}}' >&3; done\n");
        whisk.put(&format!("a{number}"), &script).await?;
    }
    let after = server.resident()?;
    println!("resident_mib     {before:.1} empty, {after:.1} with {actions} actions");

    let empty = empty_handler().await?;
    let echo_bytes = std::fs::read(&echo)?;
    whisk.put("echo", &STANDARD.encode(&echo_bytes)).await?;
    ensure!(
        whisk.invoke("echo").await? == input(),
        "the action does not answer"
    );
    for many in [1, connections] {
        let bare = load(many, length, || empty.post()).await?;
        let ours = load(many, length, || whisk.invoke("echo")).await?;
        println!("# {many} connections, {seconds} s each");
        println!("empty_handler    {bare}");
        println!("warm_invocation  {ours}");
        println!("ratio_p50        {:.2}", ours.p50 / bare.p50);
    }
    through_proxy(&program, directory.path(), &echo_bytes, &empty, length).await?;
    let through = sorted(through_harness(&echo, 20_000)?);
    tell("harness_run_us", &through, 1e3);

    let unready = Server::start(&program, &directory.path().join("2"), "0").await?;
    let bare = Asked::at(unready.address);
    tell(
        "first_start_prewarmed_ms",
        &starts(&whisk, &echo_bytes, true).await?,
        1.0,
    );
    tell(
        "first_start_ms",
        &starts(&bare, &echo_bytes, true).await?,
        1.0,
    );
    tell(
        "next_start_prewarmed_ms",
        &starts(&whisk, &echo_bytes, false).await?,
        1.0,
    );
    tell(
        "next_start_ms",
        &starts(&bare, &echo_bytes, false).await?,
        1.0,
    );
    Ok(())
}

fn tell(name: &str, sorted: &[f64], unit: f64) {
    let (p50, p99) = (at(sorted, 0.5) * unit, at(sorted, 0.99) * unit);
    println!("{name:<24} p50 {p50:.2}, p99 {p99:.2}");
}

/// From the request to the first answer of an action that has no child, milliseconds: of code that the server has never run and was
/// given a moment before, or of a new version of code that it has run.
async fn starts(whisk: &Asked, program: &[u8], first: bool) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    // One more than is told: what is unpacked before has to be, once.
    for number in 0..=50_u32 {
        let mut code = program.to_vec();
        if first {
            // Behind its sections: it runs as before, but is another file.
            code.extend_from_slice(&number.to_le_bytes());
        }
        whisk.put("cold", &STANDARD.encode(&code)).await?;
        // The next launcher, and the end of the version before, are no part of it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        ensure!(whisk.invoke("cold").await? == input(), "start {number}");
        if number > 0 {
            took.push(milliseconds(begun));
        }
    }
    Ok(sorted(took))
}

/// `/run` of the action behind the proxy, beside an empty handler, over one connection each that stays.
async fn through_proxy(
    program: &Path,
    directory: &Path,
    action: &[u8],
    empty: &Asked,
    length: Duration,
) -> anyhow::Result<()> {
    let address = free_address()?;
    let child = Command::new(program)
        .args(["proxy", "--listen", &address.to_string(), "--run-dir"])
        .arg(directory.join("proxy"))
        // After each activation a line on both.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Server { child, address };
    server.listens().await?;
    let proxy = Asked::at(address);
    let value = json!({ "binary": true, "code": STANDARD.encode(action) });
    proxy.to("/init", &json!({ "value": value })).await?;
    let activation = json!({ "value": input(), "activation_id": "a", "deadline": "0" });
    let bare = load(1, length, || empty.post()).await?;
    let ours = load(1, length, || proxy.to("/run", &activation)).await?;
    for (name, figures) in [("empty_handler_us", bare), ("proxy_run_us", ours)] {
        let (p50, p99) = (figures.p50 * 1e3, figures.p99 * 1e3);
        println!("{name:<24} p50 {p50:.0}, p99 {p99:.0}");
    }
    Ok(())
}

/// Latencies of a load.
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            per_second,
            p50,
            p99,
        } = self;
        write!(f, "{per_second:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn sorted(mut all: Vec<f64>) -> Vec<f64> {
    all.sort_by(f64::total_cmp);
    all
}

fn at(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    // Truncated: an index.
    let index = (last as f64 * part) as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// Asks over so many connections for so long, on each one question after the other.
async fn load<F>(many: u32, length: Duration, ask: impl Fn() -> F) -> anyhow::Result<Figures>
where
    F: Future<Output = anyhow::Result<Value>>,
{
    let (begun, going) = (Instant::now(), AtomicBool::new(true));
    let (ask, going) = (&ask, &going);
    let callers = (0..many).map(|_| async move {
        let mut took = Vec::new();
        while going.load(Ordering::Relaxed) {
            let begun = Instant::now();
            ensure!(ask().await? == input(), "another answer");
            took.push(milliseconds(begun));
        }
        Ok(took)
    });
    let stop = async {
        tokio::time::sleep(length).await;
        going.store(false, Ordering::Relaxed);
    };
    let (took, ()) = tokio::join!(join_all(callers), stop);
    let mut all = Vec::new();
    for took in took {
        all.extend(took?);
    }
    let per_second = all.len() as f64 / begun.elapsed().as_secs_f64();
    let all = sorted(all);
    Ok(Figures {
        per_second,
        p50: at(&all, 0.5),
        p99: at(&all, 0.99),
    })
}

/// The action alone, without a server: milliseconds from the line written to the answer read.
fn through_harness(echo: &Path, times: usize) -> anyhow::Result<Vec<f64>> {
    let line = json!({ "value": input(), "activation_id": "a", "deadline": "0" });
    let line = format!("{line}\n");
    // Its answers come on descriptor 3.
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" 3>&1 1>&2"])
        .arg(echo)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = child.stdin.take().context("its input")?;
    let mut answers = BufReader::new(child.stdout.take().context("its answers")?);
    let (mut took, mut answer) = (Vec::with_capacity(times), String::new());
    for _ in 0..times {
        let begun = Instant::now();
        lines.write_all(line.as_bytes())?;
        answer.clear();
        answers.read_line(&mut answer)?;
        took.push(milliseconds(begun));
    }
    drop(lines);
    ensure!(child.wait()?.success(), "the action ended badly");
    Ok(took)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A handler that takes JSON and gives it back.
async fn empty_handler() -> anyhow::Result<Asked> {
    let echo = async |axum::Json(value): axum::Json<Value>| axum::Json(value);
    let router = axum::Router::new().route("/", axum::routing::post(echo));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Asked::at(address))
}

/// What is asked, over connections that stay.
struct Asked {
    client: Client,
    base: String,
}

impl Asked {
    fn at(address: SocketAddr) -> Self {
        Self {
            client: Client::new(),
            base: format!("http://{address}"),
        }
    }

    fn action(&self, name: &str, options: &str) -> String {
        let base = &self.base;
        format!("{base}/api/v1/namespaces/_/actions/{name}?{options}")
    }

    async fn post(&self) -> anyhow::Result<Value> {
        self.to("/", &input()).await
    }

    async fn to(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    async fn put(&self, name: &str, code: &str) -> anyhow::Result<()> {
        let body = json!({
            "exec": { "kind": "native:default", "code": code }, "limits": { "memory": 128 },
        });
        let request = self.client.put(self.action(name, "overwrite=true"));
        let request = request.basic_auth(UUID, Some(KEY)).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    async fn invoke(&self, name: &str) -> anyhow::Result<Value> {
        let request = self
            .client
            .post(self.action(name, "blocking=true&result=true"));
        let request = request.basic_auth(UUID, Some(KEY)).json(&input());
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

/// A process of this project's, ended with the value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// The whole server, with so many launchers that stand ready.
    async fn start(program: &Path, directory: &Path, prewarm: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let address = free_address()?;
        let child = Command::new(program)
            .args(["serve", "--listen", &address.to_string(), "--data"])
            .arg(directory.join("data"))
            .args(["--subject", &format!("bench={UUID}:{KEY}")])
            .args(["--prewarm", prewarm])
            // Nobody is to be refused.
            .args(["--invocations-per-minute", "100000000"])
            .stdout(File::create(directory.join("log"))?)
            .spawn()
            .with_context(|| format!("{}: build it first, see above", program.display()))?;
        let server = Self { child, address };
        server.listens().await?;
        Ok(server)
    }

    async fn listens(&self) -> anyhow::Result<()> {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("the server does not listen")
    }

    /// Resident memory, MiB.
    fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("VmRSS")?.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with the benchmark, whatever became of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
