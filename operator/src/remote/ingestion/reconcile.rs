//! The reconciler of DruidIngestion.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ApiResource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;

use super::change::{IngestionChange, WantedIngestion};
use super::reindex::{follow, kinds, under_way};
use super::remote::{IngestionError, RemoteIngestion};
use super::resolve;
use super::status::{Seen, seen};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Failure, Reconciled, affected};
use crate::ingestion::crd::{DruidIngestion, DruidIngestionStatus};
use crate::rbac::Rule;
use crate::reconcile::{self, Preparation};
use crate::remote::druid::{DruidClient, DruidError};
use crate::remote::pipeline::{Remote as _, converge, plan};
use crate::remote::release::{self, Lives};
use crate::remote::resident::{self, KubernetesError, LOOK, Resident};
use crate::topic::crd::{DeletionPolicy, KafkaTopic};
use crate::types::GROUP;
use crate::user::crd::KafkaUser;

/// Stands while the supervisor is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/druid-ingestion";

impl Resident for DruidIngestion {
    /// A Druid is known by its binding.
    type Home = Secret;
    const WHAT: &'static str = "supervisor";
    const EVENT: &'static str = "Supervisor";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.dataSource";
    const WAITS: &'static str = "WaitingForDruid";

    fn place(&self) -> Cow<'_, str> {
        self.spec.binding.as_str().into()
    }

    fn name_there(&self) -> &str {
        self.data_source()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut DruidIngestionStatus, name: &str) {
        status.data_source = Some(name.to_owned());
    }

    fn disown(status: &mut DruidIngestionStatus) {
        *status = DruidIngestionStatus {
            conditions: std::mem::take(&mut status.conditions),
            observed_generation: status.observed_generation,
            data_source: status.data_source.take(),
            ..DruidIngestionStatus::default()
        };
    }
}

/// What can go wrong with an ingestion.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Kubernetes answered with an error.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// What is asked for cannot be had, and nothing runs in its place.
    #[error("{0}")]
    Refused(Invalid),
    /// Druid cannot be asked, or failed.
    #[error(transparent)]
    Druid(#[from] IngestionError),
    /// The load of `spec.reindex` could not be looked after.
    #[error(transparent)]
    Reindex(#[from] reconcile::Error),
    /// The supervisor cannot be ended yet.
    #[error("the supervisor cannot be ended: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// Why not.
        source: DruidError,
    },
}

impl From<DruidError> for Trouble {
    fn from(error: DruidError) -> Self {
        Self::Druid(error.into())
    }
}

impl Failure for Trouble {
    fn reason(&self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "KubernetesFailed",
            Self::Refused(_) => "Refused",
            Self::Druid(IngestionError::Druid(DruidError::Unreachable { .. })) => {
                "DruidUnreachable"
            }
            Self::Druid(_) => "DruidFailed",
            Self::Reindex(error) => error.reason(),
            Self::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // Records that can be read may come, or a Kafka that answers.
            Self::Refused(_) => resident::RESYNC,
            Self::Kubernetes(_) | Self::Removal { .. } => Duration::from_secs(3),
            Self::Druid(_) => Duration::from_secs(10),
            Self::Reindex(error) => error.retry_after(),
        }
    }

    fn unavailable(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// The component behind DruidIngestion.
#[derive(Debug)]
pub struct Ingestions;

impl Component for Ingestions {
    type Kind = DruidIngestion;
    type Error = Trouble;
    const NAME: &'static str = "druidingestion";
    const HANDLES_DELETION: bool = true;

    fn owned() -> Vec<ApiResource> {
        kinds()
    }

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("druidingestions", &kinds());
        rules.push(Rule::looks_at_pods());
        rules.push(Rule::new(
            GROUP,
            &["druidingestions"],
            &["patch"],
            "Label a resource with what it claims inside a component, and hold its deletion until that is gone.",
        ));
        rules.push(Rule::new(
            GROUP,
            &["kafkatopics", "kafkausers"],
            &["get", "list", "watch"],
            "Read what is referred to.",
        ));
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get"],
            "Read the connection details of a Druid, and of the Kafka that it reads from.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let store = controller.store();
        let topics = context.scoped::<DeserializeGuard<KafkaTopic>>(scope);
        controller.watches(topics, watcher::Config::default(), move |topic| {
            let name = topic.name_any();
            affected(
                &store,
                topic.namespace().as_deref(),
                |ingestion: &DruidIngestion| ingestion.spec.topic == name,
            )
        })
    }

    async fn prepare(context: &Context, object: &DruidIngestion) -> Result<Preparation, Trouble> {
        if let Some(rival) = resident::rival(context, object).await? {
            return Ok(Preparation::refuses(rival));
        }
        let (client, wanted) = match look(context, object).await? {
            Looked::Ready(client, wanted) => (client, wanted),
            Looked::Waits(waiting) => return Ok(Preparation::waits(waiting.to_string())),
            Looked::Wrong(invalid) => return Ok(Preparation::refuses(invalid.to_string())),
        };
        let remote = RemoteIngestion {
            client: &client,
            wanted: &wanted,
        };
        let unseen = |why: &dyn std::fmt::Display| {
            Preparation::unseen(format!("Druid cannot be asked from here: {why}"))
        };
        Ok(match tokio::time::timeout(LOOK, plan(&remote)).await {
            Ok(Ok(plan)) => plan.into(),
            Ok(Err(error)) => unseen(&error),
            Err(_) => unseen(&format_args!("no answer within {} s", LOOK.as_secs())),
        })
    }

    async fn reconcile(
        context: &Context,
        object: &DruidIngestion,
    ) -> Result<Reconciled<DruidIngestionStatus>, Trouble> {
        if object.meta().deletion_timestamp.is_some() {
            return delete(context, object).await;
        }
        let status = match resident::claim(context, object, &[]).await? {
            ControlFlow::Continue(status) => status,
            ControlFlow::Break(settled) => return Ok(settled),
        };
        match look(context, object).await? {
            Looked::Ready(client, wanted) => {
                bring_about(context, object, status, &client, &wanted).await
            }
            Looked::Waits(waiting) => Ok(resident::wait_for_home(object, status, &waiting)),
            Looked::Wrong(invalid) => Err(Trouble::Refused(invalid)),
        }
    }
}

/// What an ingestion refers to.
enum Looked {
    Ready(DruidClient, Box<WantedIngestion>),
    /// It may come.
    Waits(Invalid),
    /// It is there, and wrong.
    Wrong(Invalid),
}

async fn look(context: &Context, object: &DruidIngestion) -> Result<Looked, KubernetesError> {
    let (namespace, spec) = (object.namespace().unwrap_or_default(), &object.spec);
    let secrets = context.namespaced::<Secret>(&namespace);
    let topic = context
        .namespaced::<KafkaTopic>(&namespace)
        .get_opt(&spec.topic)
        .await
        .map_err(KubernetesError::doing("read the KafkaTopic"))?;
    let Some(topic) = topic else {
        return Ok(Looked::Waits(Invalid::new(
            "spec.topic",
            &spec.topic,
            "there is no KafkaTopic of that name in the namespace",
            "create it, or name one that exists",
        )));
    };
    let druid = secret(&secrets, &spec.binding, "read the binding of the Druid").await?;
    let client = match resolve::client(&spec.binding, druid.as_ref()) {
        Ok(client) => client,
        Err(waiting) => return Ok(Looked::Waits(waiting)),
    };
    let user = match &spec.kafka_user {
        None => None,
        Some(name) => {
            let users = context.namespaced::<KafkaUser>(&namespace);
            let user = users.get_opt(name).await;
            let user = user.map_err(KubernetesError::doing("read the KafkaUser"))?;
            if user.is_none() {
                return Ok(Looked::Waits(Invalid::new(
                    "spec.kafkaUser",
                    name,
                    "there is no KafkaUser of that name in the namespace",
                    "create it, or name one that exists",
                )));
            }
            user
        }
    };
    let kafka = resolve::kafka_secret(object, &topic);
    let kafka = secret(&secrets, &kafka, "read the binding of the Kafka").await?;
    if kafka.is_none() {
        let (field, value, problem) = match &spec.kafka_user {
            Some(user) => ("spec.kafkaUser", user, "it has no Secret yet"),
            None => ("spec.topic", &spec.topic, "its Kafka has no binding yet"),
        };
        return Ok(Looked::Waits(Invalid::new(
            field,
            value,
            problem,
            "nothing to do: this resource follows as soon as it has",
        )));
    }
    let found = resolve::Found {
        topic,
        user,
        kafka,
        druid,
    };
    Ok(match resolve::wanted(object, &found) {
        Ok(wanted) => Looked::Ready(client, Box::new(wanted)),
        Err(invalid) => Looked::Wrong(invalid),
    })
}

async fn secret(
    secrets: &kube::Api<Secret>,
    name: &str,
    doing: &'static str,
) -> Result<Option<Secret>, KubernetesError> {
    let found = secrets.get_opt(name).await;
    found.map_err(KubernetesError::doing(doing))
}

async fn bring_about(
    context: &Context,
    object: &DruidIngestion,
    status: DruidIngestionStatus,
    client: &DruidClient,
    wanted: &WantedIngestion,
) -> Result<Reconciled<DruidIngestionStatus>, Trouble> {
    let remote = RemoteIngestion { client, wanted };
    let (observed, made, mut refused) = match converge(&remote).await {
        Ok(outcome) => (outcome.observed, outcome.made, outcome.refused),
        Err(IngestionError::Trial(problem)) => {
            let cure = "correct the specification, or what is in the topic";
            let refused = |problem| Invalid::new("spec", &wanted.name, problem, cure);
            let observed = remote.observe().await?;
            if observed.supervisor.is_none() {
                return Err(Trouble::Refused(refused(problem)));
            }
            let told = format!("{problem}; the last good specification goes on");
            (observed, Vec::new(), vec![refused(told)])
        }
        Err(error) => return Err(error.into()),
    };
    for change in &made {
        let reason = match change {
            IngestionChange::Start { .. } => "SupervisorStarted",
            _ => "SupervisorChanged",
        };
        resident::tell(context, object, reason, &change.to_string()).await;
    }
    // Columns that Druid has refused are not loaded.
    let good = refused.is_empty().then_some(&wanted.supervisor);
    let (load, wrong) = follow(context, object, good).await?;
    refused.extend(wrong);
    let runs = load.as_ref().and_then(under_way);
    let status = DruidIngestionStatus {
        reindex: load,
        ..status
    };
    let state = client.state(&wanted.name).await?;
    let failed = client.failed_tasks(&wanted.name).await?;
    let all = Seen {
        observed,
        state,
        failed,
        refused,
    };
    let seen = seen(object, status, all);
    Ok(match runs {
        Some(told) => resident::goes_on(object, seen, "Reindexing", &told, resident::RESYNC),
        None => seen,
    })
}

async fn delete(
    context: &Context,
    object: &DruidIngestion,
) -> Result<Reconciled<DruidIngestionStatus>, Trouble> {
    let namespace = object.namespace().unwrap_or_default();
    let secrets = context.namespaced::<Secret>(&namespace);
    let name = &object.spec.binding;
    let druid = secret(&secrets, name, "read the binding of the Druid").await?;
    // Of what somebody else runs it is only known that it is not gone.
    let lives = match &druid {
        None => Lives::Gone,
        Some(_) => Lives::Present,
    };
    // Only what this resource was seen to own is removed.
    let owns = object.status.as_ref().is_some_and(|status| status.made);
    let keep = (!owns).then(|| "this resource did not make it".to_owned());
    let removal = async {
        let client = match resolve::client(name, druid.as_ref()) {
            Ok(client) => client,
            Err(waiting) => return Ok(Err(waiting)),
        };
        match client.terminate(object.data_source()).await {
            Ok(true) => Ok(Ok("was ended; its rows stay".to_owned())),
            Ok(false) => Ok(Ok("was gone already".to_owned())),
            Err(source) => Err(Trouble::Removal { source }),
        }
    };
    resident::leave(context, object, lives, keep, removal).await
}
