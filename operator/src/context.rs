//! What every reconciler is given.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::changes::Changes;
use crate::controller::References;
use crate::made::Made;
use crate::metrics::Metrics;
use crate::network::NetworkSettings;
use crate::reconcile::{Cache, key};
use crate::status::{Conditioned, ConditionedStatus};

/// The field manager of everything that the operator writes, and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "millrace-operator";

/// The field manager that pauses the parts of a Platform, which has nothing else.
pub const PAUSER: &str = "millrace-operator-pause";

/// Container images that are used where a resource names none.
#[derive(Clone, Debug)]
pub struct Images {
    /// Apache Kafka, in the layout of apache/kafka.
    pub kafka: String,
    /// Apache ZooKeeper, in the layout of the upstream image.
    pub zookeeper: String,
    /// HDFS, in the layout of apache/hadoop.
    pub hadoop: String,
    /// Druid, in the layout of apache/druid.
    pub druid: String,
    /// PostgreSQL, in the layout of Debian's package or of the upstream image.
    pub postgres: String,
    /// MongoDB, in the layout of the upstream image.
    pub mongodb: String,
    /// A document store of one process that speaks MongoDB's wire protocol.
    pub mongo_wire: String,
    /// The jobs, `millrace-stream` and `millrace-batch`.
    pub stream: String,
    /// The embedded OpenWhisk, `millrace-whisk`.
    pub whisk: String,
    /// The job score on several machines, `millrace-ballista`.
    pub ballista: String,
}

impl Images {
    /// All of them, by the names that charts, flags and variables have for them.
    ///
    /// # Errors
    /// The first that `image` gives.
    pub fn each<E>(mut image: impl FnMut(&'static str) -> Result<String, E>) -> Result<Self, E> {
        Ok(Self {
            kafka: image("kafka")?,
            zookeeper: image("zookeeper")?,
            hadoop: image("hadoop")?,
            druid: image("druid")?,
            postgres: image("postgres")?,
            mongodb: image("mongodb")?,
            mongo_wire: image("mongo-wire")?,
            stream: image("stream")?,
            whisk: image("whisk")?,
            ballista: image("ballista")?,
        })
    }

    /// All of them, by a rule.
    #[must_use]
    pub fn named(image: impl Fn(&'static str) -> String) -> Self {
        let made = Self::each(|name| Ok::<_, std::convert::Infallible>(image(name)));
        match made {
            Ok(images) => images,
            Err(never) => match never {},
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> [&str; 10] {
        [
            &self.kafka,
            &self.zookeeper,
            &self.hadoop,
            &self.druid,
            &self.postgres,
            &self.mongodb,
            &self.mongo_wire,
            &self.stream,
            &self.whisk,
            &self.ballista,
        ]
    }
}

/// The variable by which the operator is told an image.
#[must_use]
pub fn image_variable(name: &str) -> String {
    format!("MILLRACE_IMAGE_{}", name.replace('-', "_").to_uppercase())
}

/// How the operator was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Images by default.
    pub images: Images,
    /// The namespaces that are watched; all of them when empty.
    pub namespaces: Vec<String>,
    /// Where the zips of the actions are that come with the operator: `NAME.zip`.
    pub actions_dir: PathBuf,
    /// What tells this operator from any other build or configuration of it.
    pub build: String,
    /// How NetworkPolicies are made; none are when absent.
    pub network: Option<NetworkSettings>,
}

/// After so many events those before are forgotten.
const EVENTS: usize = 64;

struct Remembering {
    recorder: Recorder,
    reporter: Reporter,
    sent: usize,
}

/// What every reconciler is given: the way to Kubernetes, events, metrics and settings.
pub struct Context {
    /// The client of Kubernetes.
    pub client: Client,
    /// How the operator was started.
    pub settings: Settings,
    /// What the operator counts.
    pub metrics: Metrics,
    /// What was last applied.
    pub cache: Cache,
    /// What its watches show of what it has made.
    pub made: Made,
    /// Changes of resources that are to be told.
    pub changes: Changes,
    /// Who refers to what.
    pub references: Arc<References>,
    recorder: Mutex<Remembering>,
}

impl Context {
    /// A context for this client.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let reporter = Reporter {
            controller: MANAGER.into(),
            instance: std::env::var("POD_NAME").ok(),
        };
        Self {
            recorder: Mutex::new(Remembering {
                recorder: Recorder::new(client.clone(), reporter.clone()),
                reporter,
                sent: 0,
            }),
            metrics: Metrics::default(),
            cache: Cache::default(),
            made: Made::default(),
            changes: Changes::default(),
            references: Arc::default(),
            client,
            settings,
        }
    }

    /// The objects of one kind in a namespace.
    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The objects of one kind in a scope of [`Context::scopes`].
    pub fn scoped<K>(&self, scope: Option<&str>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match scope {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// What is watched: one entry for each namespace, or one `None` for all of them.
    #[must_use]
    pub fn scopes(&self) -> Vec<Option<String>> {
        if self.settings.namespaces.is_empty() {
            vec![None]
        } else {
            self.settings.namespaces.iter().cloned().map(Some).collect()
        }
    }

    /// Sends an event about an object. That it cannot be sent is logged and never fails a reconcile.
    pub async fn event(
        &self,
        regarding: &ObjectReference,
        warning: bool,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_: if warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: reason.to_owned(),
            // Kubernetes refuses notes of more than 1,024 bytes.
            note: Some(cut(note, 1000)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder().publish(&event, regarding).await {
            tracing::warn!(%error, reason, "an event could not be sent");
        }
    }

    // A recorder remembers all events of six minutes, which it joins to series, and goes through all of them at each:
    // with thousands of resources made at once that is most of what the operator would remember.
    fn recorder(&self) -> Recorder {
        let mut remembering = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if remembering.sent == EVENTS {
            remembering.recorder = Recorder::new(self.client.clone(), remembering.reporter.clone());
            remembering.sent = 0;
        }
        remembering.sent += 1;
        remembering.recorder.clone()
    }

    /// Writes the status of an object, unless it is what the object already says. Returns whether it wrote.
    ///
    /// # Errors
    /// The answer of Kubernetes; that the object is gone by now is not an error.
    pub async fn write_status<K>(&self, object: &K, status: &K::Status) -> Result<bool, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Conditioned
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let mut status = status.clone();
        // In a fixed order, so that an unchanged status is equal however it came about.
        status
            .conditions_mut()
            .sort_by(|a, b| a.type_.cmp(&b.type_));
        let name = object.meta().name.clone().unwrap_or_default();
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        // Written or not: after a start of the operator it has been told by nobody yet.
        self.metrics
            .tell_status(&K::kind(&()), namespace, &name, &json!(status));
        if object.status_ref() == Some(&status) {
            return Ok(false);
        }
        let api: Api<K> = self.namespaced(namespace);
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // With the uid, an object that was deleted and made anew does not get the status of the former one.
            "metadata": {"name": name, "uid": object.meta().uid},
            "status": status,
        });
        match api
            .patch_status(
                &name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(&body),
            )
            .await
        {
            Ok(answer) => {
                if let Some(version) = resource_version(answer.meta()) {
                    let namespace = answer.meta().namespace.as_deref().unwrap_or_default();
                    let owner = key(&K::kind(&()), namespace, &name);
                    self.cache.wrote_status(&owner, version);
                }
                self.metrics
                    .count_write(&format!("{}/status", K::kind(&())));
                Ok(true)
            }
            Err(error)
                if is_status(&error, 404)
                    || is_status(&error, 409) && object.meta().deletion_timestamp.is_some() =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The resourceVersion of an object as a number: they grow with time.
#[must_use]
pub fn resource_version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref()?.parse().ok()
}

/// Whether Kubernetes answered with this HTTP status.
#[must_use]
pub fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

fn cut(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("äää", 3), "ä");
        assert_eq!(cut("abc", 1000), "abc");
    }
}
