//! A double of Kubernetes, as far as pods of actions go: it starts this program's proxy for each pod, on an own address of
//! loopback. Images called `missing` cannot be had.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

type Lines = Arc<Mutex<Vec<(Timestamp, String)>>>;

struct Pod {
    object: Value,
    address: String,
    program: Option<Child>,
    log: Lines,
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

#[derive(Default)]
struct Inner {
    pods: BTreeMap<String, Pod>,
    made: Vec<Value>,
    deleted: Vec<String>,
}

struct Shared {
    inner: Mutex<Inner>,
    port: u16,
    directory: PathBuf,
}

/// The double.
pub struct Kubernetes {
    pub url: String,
    pub port: u16,
    shared: Arc<Shared>,
}

impl Kubernetes {
    pub async fn start(directory: &Path) -> Self {
        let port = millrace_testkit::free_port().unwrap();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner::default()),
            port,
            directory: directory.to_owned(),
        });
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, port, shared }
    }

    /// A pod that nobody here has made.
    pub fn leave_behind(&self, name: &str) {
        let object =
            json!({"metadata": {"name": name, "labels": {"millrace.dev/whisk-run": "former"}}});
        let pod = Pod {
            object,
            address: String::new(),
            program: None,
            log: Lines::default(),
        };
        let mut inner = self.shared.inner.lock().unwrap();
        inner.pods.insert(name.to_owned(), pod);
    }

    /// Ends a pod as an eviction does.
    pub fn take_away(&self, name: &str) {
        self.shared.inner.lock().unwrap().pods.remove(name).unwrap();
    }

    /// Gives a pod another address; its program goes on answering at the former one, as the pod would that has got it.
    pub fn move_away(&self, name: &str) {
        let mut inner = self.shared.inner.lock().unwrap();
        inner.pods.get_mut(name).unwrap().address = "127.0.0.254".to_owned();
    }

    /// All pods that were made, in their order.
    pub fn made(&self) -> Vec<Value> {
        self.shared.inner.lock().unwrap().made.clone()
    }

    pub fn running(&self) -> usize {
        self.shared.inner.lock().unwrap().pods.len()
    }

    /// Waits until these pods were deleted.
    pub async fn wait_for(&self, names: &[&str]) {
        for _ in 0..1500 {
            let deleted = self.shared.inner.lock().unwrap().deleted.clone();
            if names
                .iter()
                .all(|name| deleted.iter().any(|one| one == name))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{names:?} are not deleted");
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path();
    let name = path.strip_prefix("/api/v1/namespaces/ns/pods").unwrap();
    let name = name.trim_start_matches('/');
    let query = parts.uri.query().unwrap_or_default();
    let mut inner = shared.inner.lock().unwrap();
    match (parts.method.as_str(), name.split_once('/')) {
        ("POST", None) => {
            let object: Value = serde_json::from_slice(&body).unwrap();
            let number = inner.made.len() + 2;
            inner.made.push(object.clone());
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            inner.pods.insert(name, start(&shared, number, object));
            answer(201, json!({}).to_string())
        }
        ("GET", None) if name.is_empty() => {
            let run = query.rsplit_once("%21%3D").unwrap().1;
            let items: Vec<&Value> = inner
                .pods
                .values()
                .map(|pod| &pod.object)
                .filter(|pod| pod["metadata"]["labels"]["millrace.dev/whisk-run"] != run)
                .collect();
            answer(200, json!({ "items": items }).to_string())
        }
        ("GET", None) => match inner.pods.get_mut(name) {
            Some(pod) => answer(200, told(pod).to_string()),
            None => answer(404, String::new()),
        },
        ("GET", Some((name, "log"))) => match inner.pods.get(name) {
            Some(pod) => {
                let lines = pod.log.lock().unwrap();
                let lines = lines.iter().map(|(time, line)| format!("{time} {line}\n"));
                answer(200, lines.collect())
            }
            None => answer(404, String::new()),
        },
        ("DELETE", None) => {
            inner.deleted.push(name.to_owned());
            let gone = inner.pods.remove(name);
            answer(if gone.is_some() { 200 } else { 404 }, String::new())
        }
        other => panic!("{other:?}"),
    }
}

fn start(shared: &Shared, number: usize, object: Value) -> Pod {
    let address = format!("127.0.0.{number}");
    let log = Lines::default();
    let image = object["spec"]["containers"][0]["image"].as_str().unwrap();
    let program = (!image.starts_with("missing")).then(|| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_millrace-whisk"))
            .args(["proxy", "--listen", &format!("{address}:{}", shared.port)])
            .arg("--run-dir")
            .arg(shared.directory.join(format!("pod-{number}")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        follow(program.stdout.take().unwrap(), &log);
        follow(program.stderr.take().unwrap(), &log);
        program
    });
    Pod {
        object,
        address,
        program,
        log,
    }
}

/// Notes each line, and when it came.
fn follow(stream: impl Read + Send + 'static, log: &Lines) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push((Timestamp::now(), line));
        }
    });
}

/// The pod with its status.
fn told(pod: &mut Pod) -> Value {
    let state = match pod.program.as_mut().map(|program| program.try_wait()) {
        None => json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
        Some(Ok(None)) => json!({"running": {}}),
        Some(_) => json!({"terminated": {"reason": "Error"}}),
    };
    let phase = if state.get("running").is_some() {
        "Running"
    } else {
        "Pending"
    };
    let mut object = pod.object.clone();
    object["status"] =
        json!({"phase": phase, "podIP": pod.address, "containerStatuses": [{"state": state}]});
    object
}

fn answer(status: u16, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap();
    response
}
