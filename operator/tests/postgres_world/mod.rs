//! The operator beside a real API server, and what a cluster would do: pods that are to be there are made and started, those that
//! are deleted end, and names lead to addresses.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, CustomResourceExt as _, Resource, ResourceExt as _};
use millrace_operator::context::{Context, Images, Settings};
use millrace_operator::controller::reconcile_one;
use millrace_operator::generate::crd_json;
use millrace_operator::postgres::Postgres;
use millrace_operator::postgres::crd::{PostgresCluster, PostgresClusterStatus};
use millrace_operator::postgres::patroni::{API_PORT, PRIMARY, ROLE_LABEL};
use millrace_operator::remote::patroni::{Endpoint, PatroniApi, View};
use millrace_operator::remote::postgres::Login;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::postgres_members::{LIMIT, Members};

/// Where a process finds the file of names that is mounted for it.
pub const HOSTS: &str = "MILLRACE_TEST_HOSTS";
const REVISION: &str = "controller-revision-hash";

/// A cluster of Kubernetes that has the operator and one PostgresCluster in it.
pub struct World {
    client: Client,
    context: Context,
    members: Members,
    hosts: String,
    /// Pods in the order in which they were started.
    pub started: Vec<String>,
}

impl World {
    pub async fn new(members: Members) -> Self {
        let kubeconfig = Kubeconfig::read_from(members.api_server.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let crd = PostgresCluster::crd();
        let (name, crd) = (crd.name_any(), crd_json(&crd).unwrap());
        let apply = PatchParams::apply("tests");
        let made = definitions.patch(&name, &apply, &Patch::Apply(&crd)).await;
        made.unwrap();
        let settings = Settings {
            images: Images::named(str::to_owned),
            namespaces: vec!["ns".into()],
            actions_dir: "/nonexistent".into(),
            build: "1".into(),
            network: None,
        };
        Self {
            context: Context::new(client.clone(), settings),
            client,
            members,
            hosts: std::env::var(HOSTS).unwrap(),
            started: Vec::new(),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), "ns")
    }

    /// Writes the status of an object, as its own controller does.
    async fn tell<K>(&self, name: &str, status: &Value)
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api = self.api::<K>();
        let merge = PatchParams::default();
        let told = api.patch_status(name, &merge, &Patch::Merge(status)).await;
        told.unwrap();
    }

    pub async fn ask(&self, spec: Value) {
        let body = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "PostgresCluster",
            "metadata": {"name": "p"}, "spec": spec});
        let user = PatchParams::apply("user").force();
        let end = Instant::now() + LIMIT;
        // The definition takes a moment to be there.
        while let Err(error) = self
            .api::<PostgresCluster>()
            .patch("p", &user, &Patch::Apply(&body))
            .await
        {
            assert!(Instant::now() < end, "{error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn status(&self) -> PostgresClusterStatus {
        let cluster = self.api::<PostgresCluster>().get("p").await.unwrap();
        cluster.status.unwrap_or_default()
    }

    async fn secret(&self, name: &str) -> Option<Secret> {
        self.api::<Secret>().get_opt(name).await.unwrap()
    }

    async fn entry(&self, secret: &str, key: &str) -> String {
        let secret = self.secret(secret).await.unwrap();
        String::from_utf8(secret.data.unwrap()[key].0.clone()).unwrap()
    }

    /// Lets the operator look until its status is as it should be; meanwhile does what the cluster would do.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&PostgresClusterStatus) -> bool) {
        let end = Instant::now() + 2 * LIMIT;
        loop {
            let cluster = self.api::<PostgresCluster>().get("p").await.unwrap();
            let looked = reconcile_one::<Postgres>(&self.context, &cluster).await;
            assert!(looked.is_ok(), "{looked:?}");
            let (wanted, whole) = self.run().await;
            let status = self.status().await;
            if whole && status.ready_members == Some(wanted) && is_so(&status) {
                return;
            }
            if Instant::now() > end {
                for ordinal in 0..self.members.pods.len() {
                    let tail = self.members.pods[ordinal]
                        .server()
                        .map(|server| server.tail());
                    eprintln!("--- p-{ordinal}\n{}", tail.unwrap_or_default());
                }
                panic!("{what}: {status:#?}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// What the controller of StatefulSets and the kubelet do. Gives how many pods are wanted, and whether all are as they
    /// are to be.
    async fn run(&mut self) -> (i32, bool) {
        let sets = self.api::<StatefulSet>();
        let Some(set) = sets.get_opt("p").await.unwrap() else {
            return (0, false);
        };
        let spec = set.spec.clone().unwrap();
        let wanted = spec.replicas.unwrap();
        let template = json!(spec.template);
        let mut hasher = DefaultHasher::new();
        template.to_string().hash(&mut hasher);
        let revision = format!("{:x}", hasher.finish());
        for ordinal in 0..self
            .members
            .pods
            .len()
            .max(usize::try_from(wanted).unwrap())
        {
            let pod = self
                .api::<Pod>()
                .get_opt(&format!("p-{ordinal}"))
                .await
                .unwrap();
            let is_wanted = i32::try_from(ordinal).unwrap() < wanted;
            match pod {
                Some(_) if !is_wanted => {
                    let pods = self.api::<Pod>();
                    let name = format!("p-{ordinal}");
                    pods.delete(&name, &DeleteParams::default()).await.unwrap();
                    self.end(ordinal).await;
                }
                None if is_wanted => {
                    self.end(ordinal).await;
                    self.begin(ordinal, &template, &revision).await;
                }
                _ => {}
            }
        }
        let view = self.view().await;
        let leader = view.as_ref().and_then(View::leader);
        self.name_primary(leader.map(|leader| leader.pod.as_str()))
            .await;
        let mut ready = 0;
        let mut whole = true;
        for pod in self
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
        {
            let name = pod.name_any();
            let seen = view.as_ref().and_then(|view| view.member(&name));
            let runs = seen.is_some_and(|seen| seen.leads() || seen.follows());
            ready += i32::from(runs);
            whole &= runs && pod.labels().get(REVISION) == Some(&revision);
            let told = if runs { "True" } else { "False" };
            let status = json!({"status": {"conditions": [{"type": "Ready", "status": told}]}});
            self.tell::<Pod>(&name, &status).await;
        }
        let status = json!({"status": {"replicas": wanted, "readyReplicas": ready,
            "observedGeneration": set.metadata.generation, "updateRevision": revision}});
        self.tell::<StatefulSet>("p", &status).await;
        (wanted, whole && ready == wanted)
    }

    /// Ends the process of a pod that is deleted, as the kubelet does.
    async fn end(&mut self, ordinal: usize) {
        let Some(pod) = self.members.pods.get_mut(ordinal) else {
            return;
        };
        if pod.server().is_some_and(|server| !server.has_ended()) {
            pod.terminate().unwrap();
            let end = Instant::now() + LIMIT;
            while !pod.server().unwrap().has_ended() {
                assert!(Instant::now() < end, "p-{ordinal} does not end");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn begin(&mut self, ordinal: usize, template: &Value, revision: &str) {
        if self.members.pods.is_empty() {
            self.members.authorize();
        }
        if ordinal == self.members.pods.len() {
            self.members.place();
        }
        let files = self.api::<ConfigMap>().get("p-files").await.unwrap();
        let mut secrets = Vec::new();
        for name in ["p-certificate", "p-superuser", "p-patroni"] {
            secrets.push(self.secret(name).await.unwrap());
        }
        let secret = |name: &str| {
            let mut found = secrets.iter().filter(|secret| secret.name_any() == name);
            found.next().unwrap().clone()
        };
        self.members.write(ordinal, files, secret);
        let name = format!("p-{ordinal}");
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"],
            "spec": template["spec"]});
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["labels"][REVISION] = json!(revision);
        let claim = json!({"name": "data", "emptyDir": {}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(claim);
        let pod = serde_json::from_value(pod).unwrap();
        let made = self.api::<Pod>().create(&PostParams::default(), &pod).await;
        made.unwrap();
        self.members.start(ordinal);
        self.started.push(name);
    }

    async fn view(&self) -> Option<View> {
        let authorities = String::from_utf8(
            self.secret("p-certificate").await?.data?["ca.crt"]
                .0
                .clone(),
        );
        let password = self.entry("p-patroni", "api").await;
        let endpoints = (0..self.members.pods.len()).map(|ordinal| Endpoint {
            pod: format!("p-{ordinal}"),
            host: format!("p-{ordinal}.p-nodes.ns.svc"),
            address: None,
            port: u16::try_from(API_PORT).unwrap(),
        });
        let api = PatroniApi::new(endpoints.collect(), &authorities.unwrap(), &password);
        api.observe().await.ok()
    }

    /// Lets the name of the Service lead to the pod that it finds.
    async fn name_primary(&self, leader: Option<&str>) {
        let service = self.api::<Service>().get("p-primary").await.unwrap();
        let selector = service.spec.unwrap().selector.unwrap();
        if let Some(role) = selector.get(ROLE_LABEL) {
            assert_eq!(role, PRIMARY);
        }
        let mut hosts = self.members.hosts();
        if let Some(leader) = leader {
            let address = self.members.address(Members::ordinal(leader));
            hosts += &format!("{address} p-primary.ns.svc\n");
        }
        fs::write(&self.hosts, hosts).unwrap();
    }

    /// What a client is shown that logs in by the binding of the role.
    pub async fn query(&self, statement: &str) -> String {
        let login = Login {
            host: self.entry("p-score-binding", "host").await,
            address: None,
            port: 5432,
            user: "score".into(),
            password: self.entry("p-score-binding", "password").await,
            authorities: self.entry("p-score-binding", "ca.crt").await,
        };
        let session = login.connect("scores").await.unwrap();
        let row = session.query_one(statement, &[]).await.unwrap();
        row.get(0)
    }
}
