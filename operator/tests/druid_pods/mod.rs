//! The servers of a DruidCluster and its ZooKeeper as processes: the files that are built for them, run by the real Druid. Each
//! server listens on a loopback address of its own.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod fleet;
pub mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_operator::context::Images;
use millrace_operator::druid::build::build;
use millrace_operator::druid::crd::DruidCluster;
use millrace_operator::druid::validate::{Found, validate};
use millrace_operator::druid::{RoleKind, ValidatedDruid};
use millrace_operator::pods::secret_data;
use millrace_operator::remote::druid::{Credentials, Servers};
use millrace_operator::remote::hdfs::directory::{Directory, ensure};
use millrace_operator::zookeeper;
use millrace_testkit::{Hdfs, Server, druid, exporting_at, own_loopback};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(180);

fn images() -> Images {
    Images::named(str::to_owned)
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"})
}

/// The ZooKeeper of the cluster: one server.
fn ensemble() -> zookeeper::ValidatedZooKeeper {
    let ensemble = serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1",
        "kind": "ZooKeeperEnsemble", "metadata": metadata("z"), "spec": {}}))
    .unwrap();
    zookeeper::validate::validate(&ensemble, None, &images()).unwrap()
}

/// Makes a directory, by asking again until a busy NameNode has answered in time.
async fn made(hdfs: &Hdfs, directory: &Directory) {
    let begin = Instant::now();
    while let Err(error) = ensure(&[hdfs.http()], directory).await {
        assert!(begin.elapsed() < LIMIT, "{error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A cluster of this spec; what it refers to is found as `found` says.
pub fn valid(spec: Value, found: Found) -> ValidatedDruid {
    let cluster: DruidCluster =
        serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1",
        "kind": "DruidCluster", "metadata": metadata("d"), "spec": spec}))
        .unwrap();
    let found = Found {
        zookeeper: Some(ensemble().connection()),
        ..found
    };
    validate(&cluster, &found, &images()).unwrap()
}

/// How a cluster that asks nobody who he is is asked.
pub fn servers() -> Servers {
    Servers::new("http", &Credentials::default()).unwrap()
}

pub struct Pods {
    directory: tempfile::TempDir,
    druid: PathBuf,
    zookeeper: PathBuf,
    net: u8,
    password: String,
    running: BTreeMap<String, Server>,
}

impl Pods {
    pub fn new(druid: PathBuf, zookeeper: PathBuf, net: u8, cluster: &ValidatedDruid) -> Self {
        let pods = Self {
            directory: tempfile::tempdir().unwrap(),
            druid,
            zookeeper,
            net,
            password: String::new(),
            running: BTreeMap::new(),
        };
        // A server asks for the address of its machine, too.
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let mut hosts = format!(
            "127.0.0.1 localhost\n127.0.0.1 {}\n{} z-0.z-nodes.ns.svc\n",
            machine.trim(),
            pods.address("z-0")
        );
        for role in &cluster.roles {
            for node in role.nodes(&cluster.owner) {
                hosts += &format!("{} {}\n", pods.address(&node.pod), node.host);
            }
        }
        fs::write(pods.directory.path().join("hosts"), hosts).unwrap();
        fs::create_dir_all(pods.directory.path().join("segments")).unwrap();
        pods.mount(cluster);
        pods
    }

    /// Starts a cluster of this spec on an HDFS; nothing where its programs are not at hand.
    pub async fn start_on_hdfs(
        net: u8,
        spec: Value,
        hdfs: &Hdfs,
    ) -> Option<(ValidatedDruid, Self)> {
        let (home, zookeeper) = (druid().unwrap()?, millrace_testkit::zookeeper().unwrap()?);
        let binding = Secret {
            data: Some(secret_data([
                ("type", "hdfs".to_owned()),
                ("uri", hdfs.uri()),
            ])),
            ..Secret::default()
        };
        let found = Found {
            hdfs: Some(binding),
            ..Found::default()
        };
        let cluster = valid(spec, found);
        let directory = Directory {
            path: "/millrace/druid/d".into(),
            owner: "druid".into(),
            permission: "755".into(),
        };
        made(hdfs, &directory).await;
        let mut pods = Self::new(home, zookeeper, net, &cluster);
        for name in ["core-site.xml", "hdfs-site.xml"] {
            let text = fs::read_to_string(hdfs.settings().join(name)).unwrap();
            pods.write_site(&cluster, name, &text);
        }
        pods.start_all(&cluster);
        Some((cluster, pods))
    }

    /// The loopback address of a pod.
    pub fn address(&self, pod: &str) -> String {
        let (set, ordinal) = pod.rsplit_once('-').unwrap();
        let ordinal: u8 = ordinal.parse().unwrap();
        let host = match set {
            "z" => 10,
            "d-coordinator" => 20,
            "d-broker" => 30,
            "d-historical" => 40,
            "d-worker" => 50,
            _ => 60,
        };
        own_loopback(self.net, host + ordinal).to_string()
    }

    /// Where a pod answers by HTTP.
    pub fn http(&self, kind: RoleKind, ordinal: u8) -> String {
        let pod = format!("{}-{ordinal}", kind.set("d"));
        format!("http://{}:{}", self.address(&pod), kind.port())
    }

    /// Where the certificates of a pod are.
    pub fn certificates(&self, pod: &str) -> PathBuf {
        self.home(pod).join("certificates")
    }

    fn home(&self, pod: &str) -> PathBuf {
        self.directory.path().join(pod)
    }

    /// Paths and addresses of a container become those of a process here.
    fn local(&self, pod: &str, text: &str) -> String {
        let home = self.home(pod);
        let home = home.display();
        let segments = self.directory.path().join("segments");
        text.replace("=/segments/", &format!("={}/", segments.display()))
            .replace("/etc/millrace", &format!("{home}/etc"))
            .replace("/data/", &format!("{home}/data/"))
            .replace("=/data ", &format!("={home}/data "))
            .replace("tmpdir=/tmp ", &format!("tmpdir={home}/tmp "))
            .replace("/opt/druid/", &format!("{}/", self.druid.display()))
            .replace("/etc/postgres", &format!("{home}/postgres"))
            .replace("/etc/druid-certificates", &format!("{home}/certificates"))
            .replace("/etc/hdfs", &format!("{home}/hdfs"))
            .replace(
                "derby://127.0.0.1",
                &format!("derby://{}", self.address(pod)),
            )
            .replace("host=127.0.0.1", &format!("host={}", self.address(pod)))
    }

    fn mount(&self, cluster: &ValidatedDruid) {
        let built = build(cluster).unwrap();
        for role in &cluster.roles {
            let files: ConfigMap = built.get(&role.files_name()).unwrap();
            for node in role.nodes(&cluster.owner) {
                let mut files = files.data.clone().unwrap();
                let settings = files.get_mut("runtime.properties").unwrap();
                // In a pod it has all addresses to itself.
                *settings += "druid.bindOnHost=true\n";
                // It comes with the upstream image only; servers are reached by TLS without it.
                *settings = settings.replace(",\"simple-client-sslcontext\"", "");
                let start = files.get_mut("start.sh").unwrap();
                *start = exporting_at(start, &self.address(&node.pod));
                self.write(&node.pod, files);
                if let Some(secret) = built.get::<Secret>("d-certificate") {
                    let at = self.certificates(&node.pod);
                    fs::create_dir_all(&at).unwrap();
                    for (name, content) in secret.data.unwrap() {
                        fs::write(at.join(name), content.0).unwrap();
                    }
                }
            }
        }
        let built = zookeeper::build(&ensemble()).unwrap();
        let mut files = built.get::<ConfigMap>("z-files").unwrap().data.unwrap();
        let settings = files.get_mut("zoo.cfg").unwrap();
        *settings = settings.replace(
            "dataDir=/data",
            &format!("dataDir={}", self.home("z-0").join("data").display()),
        );
        *settings += &format!("clientPortAddress={}\n", self.address("z-0"));
        let start = files.get_mut("start.sh").unwrap();
        *start = exporting_at(start, &self.address("z-0")).replace(
            ">/data/",
            &format!(">{}/", self.home("z-0").join("data").display()),
        );
        for part in ["etc", "data"] {
            fs::create_dir_all(self.home("z-0").join(part)).unwrap();
        }
        for (name, text) in files {
            let etc = self.home("z-0").join("etc");
            let text = text.replace("/etc/millrace", &etc.display().to_string());
            fs::write(etc.join(name), text).unwrap();
        }
    }

    fn write(&self, pod: &str, files: BTreeMap<String, String>) {
        let home = self.home(pod);
        for part in ["etc", "tmp", "data"] {
            fs::create_dir_all(home.join(part)).unwrap();
        }
        for (name, text) in files {
            fs::write(home.join("etc").join(name), self.local(pod, &text)).unwrap();
        }
    }

    pub fn start(&mut self, pod: &str) {
        let hosts = self.directory.path().join("hosts");
        let mut command = Command::new("bash");
        command
            .arg(self.home(pod).join("etc/start.sh"))
            .current_dir(&self.zookeeper)
            .env("HOSTNAME", pod)
            .env("HADOOP_USER_NAME", "druid")
            .env("MILLRACE_METADATA_PASSWORD", &self.password)
            .env(
                "JAVA_TOOL_OPTIONS",
                format!("-Djdk.net.hosts.file={}", hosts.display()),
            );
        let log = self.home(pod).join("log");
        let server = Server::start(&mut command, &log).unwrap();
        self.running.insert(pod.to_owned(), server);
    }

    pub fn start_all(&mut self, cluster: &ValidatedDruid) {
        self.start("z-0");
        // All at once, as Kubernetes does.
        for role in &cluster.roles {
            for node in role.nodes(&cluster.owner) {
                self.start(&node.pod);
            }
        }
    }

    /// Ends a pod as a power cut would.
    pub fn kill(&mut self, pod: &str) {
        self.running.remove(pod);
    }

    /// Ends all as a power cut would; their volumes stay.
    pub fn kill_all(&mut self) {
        self.running.clear();
    }

    /// The most memory that a server has taken since it started, in mebibytes.
    pub fn peak(&self, pod: &str) -> u64 {
        peak_of(self.running[pod].pid())
    }

    pub fn tails(&self) -> String {
        let tails = self.running.iter();
        let tails: Vec<String> = tails
            .map(|(pod, server)| format!("== {pod}\n{}", server.tail()))
            .collect();
        tails.join("\n")
    }

    /// Gives all servers a file that clients of HDFS read.
    pub fn write_site(&self, cluster: &ValidatedDruid, name: &str, text: &str) {
        let nodes = cluster
            .roles
            .iter()
            .flat_map(|role| role.nodes(&cluster.owner));
        for node in nodes {
            let at = self.home(&node.pod).join("hdfs");
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join(name), text).unwrap();
        }
    }

    /// Gives all servers a file of the binding of PostgreSQL, and lets them find it at this address.
    pub fn write_postgres(
        &mut self,
        cluster: &ValidatedDruid,
        (host, address): (&str, &str),
        authority: &[u8],
        password: &str,
    ) {
        for node in cluster.nodes(RoleKind::Coordinator) {
            let at = self.home(&node.pod).join("postgres");
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join("ca.crt"), authority).unwrap();
        }
        let hosts = self.directory.path().join("hosts");
        let known = fs::read_to_string(&hosts).unwrap();
        fs::write(hosts, format!("{known}{address} {host}\n")).unwrap();
        self.password = password.to_owned();
    }

    /// What a pod has written.
    pub fn log(&self, pod: &str) -> String {
        fs::read_to_string(self.home(pod).join("log")).unwrap_or_default()
    }

    /// Asks until an answer is there that holds. Gives how long it took.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &mut self,
        what: &str,
        look: impl Fn() -> F,
    ) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await {
                println!("{what}: {:?}", begin.elapsed());
                return found;
            }
            let ended = self
                .running
                .iter_mut()
                .find_map(|(pod, server)| server.has_ended().then(|| pod.clone()));
            assert_eq!(ended, None, "{what}\n{}", self.tails());
            assert!(begin.elapsed() < LIMIT, "{what}\n{}", self.tails());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until each server says that it is ready, as its probe asks.
    pub async fn ready(&mut self, cluster: &ValidatedDruid) {
        let all: Vec<RoleKind> = cluster.roles.iter().map(|role| role.kind).collect();
        self.ready_of(cluster, &all).await;
    }

    /// The same for some roles.
    pub async fn ready_of(&mut self, cluster: &ValidatedDruid, kinds: &[RoleKind]) {
        let urls: Vec<String> = cluster
            .roles
            .iter()
            .filter(|role| kinds.contains(&role.kind))
            .flat_map(|role| {
                role.nodes(&cluster.owner)
                    .into_iter()
                    .map(|node| (role.kind, node))
            })
            .map(|(kind, node)| {
                format!(
                    "http://{}:{}{}",
                    self.address(&node.pod),
                    kind.port(),
                    kind.ready_at()
                )
            })
            .collect();
        for url in urls {
            self.until(&format!("{url} answers"), || async {
                let answer = reqwest::get(&url).await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
    }
}

/// The most memory that a process has taken since it started, in mebibytes.
pub fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes / 1024
}
