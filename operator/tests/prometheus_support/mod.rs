//! A real Prometheus with the rules and the dashboards of the chart.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use millrace_operator::metrics::Metrics;
use millrace_testkit::{Server, free_port, repository_root};
use serde_json::{Value, json};

/// How long is waited for what Prometheus is to see.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The file that says which pods there are.
const PODS: &str = "pods.json";

/// A panel of a dashboard.
pub struct Panel {
    /// Titles of the dashboard and of the panel.
    pub title: String,
    pub query: String,
}

/// All panels, from the files of the chart.
pub fn panels() -> Vec<Panel> {
    let folder = repository_root().join("helm/millrace-operator/monitoring/dashboards");
    let mut panels = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let board: Value = serde_json::from_str(&text).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            panels.push(Panel {
                title: format!("{}: {}", board["title"], panel["title"]),
                query: panel["targets"][0]["expr"].as_str().unwrap().to_owned(),
            });
        }
    }
    panels
}

/// What a static target is called: the labels are those that pods have by the configuration in docs/monitoring.md.
pub fn target(address: &str, component: &str, instance: &str, pod: &str) -> String {
    format!(
        "      - targets: ['{address}']\n        labels: {{app_kubernetes_io_part_of: millrace, app_kubernetes_io_name: {component}, app_kubernetes_io_instance: {instance}, namespace: ns, pod: {pod}}}\n"
    )
}

/// The configuration that scrapes such targets.
pub fn scrape_targets(targets: &[String]) -> String {
    format!(
        "scrape_configs:\n  - job_name: millrace\n    static_configs:\n{}",
        targets.concat()
    )
}

/// The configuration that docs/monitoring.md gives, with `more` settings of the job. Debian builds its Prometheus without
/// the discovery of Kubernetes: a file says of these pods what that would.
pub fn documented(home: &Path, pods: &[Pod], more: &str) -> String {
    discover(home, pods);
    let file = home.join(PODS);
    let page = std::fs::read_to_string(repository_root().join("docs/monitoring.md")).unwrap();
    let begin = page.find("scrape_configs:").unwrap();
    let text = page[begin..].split("rule_files:").next().unwrap();
    let discovery = "kubernetes_sd_configs: [{role: pod}]";
    assert!(text.contains(discovery), "{text}");
    let by_file = format!(
        "{more}file_sd_configs: [{{files: [{}], refresh_interval: 5s}}]",
        file.display()
    );
    text.replace(discovery, &by_file)
}

/// Says which pods there are, to a Prometheus that runs too.
pub fn discover(home: &Path, pods: &[Pod]) {
    let found = pods.iter().flat_map(discovered).collect::<Vec<_>>();
    // It may look at any moment, and has to see all of it.
    let fresh = home.join(format!("{PODS}.new"));
    std::fs::write(&fresh, serde_json::to_vec(&found).unwrap()).unwrap();
    std::fs::rename(&fresh, home.join(PODS)).unwrap();
}

/// A pod as `role: pod` finds it: a target for each of its ports, with what it says of itself in labels.
fn discovered(pod: &Pod) -> Vec<Value> {
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let Some(ip) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) else {
        return Vec::new();
    };
    let meta = &pod.metadata;
    let mut labels = BTreeMap::from([
        (
            "__meta_kubernetes_namespace".to_owned(),
            meta.namespace.clone().unwrap_or_default(),
        ),
        (
            "__meta_kubernetes_pod_name".to_owned(),
            meta.name.clone().unwrap_or_default(),
        ),
        ("__meta_kubernetes_pod_ip".to_owned(), ip.clone()),
    ]);
    let said = [("label", &meta.labels), ("annotation", &meta.annotations)];
    for (kind, entries) in said {
        for (name, value) in entries.iter().flatten() {
            let name = word(name);
            labels.insert(
                format!("__meta_kubernetes_pod_{kind}_{name}"),
                value.clone(),
            );
            labels.insert(
                format!("__meta_kubernetes_pod_{kind}present_{name}"),
                "true".into(),
            );
        }
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .map(|port| json!({"targets": [format!("{ip}:{}", port.container_port)], "labels": labels}))
        .collect()
}

/// It runs until it is dropped.
pub struct Prometheus {
    _server: Server,
    port: u16,
}

impl Prometheus {
    /// Scrapes by this configuration, and looks at the rules, each second.
    pub fn start(programs: &Path, home: &Path, scrape: &str) -> Self {
        Self::start_every(programs, home, scrape, "1s")
    }

    /// The same as often as said.
    pub fn start_every(programs: &Path, home: &Path, scrape: &str, every: &str) -> Self {
        let rules = repository_root().join("helm/millrace-operator/monitoring/rules.yaml");
        Self::start_with(programs, home, scrape, every, &rules)
    }

    /// The same with a file of rules.
    pub fn start_with(
        programs: &Path,
        home: &Path,
        scrape: &str,
        every: &str,
        rules: &Path,
    ) -> Self {
        let config = home.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\nrule_files: [{}]\n{scrape}",
            rules.display()
        );
        std::fs::write(&config, text).unwrap();
        let port = free_port().unwrap();
        let mut command = Command::new(programs.join("prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                home.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut server = Server::start(&mut command, &home.join("log")).unwrap();
        if let Err(error) = server.wait_for_port(port, Duration::from_secs(30)) {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            panic!("{error:#}\n{log}");
        }
        let prometheus = Self {
            _server: server,
            port,
        };
        // It listens before it answers.
        let end = Instant::now() + PATIENCE;
        while prometheus.ask("up").is_err() {
            assert!(Instant::now() < end, "{:?}", prometheus.ask("up"));
            std::thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    /// The series that a query has now, as Prometheus writes them.
    pub fn ask(&self, query: &str) -> Result<Vec<Value>, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let text = ureq::get(&url)
            .query("query", query)
            .call()
            .map_err(|error| error.to_string())?
            .body_mut()
            .read_to_string()
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        answer["data"]["result"].as_array().cloned().ok_or(text)
    }

    /// Waits until a query has data.
    pub fn wait_for(&self, query: &str) {
        let end = Instant::now() + PATIENCE;
        while self.ask(query).unwrap().is_empty() {
            assert!(
                Instant::now() < end,
                "no data: {query}: {:?}",
                self.targets()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The values of `up`, by pod.
    pub fn targets(&self) -> BTreeMap<String, String> {
        let up = self.ask("up").unwrap();
        up.iter()
            .map(|one| {
                (
                    one["metric"]["pod"].to_string(),
                    one["value"][1].to_string(),
                )
            })
            .collect()
    }

    /// Waits until an alert of this name is on its way: its expression holds, however long it has to.
    pub fn wait_for_alert(&self, name: &str) {
        let begin = Instant::now();
        self.wait_for(&format!("ALERTS{{alertname=\"{name}\"}}"));
        println!(
            "{name}: seen after {:.1} s more",
            begin.elapsed().as_secs_f64()
        );
    }

    /// The names of the alerts that are on their way or fire.
    pub fn alerts(&self) -> Vec<String> {
        let alerts = self.ask("count by (alertname) (ALERTS)").unwrap();
        alerts
            .iter()
            .map(|one| one["metric"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// What a program tells Prometheus, in the newer of the two formats, with the metrics whose names start so only.
pub fn scrape(address: &str, prefix: &str) -> String {
    let text = ureq::get(format!("http://{address}/metrics"))
        .header("Accept", "application/openmetrics-text; version=1.0.0")
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let of_prefix = |line: &&str| {
        let name = line
            .trim_start_matches("# TYPE ")
            .trim_start_matches("# HELP ");
        name.starts_with(prefix)
    };
    text.lines()
        .filter(of_prefix)
        .fold(String::new(), |text, line| text + line + "\n")
}

/// Serves an operator's metrics until the test ends; gives the port.
pub fn serve(metrics: Metrics) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let text = metrics.text();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    port
}
