//! One action behind HTTP, as images of OpenWhisk have it: `/init` once, `/run` for each activation (the contract of its
//! ActionLoop proxy). It makes this program an image that runs what the embedded server runs as a child.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::pods::END;
use crate::pool::{CodeError, Instance, Log, Outcome, Start, Stream, Watch, Worker, parts, unpack};
use crate::settings::{Isolation, PoolSettings};

/// The version of the contract: what upstream's proxy of 2025 speaks.
pub const PROTOCOL_VERSION: &str = "1.17.1";

/// Code in base64, and what stands around it.
const LARGEST: usize = 80 * 1024 * 1024;

/// Of an answer, this much goes on; a server that takes less sees that it is too long.
const ANSWER: usize = 2 * 1024 * 1024;

/// Of the log of one activation, this much goes on: more than any server keeps.
const LOG: usize = 12 * 1024 * 1024;

/// The server ends an activation that takes too long; nothing here does.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// Memory is bounded by the container, bytes.
const UNBOUNDED: u64 = 1 << 40;

/// How often a new program is looked at whether it has ended at once.
const LOOK: Duration = Duration::from_millis(5);

/// How it is run.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// The program that starts a child; this program itself.
    pub launcher: PathBuf,
    /// Where the action is unpacked, and what it writes; programs can be run from it.
    pub run: PathBuf,
    /// The unpacked action of the image itself, which runs when `/init` brings none.
    pub code: Option<PathBuf>,
    /// A program that ends within so long has not started.
    pub grace: Duration,
    /// What the action's environment holds before `/init` adds to it.
    pub environment: Vec<(String, String)>,
    /// An action has started when it has written `{"ok":true}`, which its environment asks for.
    pub wait_for_acknowledgement: bool,
    /// Why an action does not start is told in the log and not in the answer.
    pub log_start_errors: bool,
}

/// The one action.
enum Stage {
    /// None yet.
    Empty,
    Running(Box<Worker>),
    /// It ended; there is no second one.
    Ended,
}

struct Proxy {
    settings: ProxySettings,
    pool: PoolSettings,
    stage: Mutex<Stage>,
    watch: Watch,
}

/// Serves until the process ends.
///
/// # Errors
/// The directory cannot be made, or the address is taken.
pub async fn serve(listen: SocketAddr, settings: ProxySettings) -> std::io::Result<()> {
    std::fs::create_dir_all(&settings.run)?;
    let pool = PoolSettings {
        launcher: settings.launcher.clone(),
        // The container keeps it apart.
        isolation: Isolation::None,
        memory: 0,
        instances: 1,
        idle: FOREVER,
        processes: usize::MAX,
        wait: FOREVER,
        prewarmed: 0,
        // Nor does this program bound that: the container's volume does.
        disk: u64::MAX,
        reap: false,
    };
    let proxy = Arc::new(Proxy {
        watch: Watch::new(pool.processes, pool.reap),
        settings,
        pool,
        stage: Mutex::new(Stage::Empty),
    });
    let router = Router::new().fallback(handle).with_state(proxy);
    axum::serve(TcpListener::bind(listen).await?, router).await
}

async fn handle(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = match to_bytes(request.into_body(), LARGEST).await {
        Ok(body) => body,
        Err(error) => return told(400, &format!("Error reading request body: {error}")),
    };
    match path.as_str() {
        "/init" => match proxy.init(&body).await {
            Ok(()) => answer(200, json!({ "ok": true }).to_string() + "\n"),
            Err((status, why)) => told(status, &why),
        },
        "/run" => proxy.run(&body).await,
        // Whatever else is asked for is well, so that any path is a probe.
        _ => Response::default(),
    }
}

impl Proxy {
    /// Starts the action; else the status and the words of the refusal.
    async fn init(&self, body: &[u8]) -> Result<(), (u16, String)> {
        let mut stage = self.stage.lock().await;
        if !matches!(*stage, Stage::Empty) {
            let text = "Cannot initialize the action more than once.";
            eprintln!("{text}");
            return Err((403, text.to_owned()));
        }
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| (400, format!("Error unmarshaling request: {error}")))?;
        let value = &body["value"];
        let code = value["code"].as_str().unwrap_or_default().to_owned();
        let is_binary = value["binary"] == true;
        let directory = self.settings.run.join(crate::name::activation_id());
        std::fs::create_dir_all(&directory).map_err(|error| (502, error.to_string()))?;
        let unpacked = match &self.settings.code {
            Some(own) if code.trim().is_empty() => own.clone(),
            _ => {
                let unpacked = directory.join("code");
                let target = unpacked.clone();
                let unpacking = move || unpack(&code, is_binary, &target);
                match tokio::task::spawn_blocking(unpacking).await {
                    Ok(Ok(())) => unpacked,
                    Ok(Err(error)) => return Err(self.not_unpacked(&error)),
                    Err(error) => return Err((502, error.to_string())),
                }
            }
        };
        let empty = Map::new();
        let brought = value["env"].as_object().unwrap_or(&empty);
        let start = Start {
            code: &unpacked,
            environment: environment(&self.settings, brought),
            memory: UNBOUNDED,
            timeout: Duration::from_secs(60),
        };
        let own = directory.join("child");
        let mut worker = Worker::start(own, &start, &self.pool, &self.watch)
            .await
            .map_err(|error| (502, error.to_string()))?;
        let mut log = Log::new(LOG);
        let started = if self.settings.wait_for_acknowledgement {
            acknowledged(&mut worker, &mut log).await
        } else {
            stays(&mut worker, self.settings.grace, &mut log).await
        };
        if let Err(why) = started {
            let told = format!("cannot start action: {why}");
            let hidden = "Cannot start action. Check logs for details.";
            return Err((502, self.refused(log, why, told, hidden)));
        }
        pass_on(log, false);
        *stage = Stage::Running(Box::new(worker));
        Ok(())
    }

    /// What is answered when the code cannot be unpacked.
    fn not_unpacked(&self, error: &CodeError) -> (u16, String) {
        let status = match error {
            CodeError::Empty => 403,
            CodeError::Base64(_) => 400,
            _ => 502,
        };
        let told = error.to_string();
        if status != 502 {
            return (status, told);
        }
        let hidden = "The action failed to generate or locate a binary. See logs for details.";
        (
            status,
            self.refused(Log::new(LOG), &error.to_string(), told, hidden),
        )
    }

    /// The words of a refusal, after the log of what was tried: those that are told, or the others when the reason goes into the log.
    fn refused(&self, mut log: Log, why: &str, told: String, hidden: &str) -> String {
        if !self.settings.log_start_errors {
            pass_on(log, false);
            return told;
        }
        log.push(Stream::Err, format!("{why}\n").as_bytes());
        pass_on(log, true);
        hidden.to_owned()
    }

    async fn run(&self, body: &[u8]) -> Response {
        let mut stage = self.stage.lock().await;
        // Out of the stage while it runs: a caller that hangs up drops this call, and the action with it. Whoever asks
        // next would get the answer that the former did not wait for.
        let mut worker = match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Running(worker) => worker,
            other => {
                *stage = other;
                return told(500, "no action defined yet");
            }
        };
        let mut line: Vec<u8> = body.iter().copied().filter(|byte| *byte != b'\n').collect();
        line.push(b'\n');
        let mut log = Log::new(LOG);
        let outcome = worker.run(&line, FOREVER, ANSWER, &mut log).await;
        pass_on(log, true);
        match outcome {
            Ok(Outcome::Answer { mut line, length }) => {
                *stage = Stage::Running(worker);
                let is_whole = length <= line.len() + 1;
                let parsed: Option<Value> = serde_json::from_slice(&line).ok();
                let fits = matches!(
                    parsed,
                    Some(Value::Object(_) | Value::Array(_) | Value::Null)
                );
                if is_whole && !fits {
                    return told(502, "The action did not return a dictionary or array.");
                }
                line.push(b'\n');
                answer(200, line)
            }
            Ok(_) => told(400, "command exited"),
            Err(error) => told(400, &error.to_string()),
        }
    }
}

/// Waits until the action says that it has started.
async fn acknowledged(worker: &mut Worker, log: &mut Log) -> Result<(), &'static str> {
    let refused = Err("The action did not initialize properly.");
    match worker.first_line(FOREVER, ANSWER, log).await {
        Ok(Outcome::Answer { line, .. }) => {
            let said = serde_json::from_slice::<Value>(&line).unwrap_or_default();
            if said["ok"] == true { Ok(()) } else { refused }
        }
        Ok(Outcome::Exited | Outcome::NotStarted) => {
            Err("Command exited abruptly during initialization.")
        }
        _ => refused,
    }
}

/// An action that says nothing has started when it has not ended within the grace.
async fn stays(worker: &mut Worker, grace: Duration, log: &mut Log) -> Result<(), &'static str> {
    let until = tokio::time::Instant::now() + grace;
    while tokio::time::Instant::now() < until {
        if !worker.is_alive() {
            worker.said(log);
            return Err("command exited");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A child's whole environment: what is there, what `/init` brings, texts as they are and all else as JSON.
fn environment(own: &ProxySettings, brought: &Map<String, Value>) -> Vec<(String, String)> {
    let usable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let mut environment = own.environment.clone();
    for (key, value) in brought.iter().filter(|(key, _)| usable(key)) {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        environment.retain(|(known, _)| known != key);
        environment.push((key.clone(), text.replace('\0', "")));
    }
    let mut tell = |name: &str, value: &str| {
        environment.retain(|(key, _)| key != name);
        environment.push((name.to_owned(), value.to_owned()));
    };
    tell("__OW_PROXY_VERSION", PROTOCOL_VERSION);
    if own.wait_for_acknowledgement {
        tell("__OW_WAIT_FOR_ACK", "1");
    }
    environment
}

/// Writes an activation's log to this program's own streams, and where it ends.
fn pass_on(log: Log, ends: bool) {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let lines = log.finish();
    for line in &lines {
        // Nobody may be reading; the action is not to blame.
        let _ = match parts(line) {
            (Stream::Out, text) => writeln!(out, "{text}"),
            (Stream::Err, text) => writeln!(err, "{text}"),
        };
    }
    if ends {
        let _ = writeln!(out, "{END}");
        let _ = writeln!(err, "{END}");
    }
    let _ = out.flush();
}

fn told(status: u16, error: &str) -> Response {
    answer(status, json!({ "error": error }).to_string() + "\n")
}

fn answer(status: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let json = axum::http::HeaderValue::from_static("application/json");
    let headers = response.headers_mut();
    headers.insert(axum::http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_adds_to_the_environment() {
        let mut own = ProxySettings {
            launcher: PathBuf::new(),
            run: PathBuf::new(),
            code: None,
            grace: LOOK,
            environment: vec![("__OW_API_HOST".to_owned(), "h".to_owned())],
            wait_for_acknowledgement: false,
            log_start_errors: false,
        };
        let brought = json!({"A": "s", "B": {"c": 1}, "x=y": 1, "__OW_API_HOST": "other"});
        let brought = brought.as_object().unwrap();
        let made = environment(&own, brought);
        let has = |key: &str, value: &str| made.contains(&(key.to_owned(), value.to_owned()));
        assert!(has("A", "s") && has("B", r#"{"c":1}"#) && has("__OW_API_HOST", "other"));
        assert!(has("__OW_PROXY_VERSION", PROTOCOL_VERSION));
        assert_eq!(made.len(), 4, "{made:?}");
        own.wait_for_acknowledgement = true;
        let made = environment(&own, brought);
        assert!(made.contains(&("__OW_WAIT_FOR_ACK".to_owned(), "1".to_owned())));
    }
}
