//! The servers of an HdfsCluster and its ZooKeeper as processes: the files that are built for them, run by the real HDFS.
//! Each server listens on a loopback address of its own, but for DataNodes, which have ports of their own: a NameNode knows
//! them by the address that they connect from.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use millrace_operator::context::Images;
use millrace_operator::hdfs::build::build;
use millrace_operator::hdfs::crd::HdfsCluster;
use millrace_operator::hdfs::validate::{Found, validate};
use millrace_operator::hdfs::view::View;
use millrace_operator::hdfs::{Node, Role, RoleKind, ValidatedHdfs};
use millrace_operator::remote::hdfs::{NameNodeClient, volume};
use millrace_operator::zookeeper;
use millrace_testkit::{Server, exporting_at, free_port, own_loopback};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(240);
const DATA_PORTS: [u16; 3] = [9866, 9864, 9867];

pub fn images() -> Images {
    Images::named(str::to_owned)
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"})
}

pub fn cluster(spec: Value) -> HdfsCluster {
    serde_json::from_value(
        json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "HdfsCluster",
        "metadata": metadata("h"), "spec": spec}),
    )
    .unwrap()
}

/// The ZooKeeper of the cluster: one server.
fn ensemble() -> zookeeper::ValidatedZooKeeper {
    let ensemble = serde_json::from_value(json!({"apiVersion": "millrace.dev/v1alpha1",
        "kind": "ZooKeeperEnsemble", "metadata": metadata("z"), "spec": {}}))
    .unwrap();
    zookeeper::validate::validate(&ensemble, None, &images()).unwrap()
}

pub fn valid(cluster: &HdfsCluster) -> ValidatedHdfs {
    let found = Found {
        zookeeper: Some(ensemble().connection()),
        ..Found::default()
    };
    validate(cluster, &found, &images()).unwrap()
}

pub struct Nodes {
    directory: tempfile::TempDir,
    hadoop: PathBuf,
    zookeeper: PathBuf,
    net: u8,
    /// The ports of each DataNode, by pod, in the order of [`DATA_PORTS`].
    ports: BTreeMap<String, [u16; 3]>,
    running: BTreeMap<String, Server>,
}

impl Nodes {
    pub fn new(hadoop: PathBuf, zookeeper: PathBuf, net: u8, hdfs: &ValidatedHdfs) -> Self {
        let mut nodes = Self {
            directory: tempfile::tempdir().unwrap(),
            hadoop,
            zookeeper,
            net,
            ports: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        // A server asks for the address of its machine, too.
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let mut hosts = format!(
            "127.0.0.1 localhost\n127.0.0.1 {}\n{} z-0.z-nodes.ns.svc\n",
            machine.trim(),
            nodes.address("z-0")
        );
        for role in hdfs.roles() {
            for node in hdfs.nodes(role) {
                if role.kind == RoleKind::DataNode {
                    let ports = [(); 3].map(|()| free_port().unwrap());
                    nodes.ports.insert(node.pod.clone(), ports);
                }
                hosts += &format!("{} {}\n", nodes.address(&node.pod), node.host);
            }
        }
        fs::write(nodes.directory.path().join("hosts"), hosts).unwrap();
        nodes
    }

    /// The loopback address of a pod.
    pub fn address(&self, pod: &str) -> String {
        let ordinal: u8 = pod.rsplit('-').next().unwrap().parse().unwrap();
        let host = match pod.rsplit_once('-').unwrap().0 {
            "z" => 10,
            "h-journalnode" => 20 + ordinal,
            "h-namenode" => 30 + ordinal,
            _ => return "127.0.0.1".into(),
        };
        own_loopback(self.net, host).to_string()
    }

    pub fn home(&self, pod: &str) -> PathBuf {
        self.directory.path().join(pod)
    }

    /// Paths and addresses of a container become those of a process here.
    fn local(&self, pod: &str, text: &str) -> String {
        let home = self.home(pod);
        let home = home.display();
        let address = self.address(pod);
        let mut text = exporting_at(text, &address)
            .replace("/tmp/", &format!("{home}/tmp/"))
            .replace("/etc/millrace", &format!("{home}/etc"))
            .replace(":///data", &format!("://{home}/data"))
            .replace(">/data", &format!(">{home}/data"))
            .replace("=/data", &format!("={home}/data"))
            .replace(" /data ", &format!(" {home}/data "))
            .replace("/dev/termination-log", &format!("{home}/tmp/end"))
            .replace(
                "/opt/hadoop/share/hadoop",
                &self.hadoop.display().to_string(),
            )
            .replace("0.0.0.0", &address)
            .replace("127.0.0.1", &address);
        for (index, port) in DATA_PORTS.into_iter().enumerate() {
            if let Some(ports) = self.ports.get(pod) {
                text = text.replace(&format!(":{port}"), &format!(":{}", ports[index]));
            }
        }
        text
    }

    /// Writes what Kubernetes would mount.
    pub fn mount(&self, hdfs: &ValidatedHdfs) {
        let built = build(hdfs).unwrap();
        for role in hdfs.roles() {
            let files: ConfigMap = built.get(&role.files_name()).unwrap();
            for node in hdfs.nodes(role) {
                self.write(&node.pod, files.data.clone().unwrap());
            }
        }
        let built = zookeeper::build(&ensemble()).unwrap();
        let mut files = built.get::<ConfigMap>("z-files").unwrap().data.unwrap();
        let settings = files.get_mut("zoo.cfg").unwrap();
        *settings += &format!("clientPortAddress={}\n", self.address("z-0"));
        self.write("z-0", files);
        let client: ConfigMap = build(hdfs).unwrap().get("h-client").unwrap();
        self.write("client-0", client.data.unwrap());
    }

    fn write(&self, pod: &str, files: BTreeMap<String, String>) {
        let home = self.home(pod);
        for part in ["etc", "tmp", "data", "data-1"] {
            fs::create_dir_all(home.join(part)).unwrap();
        }
        for (name, text) in files {
            let text: String = if name == "live.excludes" {
                text.lines().map(|line| self.excluded(line)).collect()
            } else {
                self.local(pod, &text)
            };
            fs::write(home.join("etc").join(name), text).unwrap();
        }
    }

    /// DataNodes share an address here, so that a name alone would mean all of them.
    fn excluded(&self, line: &str) -> String {
        if line.parse::<SocketAddr>().is_ok() {
            return format!("{line}\n");
        }
        let pod = line.split('.').next().unwrap();
        format!("{line}:{}\n", self.ports[pod][0])
    }

    fn command(&self, pod: &str, script: &str) -> Command {
        let home = self.home(pod);
        let mut command = Command::new("sh");
        command
            .arg(home.join("etc").join(script))
            .current_dir(&self.zookeeper)
            .env("HOSTNAME", pod)
            .env("JAVA_TOOL_OPTIONS", self.java_options());
        command
    }

    fn java_options(&self) -> String {
        let hosts = self.directory.path().join("hosts");
        format!("-Djdk.net.hosts.file={}", hosts.display())
    }

    /// Starts a container of a pod: its script without the ending.
    pub fn start(&mut self, pod: &str, script: &str) {
        let log = self.home(pod).join(format!("{script}.log"));
        let mut command = self.command(pod, &format!("{script}.sh"));
        let server = Server::start(&mut command, &log).unwrap();
        self.running.insert(format!("{pod}/{script}"), server);
    }

    /// Starts all pods of a role, with all of their containers.
    pub fn start_role(&mut self, hdfs: &ValidatedHdfs, role: &Role) {
        for Node { pod, .. } in hdfs.nodes(role) {
            self.start_pod(&pod);
        }
    }

    pub fn start_pod(&mut self, pod: &str) {
        self.start(pod, "start");
        if pod.contains("namenode") && self.home(pod).join("etc/zkfc.sh").exists() {
            self.start(pod, "zkfc");
        }
    }

    /// Ends all containers of a pod as a power cut would, with what they have started.
    pub fn kill(&mut self, pod: &str) {
        let prefix = format!("{pod}/");
        let names: Vec<String> = self.running.keys().cloned().collect();
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            if let Some(mut server) = self.running.remove(name) {
                let children = children(server.pid());
                server.kill();
                for child in children {
                    let _ = Command::new("kill").args(["-9", &child]).status();
                }
            }
        }
    }

    pub fn kill_all(&mut self) {
        let pods: Vec<String> = self
            .running
            .keys()
            .map(|name| name.split('/').next().unwrap().to_owned())
            .collect();
        for pod in pods {
            self.kill(&pod);
        }
    }

    pub fn lose_volume(&self, pod: &str) {
        fs::remove_dir_all(self.home(pod).join("data")).unwrap();
        fs::create_dir_all(self.home(pod).join("data")).unwrap();
    }

    /// Runs a script of a pod to its end.
    pub fn run(&self, pod: &str, script: &str) -> Output {
        self.command(pod, script).output().unwrap()
    }

    pub fn log(&self, pod: &str, script: &str) -> String {
        let text = fs::read_to_string(self.home(pod).join(format!("{script}.log")));
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    pub fn wait_for_port(&self, pod: &str, port: u16) {
        let address = format!("{}:{port}", self.address(pod));
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "{address}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// What the NameNodes and JournalNodes say.
    pub fn look(&self, hdfs: &ValidatedHdfs) -> View {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut view = View::default();
        for node in hdfs.nodes(&hdfs.name_nodes) {
            let client = NameNodeClient::new(&format!("{}:9870", self.address(&node.pod)));
            if let Ok(seen) = runtime.block_on(client.look()) {
                view.name_nodes.insert(node.pod, seen);
            }
        }
        let journals = hdfs.journal_nodes.iter();
        for node in journals.flat_map(|role| hdfs.nodes(role)) {
            let address = format!("{}:8480", self.address(&node.pod));
            if let Some(room) = runtime.block_on(volume::room(&address)) {
                view.journals.insert(node.pod, room);
            }
        }
        view
    }

    /// Waits until the NameNodes say what is hoped for. Gives what they say, and how long it took.
    pub fn wait(
        &self,
        hdfs: &ValidatedHdfs,
        what: &str,
        hoped: impl Fn(&View) -> bool,
    ) -> (View, Duration) {
        let begin = Instant::now();
        loop {
            let view = self.look(hdfs);
            if hoped(&view) {
                println!("{what}: {:?}", begin.elapsed());
                return (view, begin.elapsed());
            }
            if begin.elapsed() > LIMIT {
                let logs: Vec<String> = hdfs
                    .roles()
                    .flat_map(|role| hdfs.nodes(role))
                    .map(|node| format!("== {}\n{}", node.pod, self.log(&node.pod, "start")))
                    .collect();
                panic!("{what}: {view:?}\n{}", logs.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Runs `hdfs dfs` as a client does.
    pub fn dfs(&self, arguments: &[&str]) -> Result<String, String> {
        self.dfs_as("hdfs", arguments)
    }

    /// Runs `hdfs dfs` as a client of this name does.
    pub fn dfs_as(&self, user: &str, arguments: &[&str]) -> Result<String, String> {
        let share = self.hadoop.display();
        let conf = self.home("client-0").join("etc");
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx96m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
            ])
            .arg(format!(
                "{}:{share}/common/lib/*:{share}/common/*:{share}/hdfs:{share}/hdfs/*",
                conf.display()
            ))
            .arg("org.apache.hadoop.fs.FsShell")
            .args(arguments)
            .env("HADOOP_USER_NAME", user)
            .env("JAVA_TOOL_OPTIONS", self.java_options());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stdout) + &text(&output.stderr))
        }
    }

    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// The processes that a process has started, and what these have.
fn children(pid: u32) -> Vec<String> {
    let of = |pid: &str| {
        let tasks = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let tasks = tasks.unwrap_or_default();
        tasks
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut all = of(&pid.to_string());
    let mut next = 0;
    while next < all.len() {
        let more = of(&all[next].clone());
        all.extend(more);
        next += 1;
    }
    all
}
