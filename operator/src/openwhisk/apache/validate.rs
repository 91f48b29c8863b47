//! From what was asked for to what can be built. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;

use super::store::{self, Mongo};
use super::{CONTROLLER_IMAGE, INVOKER_IMAGE, runtimes};
use crate::kafka;
use crate::mongo::{JOBS, user_binding_name};
use crate::openwhisk::crd::apache::{Apache, ApacheKafka, ApacheMongo, Throttles};
use crate::openwhisk::crd::{Mode, OpenWhisk};
use crate::openwhisk::validate::no_audit;
use crate::reconcile::{Error, Owner};
use crate::remote::kafka::Access;
use crate::remote::user;
use crate::types::{FreeForm, Operation, PodResources};

const MEBIBYTE: u64 = 1024 * 1024;
/// Memory of a controller where nobody says; measured: 231 to 271 MiB with a heap of 256 MiB.
const CONTROLLER_MEMORY: &str = "768Mi";
/// Memory of an invoker where nobody says.
const INVOKER_MEMORY: &str = "640Mi";
/// What the JVM needs beside its heap: classes, compiled code, stacks, buffers of the network.
const BESIDE_HEAP: u64 = 256;
/// The smallest memory that a server starts with, in mebibytes.
const LEAST: u64 = 384;

/// What was read of Kubernetes before anything is decided.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The connection details of the Kafka.
    pub kafka: Option<Secret>,
    /// The connection details of the MongoDB.
    pub mongo: Option<Secret>,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The container image.
    pub image: String,
    /// How many run.
    pub replicas: i32,
    /// Memory and CPU.
    pub resources: PodResources,
    /// `-Xmx`, in mebibytes.
    pub heap: u64,
    /// What is laid over the pods, with the field where it stands, in this order.
    pub pod_overrides: Vec<(&'static str, FreeForm)>,
}

/// The Kafka by which servers talk to each other.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// How it is reached.
    pub access: Access,
    /// Copies of each topic.
    pub replication_factor: i32,
}

/// An OpenWhisk that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedApache {
    /// Whose objects they are.
    pub owner: Owner,
    /// The OpenWhisk namespace of the actions.
    pub namespace: String,
    /// The credentials, `uuid:key`.
    pub auth: String,
    /// Whether the operator makes the Secret with the credentials.
    pub makes_auth: bool,
    /// The controller.
    pub controller: Server,
    /// The invokers; none in mode `lean`.
    pub invokers: Option<Server>,
    /// Where everything is kept.
    pub mongo: Mongo,
    /// None in mode `lean`.
    pub kafka: Option<Kafka>,
    /// Memory of all pods of actions of one invoker, in mebibytes.
    pub action_mebibytes: u64,
    /// How much a namespace may do.
    pub throttles: Throttles,
    /// The runtimes manifest.
    pub runtimes: String,
    /// Settings in the place of computed ones.
    pub config: BTreeMap<String, String>,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedApache {
    /// Whether the controller is the invoker too.
    #[must_use]
    pub fn is_lean(&self) -> bool {
        self.invokers.is_none()
    }

    /// The name of the Service, which is that of the embedded server.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.owner.name, self.owner.namespace)
    }

    /// Address of the REST API inside Kubernetes.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}:{}", self.host(), crate::openwhisk::API_PORT)
    }
}

/// The Secret with the connection details of the Kafka, and the field that names it.
#[must_use]
pub fn kafka_binding(kafka: &ApacheKafka) -> (String, String, &'static str) {
    match (&kafka.cluster, &kafka.user, &kafka.binding_secret) {
        (Some(_), Some(user), _) => (
            user::binding_name(user),
            user.clone(),
            "spec.apache.kafka.user",
        ),
        (Some(cluster), None, _) => (
            kafka::binding_name(cluster),
            cluster.clone(),
            "spec.apache.kafka.cluster",
        ),
        (None, _, secret) => {
            let name = secret.clone().unwrap_or_default();
            (name.clone(), name, "spec.apache.kafka.bindingSecret")
        }
    }
}

/// The Secret with the connection details of the MongoDB, and the field that names it.
#[must_use]
pub fn mongo_binding(mongo: &ApacheMongo) -> (String, String, &'static str) {
    match (&mongo.cluster, &mongo.binding_secret) {
        (Some(cluster), _) => {
            let user = mongo.user.as_deref();
            let field = match user {
                Some(_) => "spec.apache.mongo.user",
                None => "spec.apache.mongo.cluster",
            };
            let shown = user.unwrap_or(cluster).to_owned();
            (
                user_binding_name(cluster, user.unwrap_or(JOBS)),
                shown,
                field,
            )
        }
        (None, secret) => {
            let name = secret.clone().unwrap_or_default();
            (name.clone(), name, "spec.apache.mongo.bindingSecret")
        }
    }
}

/// Checks an OpenWhisk of Apache and computes what follows from its spec. `auth` are the credentials, and whether the operator
/// makes their Secret; `embedded` is the image of the embedded server.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    whisk: &OpenWhisk,
    found: &Found,
    (auth, makes_auth): (String, bool),
    embedded: &str,
) -> Result<ValidatedApache, Error> {
    let spec = &whisk.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(whisk)?
    };
    no_audit(whisk)?;
    let lean = spec.mode == Mode::Lean;
    let apache = spec.apache.as_ref().ok_or_else(|| {
        Invalid::new(
            "spec.apache",
            "absent",
            "the servers of Apache OpenWhisk keep everything in a MongoDB",
            "add spec.apache.mongo, and for mode apache spec.apache.kafka",
        )
    })?;
    let (name, shown, field) = mongo_binding(&apache.mongo);
    let database = apache.mongo.database.as_deref();
    let mongo = Mongo::read(&name, found.mongo.as_ref(), field, database)
        .map_err(|invalid| missing("MongoMissing", invalid, shown))?;
    Ok(ValidatedApache {
        namespace: spec.namespace.clone(),
        auth,
        makes_auth,
        controller: Server {
            image: apache
                .controller
                .image
                .clone()
                .unwrap_or_else(|| CONTROLLER_IMAGE.to_owned()),
            replicas: 1,
            pod_overrides: vec![
                ("spec.podOverrides", spec.operation.pod_overrides.clone()),
                (
                    "spec.apache.controller.podOverrides",
                    apache.controller.pod_overrides.clone(),
                ),
            ],
            ..server(
                "spec.apache.controller.resources.memory",
                apache.controller.resources.as_ref(),
                CONTROLLER_MEMORY,
            )?
        },
        invokers: if lean {
            None
        } else {
            Some(invokers(whisk, apache)?)
        },
        kafka: if lean {
            None
        } else {
            Some(kafka_of(apache, found)?)
        },
        mongo,
        action_mebibytes: apache.invokers.action_memory.bytes().unwrap_or(0) / MEBIBYTE,
        throttles: apache.throttles.clone(),
        runtimes: runtimes::manifest(&apache.runtimes, embedded)?,
        config: apache.config.clone(),
        operation: spec.operation.clone(),
        owner,
    })
}

fn invokers(whisk: &OpenWhisk, apache: &Apache) -> Result<Server, Invalid> {
    let asked = &apache.invokers;
    Ok(Server {
        image: asked
            .image
            .clone()
            .unwrap_or_else(|| INVOKER_IMAGE.to_owned()),
        replicas: asked.replicas,
        pod_overrides: vec![
            (
                "spec.podOverrides",
                whisk.spec.operation.pod_overrides.clone(),
            ),
            (
                "spec.apache.invokers.podOverrides",
                asked.pod_overrides.clone(),
            ),
        ],
        ..server(
            "spec.apache.invokers.resources.memory",
            asked.resources.as_ref(),
            INVOKER_MEMORY,
        )?
    })
}

fn kafka_of(apache: &Apache, found: &Found) -> Result<Kafka, Error> {
    let asked = apache.kafka.as_ref().ok_or_else(|| {
        Invalid::new(
            "spec.apache.kafka",
            "absent",
            "in mode apache controller and invokers talk to each other by Kafka",
            "add spec.apache.kafka with the cluster or its bindingSecret, or take mode lean",
        )
    })?;
    let (name, shown, field) = kafka_binding(asked);
    Ok(Kafka {
        access: store::kafka(&name, found.kafka.as_ref(), field)
            .map_err(|invalid| missing("KafkaMissing", invalid, shown))?,
        replication_factor: asked.replication_factor,
    })
}

/// Told with what the field says: the name of the Secret follows from it.
fn missing(reason: &'static str, invalid: Invalid, shown: String) -> Error {
    let problem = if invalid.value == shown {
        invalid.problem
    } else {
        format!("Secret {}: {}", invalid.value, invalid.problem)
    };
    Error::Missing {
        reason,
        invalid: Invalid::new(invalid.field, shown, problem, invalid.cure),
    }
}

/// Memory, and the heap that follows from it.
fn server(field: &str, asked: Option<&PodResources>, memory: &str) -> Result<Server, Invalid> {
    let memory = asked
        .and_then(|asked| asked.memory.clone())
        .unwrap_or_else(|| memory.into());
    let mebibytes = memory.bytes().unwrap_or(0) / MEBIBYTE;
    if mebibytes < LEAST {
        return Err(Invalid::new(
            field,
            &memory.0,
            "the server does not start with so little",
            format!("give at least {LEAST}Mi"),
        ));
    }
    Ok(Server {
        image: String::new(),
        replicas: 1,
        heap: mebibytes - BESIDE_HEAP.min(mebibytes / 2),
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.and_then(|asked| asked.cpu.clone()),
        },
        pod_overrides: Vec::new(),
    })
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(super) mod tests;
