//! The members of a PostgresCluster as containers of one machine: the files that are built for their pods, the real Patroni
//! and PostgreSQL, and a real API server, in which pods are objects only. Each member has a loopback address of its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use millrace_operator::postgres::files::{CERTIFICATE, FILES, SUPERUSER, VOLUME_AT};
use millrace_operator::postgres::patroni::files::SECRET;
use millrace_operator::postgres::patroni::{API_PORT, REPLICATION_ROLE, scope};
use millrace_operator::postgres::{ValidatedPostgres, build};
use millrace_operator::remote::patroni::{Endpoint, PatroniApi, View};
use millrace_operator::remote::postgres::{Login, PostgresError, Session};
use millrace_testkit::{ApiServer, PostgresPod, own_loopback};
use serde_json::{Value, json};

use crate::postgres_pod::write_as_kubelet;

pub const LIMIT: Duration = Duration::from_secs(120);
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

pub struct Members {
    pub api_server: ApiServer,
    root: PathBuf,
    net: u8,
    token: String,
    pub pods: Vec<PostgresPod>,
}

impl Members {
    /// An API server without anything in it, and no member yet.
    pub fn empty(api_server: ApiServer, root: PathBuf, net: u8) -> Self {
        let members = Self {
            api_server,
            root,
            net,
            token: String::new(),
            pods: Vec::new(),
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}});
        members.apply(&namespace);
        members
    }

    /// The API server with the rights of the members in it, and no member yet.
    pub fn new(
        api_server: ApiServer,
        root: PathBuf,
        net: u8,
        postgres: &ValidatedPostgres,
    ) -> Self {
        let mut members = Self::empty(api_server, root, net);
        let resources = build(postgres).unwrap();
        let account: ServiceAccount = resources.get("p-postgres").unwrap();
        let role: Role = resources.get("p-postgres").unwrap();
        let binding: RoleBinding = resources.get("p-postgres").unwrap();
        for mut object in [json!(account), json!(role), json!(binding)] {
            // Its owner is not there.
            object["metadata"]["ownerReferences"] = Value::Null;
            members.apply(&object);
        }
        members.authorize();
        members
    }

    /// Takes the token that pods have, once their account is there.
    pub fn authorize(&mut self) {
        let token = ["create", "token", "p-postgres", "--duration=2h"];
        self.token = self.kubectl(&token, "").trim().to_owned();
    }

    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.api_server.kubectl();
        command.args(["--namespace", "ns"]).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kubectl {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn apply(&self, object: &Value) {
        self.kubectl(&["apply", "-f", "-"], &object.to_string());
    }

    pub fn address(&self, ordinal: usize) -> IpAddr {
        own_loopback(self.net, u8::try_from(ordinal + 1).unwrap()).into()
    }

    pub fn ordinal(pod: &str) -> usize {
        pod.rsplit_once('-').unwrap().1.parse().unwrap()
    }

    /// A further member, with an empty volume: its pod is made, and what the kubelet mounts.
    pub fn add(&mut self, postgres: &ValidatedPostgres) -> usize {
        let ordinal = self.place();
        self.mount(ordinal, postgres);
        self.make_pod(ordinal, postgres);
        ordinal
    }

    /// A place for a further member, with an empty volume.
    pub fn place(&mut self) -> usize {
        let ordinal = self.pods.len();
        let volumes = [VOLUME_AT, FILES, CERTIFICATE, SUPERUSER, SECRET, ACCOUNT];
        let mut pod = PostgresPod::new(self.root.clone(), &volumes).unwrap();
        pod.show(FILES, "passwd", "/etc/passwd").unwrap();
        pod.show(FILES, "hosts", "/etc/hosts").unwrap();
        pod.set("POD_NAME", &format!("p-{ordinal}"));
        pod.set("KUBERNETES_SERVICE_HOST", "127.0.0.1");
        let port = self.api_server.port().to_string();
        pod.set("KUBERNETES_SERVICE_PORT", &port);
        pod.contain();
        self.pods.push(pod);
        ordinal
    }

    /// What the kubelet mounts.
    pub fn mount(&self, ordinal: usize, postgres: &ValidatedPostgres) {
        let resources = build(postgres).unwrap();
        let files: ConfigMap = resources.get("p-files").unwrap();
        self.write(ordinal, files, |name| resources.get(name).unwrap());
    }

    /// The same, of these objects.
    pub fn write(&self, ordinal: usize, files: ConfigMap, secret: impl Fn(&str) -> Secret) {
        let at = |path: &str| self.pods[ordinal].volume(path).unwrap();
        let address = self.address(ordinal);
        for (name, text) in files.data.unwrap() {
            // Ports cannot be chosen, so that each listens on an address of its own.
            let text = text
                .replace("\"*:5432\"", &format!("\"{address}:5432\""))
                .replace("\"*:8008\"", &format!("\"{address}:{API_PORT}\""));
            fs::write(at(FILES).join(name), text).unwrap();
        }
        fs::write(at(FILES).join("hosts"), self.hosts()).unwrap();
        for (name, path) in [
            ("p-certificate", CERTIFICATE),
            ("p-superuser", SUPERUSER),
            ("p-patroni", SECRET),
        ] {
            for (key, value) in secret(name).data.unwrap() {
                write_as_kubelet(&at(path).join(key), &value.0);
            }
        }
        let authority = fs::read(self.api_server.authority()).unwrap();
        for (name, content) in [
            ("token", self.token.as_bytes()),
            ("ca.crt", &authority),
            ("namespace", b"ns"),
        ] {
            write_as_kubelet(&at(ACCOUNT).join(name), content);
        }
    }

    /// The names of all pods that there may be.
    pub fn hosts(&self) -> String {
        let hosts = (0..7).map(|n| format!("{} p-{n}.p-nodes.ns.svc\n", self.address(n)));
        format!("127.0.0.1 localhost\n{}", hosts.collect::<String>())
    }

    /// The pod as an object: nobody runs it.
    fn make_pod(&self, ordinal: usize, postgres: &ValidatedPostgres) {
        let set: StatefulSet = build(postgres).unwrap().get("p").unwrap();
        let template = json!(set.spec.unwrap().template);
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"],
            "spec": template["spec"]});
        pod["metadata"]["name"] = json!(format!("p-{ordinal}"));
        let claim = json!({"name": "data", "emptyDir": {}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(claim);
        self.apply(&pod);
    }

    pub fn start(&mut self, ordinal: usize) {
        self.pods[ordinal]
            .start(&["/bin/sh", &format!("{FILES}/start.sh")])
            .unwrap();
    }

    /// Ends all processes of a pod at once.
    pub fn kill(&mut self, ordinal: usize) {
        self.pods[ordinal].server().unwrap().kill();
    }

    /// Ends all members; the API server goes on.
    pub fn end(self) -> ApiServer {
        self.api_server
    }

    pub fn log(&self, ordinal: usize) -> String {
        fs::read_to_string(self.pods[ordinal].log()).unwrap_or_default()
    }

    pub fn api(&self, postgres: &ValidatedPostgres) -> PatroniApi {
        let members = (0..self.pods.len()).map(|ordinal| Endpoint {
            pod: format!("p-{ordinal}"),
            host: format!("p-{ordinal}.p-nodes.ns.svc"),
            address: Some(self.address(ordinal)),
            port: u16::try_from(API_PORT).unwrap(),
        });
        PatroniApi::new(
            members.collect(),
            &postgres.certificates.trusted,
            &postgres.patroni.api,
        )
    }

    /// Waits until members say what is looked for.
    pub async fn wait(
        &mut self,
        postgres: &ValidatedPostgres,
        what: &str,
        is_so: impl Fn(&View) -> bool,
    ) -> View {
        let end = Instant::now() + LIMIT;
        loop {
            let seen = self.api(postgres).observe().await;
            if let Ok(view) = &seen
                && is_so(view)
            {
                return view.clone();
            }
            if Instant::now() > end {
                for ordinal in 0..self.pods.len() {
                    let tail = self.pods[ordinal].server().map(|server| server.tail());
                    eprintln!("--- p-{ordinal}\n{}", tail.unwrap_or_default());
                }
                panic!("{what}: {seen:?}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until one leads and so many follow; gives the one that leads.
    pub async fn wait_until_whole(
        &mut self,
        postgres: &ValidatedPostgres,
        followers: usize,
    ) -> String {
        let what = format!("one leads and {followers} follow");
        let view = self.wait(postgres, &what, |view| {
            let follow = view.members.iter().filter(|seen| seen.follows()).count();
            let waited_for = view.members.iter().any(|seen| seen.is_synchronous());
            view.leader().is_some() && follow == followers && (followers == 0 || waited_for)
        });
        view.await.leader().unwrap().pod.clone()
    }

    /// Waits until somebody says once more that it leads, and all the others follow it: who that is.
    pub async fn wait_until_renewed(&mut self, postgres: &ValidatedPostgres) -> String {
        let end = Instant::now() + LIMIT;
        let mut before = None;
        loop {
            let whole = self.wait_until_whole(postgres, self.pods.len() - 1).await;
            let now = self.lease(postgres);
            before = before.or_else(|| now.clone());
            let leads = now.as_ref().is_some_and(|(leader, _)| *leader == whole);
            if leads && now != before {
                return whole;
            }
            assert!(Instant::now() < end, "{before:?} is not renewed: {now:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Who said last that it leads, and when, as it wrote it; nothing while Kubernetes does not answer.
    fn lease(&self, postgres: &ValidatedPostgres) -> Option<(String, String)> {
        let name = format!("{}-leader", scope(&postgres.owner.name));
        let told = "-o=jsonpath={.metadata.annotations.leader} {.metadata.annotations.renewTime}";
        let mut command = self.api_server.kubectl();
        command.args(["--namespace", "ns", "get", "configmap", &name, told]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (leader, renewed) = text.split_once(' ')?;
        output
            .status
            .success()
            .then(|| (leader.to_owned(), renewed.to_owned()))
    }

    /// The pods that a Service of the cluster finds: their names. One that does not answer is not ready, whatever its
    /// labels still say.
    pub fn behind(&self, service: &str, postgres: &ValidatedPostgres) -> Vec<String> {
        let service: Service = build(postgres).unwrap().get(service).unwrap();
        let selector = service.spec.unwrap().selector.unwrap();
        let selector: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let names = ["get", "pods", "-o", "name", "-l", &selector.join(",")];
        let names = self.kubectl(&names, "");
        let names = names
            .lines()
            .map(|name| name.trim_start_matches("pod/").to_owned());
        let answers = |pod: &String| {
            let address = (self.address(Self::ordinal(pod)), 8008);
            TcpStream::connect(address).is_ok()
        };
        names.filter(answers).collect()
    }

    pub fn login(
        &self,
        postgres: &ValidatedPostgres,
        ordinal: usize,
        (user, password): (&str, &str),
    ) -> Login {
        Login {
            host: postgres.host(),
            address: Some(self.address(ordinal)),
            port: 5432,
            user: user.into(),
            password: password.into(),
            authorities: postgres.certificates.trusted.clone(),
        }
    }

    pub fn superuser(&self, postgres: &ValidatedPostgres, ordinal: usize) -> Login {
        self.login(postgres, ordinal, ("postgres", &postgres.superuser))
    }

    /// How a role of the spec logs in.
    pub fn as_role(&self, postgres: &ValidatedPostgres, ordinal: usize, role: &str) -> Login {
        let mut roles = postgres.roles.iter();
        let found = roles.find(|one| one.role.name == role).unwrap();
        let password = &found.password.as_ref().unwrap().text;
        self.login(postgres, ordinal, (role, password))
    }

    /// Whether who follows the log gets into a database of users.
    pub async fn lets_replication_in(
        &self,
        postgres: &ValidatedPostgres,
        ordinal: usize,
        database: &str,
    ) -> Result<Session, PostgresError> {
        let password = postgres.patroni.replication.as_str();
        let login = self.login(postgres, ordinal, (REPLICATION_ROLE, password));
        login.connect(database).await
    }
}
