//! A client, a namespace, and short ways to say what a check needs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Status};
use kube::{Client, Config, Resource, ResourceExt};
use millrace_operator::context::{Context, Images, Settings};
use millrace_operator::controller::{Component, reconcile_one};
use millrace_operator::generate::crd_json;
use millrace_operator::network::NetworkSettings;
use millrace_operator::registry::registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub struct World {
    client: Client,
    kubeconfig: PathBuf,
    config: Config,
}

impl World {
    pub async fn new(kubeconfig: &Path) -> Self {
        let path = kubeconfig.to_owned();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Self {
            kubeconfig: path,
            client: Client::try_from(config.clone()).unwrap(),
            config,
        }
    }

    pub async fn install_definitions(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for component in registry() {
            let crd = crd_json(&(component.crd)()).unwrap();
            let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
            api.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(&crd))
                .await
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for component in registry() {
            let name = (component.crd)().name_any();
            eventually(&name, || async {
                let status = api.get(&name).await.unwrap().status?;
                status
                    .conditions?
                    .into_iter()
                    .find(|c| c.type_ == "Established" && c.status == "True")
                    .map(|_| ())
            })
            .await;
        }
    }

    pub async fn scene(&self, namespace: &str) -> Scene {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &object).await.unwrap();
        Scene {
            context: Arc::new(Context::new(self.client.clone(), settings(namespace))),
            namespace: namespace.to_owned(),
            kubeconfig: self.kubeconfig.clone(),
            config: self.config.clone(),
        }
    }
}

pub fn settings(namespace: &str) -> Settings {
    Settings {
        images: Images::named(|name| format!("{name}:1")),
        namespaces: vec![namespace.to_owned()],
        actions_dir: "/nonexistent".into(),
        build: "1".into(),
        network: Some(NetworkSettings {
            operator_namespace: "millrace-system".into(),
            metrics_from: BTreeMap::new(),
        }),
    }
}

/// One check's own namespace and operator.
#[derive(Clone)]
pub struct Scene {
    pub context: Arc<Context>,
    pub namespace: String,
    pub kubeconfig: PathBuf,
    /// How an administrator gets to the API server.
    pub config: Config,
}

impl Scene {
    /// The same place after the operator was replaced by another build, which uses other images.
    pub fn upgraded(&self, build: &str) -> Self {
        let mut settings = settings(&self.namespace);
        settings.build = build.to_owned();
        settings.images.kafka = format!("kafka:{build}");
        settings.images.stream = format!("stream:{build}");
        Self {
            context: Arc::new(Context::new(self.context.client.clone(), settings)),
            namespace: self.namespace.clone(),
            kubeconfig: self.kubeconfig.clone(),
            config: self.config.clone(),
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.context.namespaced(&self.namespace)
    }

    /// Applies a custom resource as a user does.
    pub async fn apply(
        &self,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<DynamicObject, String> {
        let applied = self.try_apply(kind, name, spec).await;
        applied.map_err(|status| status.message)
    }

    /// Applies a custom resource as a user does. Gives the whole answer when it is refused.
    pub async fn try_apply(
        &self,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<DynamicObject, Box<Status>> {
        let kind = GroupVersionKind::gvk("millrace.dev", "v1alpha1", kind);
        let component = registry()
            .into_iter()
            .find(|c| (c.crd)().spec.names.kind == kind.kind)
            .unwrap();
        let resource =
            ApiResource::from_gvk_with_plural(&kind, &(component.crd)().spec.names.plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.context.client.clone(), &self.namespace, &resource);
        let body = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": kind.kind, "metadata": {"name": name}, "spec": spec});
        api.patch(
            name,
            &PatchParams::apply("user").force(),
            &Patch::Apply(&body),
        )
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) => status,
            other => panic!("{other}"),
        })
    }

    /// Applies a resource and reconciles it once. Says whether that went well.
    pub async fn make<C: Component>(&self, name: &str, spec: Value) -> bool
    where
        C::Kind: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let kind = <C::Kind as Resource>::kind(&()).into_owned();
        self.apply(&kind, name, spec).await.unwrap();
        self.look::<C>(name).await
    }

    /// Reconciles a resource once, as it is now. Says whether that went well.
    pub async fn look<C: Component>(&self, name: &str) -> bool {
        let object = self.api::<C::Kind>().get(name).await.unwrap();
        reconcile_one::<C>(&self.context, &object).await.is_ok()
    }

    /// A condition of a resource: status, reason, message.
    pub async fn condition<K>(&self, name: &str, type_: &str) -> (String, String, String)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Serialize,
    {
        let body = serde_json::to_value(self.api::<K>().get(name).await.unwrap()).unwrap();
        let condition = body["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == type_)
            .cloned();
        let condition =
            condition.unwrap_or_else(|| panic!("{name} has no condition {type_}: {body:#}"));
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    pub async fn exists<K>(&self, name: &str) -> bool
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let found = self.api::<K>().get_opt(name).await.unwrap();
        found.is_some_and(|object| object.meta().deletion_timestamp.is_none())
    }

    /// Sets the status of an object as its own controller would.
    pub async fn set_status<K>(&self, name: &str, status: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let patch = json!({"status": status});
        self.api::<K>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// Calls `millrace` in this namespace: its exit code, output and complaints.
    pub fn millrace(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            // Whoever runs the tests may have a platform of their own.
            .env_remove("MILLRACE_PLATFORM")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// How often the operator has written each kind so far.
    pub fn written(&self) -> Vec<String> {
        let text = self.context.metrics.text();
        let lines = text.lines().map(str::to_owned);
        lines
            .filter(|line| line.starts_with("millrace_operator_writes_total{"))
            .collect()
    }

    /// Everything that the operator has written so far.
    pub fn writes(&self) -> u64 {
        let count = |line: &String| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        self.written().iter().map(count).sum()
    }
}

/// Waits for something, 20 seconds at most.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    for _ in 0..200 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come");
}
