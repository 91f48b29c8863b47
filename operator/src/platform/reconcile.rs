//! The reconciler of Platform.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use kube::core::PartialObjectMeta;

use super::build::{self, Waiting};
use super::crd::{Platform, PlatformStatus};
use super::state::{component, fault, waiting_on};
use super::validate::{Live, validate};
use crate::action::crd::Action;
use crate::context::{Context, MANAGER};
use crate::controller::{Component, ControllerOf, Reconciled, affected, managed, status_of};
use crate::eventsource::crd::EventSource;
use crate::job::crd::StreamJob;
use crate::kafka::crd::KafkaCluster;
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::{self, Error, OWNER_LABEL, Owner};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::topic::crd::KafkaTopic;

/// The reconciler of Platform.
pub struct Platforms;

impl Component for Platforms {
    type Kind = Platform;
    type Error = Error;
    const NAME: &'static str = "platform";

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("platforms");
        rules.extend(reconcile::rules(
            &build::kinds(),
            "Make, correct and remove the parts of a platform.",
        ));
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get", "list", "watch", "create"],
            "Make the gateway's keys once.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let store = controller.store();
        controller
            .owns(context.scoped::<KafkaCluster>(scope), managed())
            .owns(context.scoped::<KafkaTopic>(scope), managed())
            .owns(context.scoped::<OpenWhisk>(scope), managed())
            .owns(context.scoped::<Action>(scope), managed())
            .owns(context.scoped::<StreamJob>(scope), managed())
            .owns(context.scoped::<EventSource>(scope), managed())
            .watches(
                context.scoped::<PartialObjectMeta<Secret>>(scope),
                managed(),
                move |secret| {
                    let name = secret.name_any();
                    affected(
                        &store,
                        secret.namespace().as_deref(),
                        |platform: &Platform| {
                            build::gateway_secret_name(&platform.name_any()) == name
                        },
                    )
                },
            )
    }

    async fn reconcile(
        context: &Context,
        object: &Platform,
    ) -> Result<Reconciled<PlatformStatus>, Error> {
        let owner = Owner::of(object)?;
        let live = dereference(context, &owner, object.spec.kafka.is_some()).await?;
        let platform = validate(object, live)?;
        if let Some(secret) = build::gateway_secret(&platform) {
            create_secret(context, &platform.owner, &secret).await?;
        }
        let (prepared, held_back) = build::build(&platform)?;
        let applied = reconcile::apply(context, &platform.owner, prepared, &build::kinds()).await?;
        let bodies: Vec<_> = applied.bodies().collect();
        Ok(status(object, &bodies, &held_back))
    }
}

/// Creates and does not apply: when somebody was quicker, their keys stay, and the next look finds them.
async fn create_secret(context: &Context, owner: &Owner, secret: &Secret) -> Result<(), Error> {
    let api = context.namespaced::<Secret>(&owner.namespace);
    let params = PostParams {
        field_manager: Some(MANAGER.into()),
        ..PostParams::default()
    };
    let made = api
        .create(&params, secret)
        .await
        .map_err(Error::doing("making the gateway's Secret"))?;
    context.metrics.count_write("Secret");
    tracing::info!(
        kind = "Secret",
        name = made.name_any(),
        namespace = owner.namespace,
        owner = owner.name,
        "made"
    );
    Ok(())
}

async fn dereference(context: &Context, owner: &Owner, wants_topics: bool) -> Result<Live, Error> {
    let ours = ListParams::default().labels(&format!("{OWNER_LABEL}={}", owner.uid));
    let jobs = context
        .namespaced::<StreamJob>(&owner.namespace)
        .list_metadata(&ours)
        .await;
    let jobs = jobs
        .map_err(Error::doing("listing StreamJobs"))?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let topics = context
        .namespaced::<KafkaTopic>(&owner.namespace)
        .list(&ours)
        .await;
    let topics = topics.map_err(Error::doing("listing KafkaTopics"))?.items;
    let waits: Vec<String> = topics
        .iter()
        .filter(|topic| {
            !topic
                .status
                .as_ref()
                .is_some_and(|status| is_true(&status.conditions, AVAILABLE))
        })
        .map(ResourceExt::name_any)
        .collect();
    let topics_wait = if !wants_topics {
        None
    } else if topics.is_empty() {
        Some("its topics".to_owned())
    } else if waits.is_empty() {
        None
    } else {
        Some(format!("KafkaTopic {}", waits.join(", ")))
    };
    let gateway_secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_metadata_opt(&build::gateway_secret_name(&owner.name))
        .await
        .map_err(Error::doing("reading the gateway's Secret"))?
        // One on its way out is waited for: until it is gone, making another is refused.
        .is_some_and(|secret| secret.metadata.deletion_timestamp.is_none());
    Ok(Live {
        gateway_secret,
        jobs,
        topics_wait,
    })
}

fn status(
    object: &Platform,
    bodies: &[&serde_json::Value],
    held_back: &[Waiting],
) -> Reconciled<PlatformStatus> {
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.components = bodies.iter().map(|body| component(body)).collect();
    status
        .components
        .sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    status.waiting_on = waiting_on(&status.components, held_back);
    let ready = status.components.iter().filter(|part| part.ready).count();
    let all = status.components.len() + held_back.len();
    let available = status.waiting_on.is_empty();
    let told = match status.waiting_on.first() {
        None => format!("{ready} of {all} components ready"),
        Some(first) => format!(
            "{ready} of {all} components ready; {}: {}",
            first.component, first.reason
        ),
    };
    let conditions = &mut status.conditions;
    set_condition(
        conditions,
        AVAILABLE,
        available,
        if available { "Ready" } else { "Waiting" },
        &told,
        generation,
    );
    if available {
        set_condition(conditions, PROGRESSING, false, "Settled", "", generation);
    } else {
        set_condition(conditions, PROGRESSING, true, "Waiting", &told, generation);
    }
    if let Some(fault) = bodies.iter().find_map(|body| fault(body)) {
        set_condition(
            conditions,
            DEGRADED,
            true,
            "ComponentDegraded",
            &fault,
            generation,
        );
    }
    Reconciled::Status(
        status,
        Duration::from_secs(if available { 300 } else { 15 }),
    )
}
