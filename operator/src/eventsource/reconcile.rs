//! The reconciler of EventSource.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::ApiResource;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;

use super::build::{self, COMPONENT};
use super::claim;
use super::crd::{EventSource, EventSourceStatus};
use super::validate::{References, ValidatedSource, validate};
use crate::action::crd::Action;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, status_of};
use crate::job::{self, deployment_state, deployment_trouble, tell};
use crate::network;
use crate::rbac::Rule;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::topic::crd::KafkaTopic;
use crate::trigger::crd::Trigger;
use crate::types::{Activations, tell_stopped};
use crate::user::crd::KafkaUser;

/// The reconciler of EventSource.
pub struct EventSources;

impl Component for EventSources {
    type Kind = EventSource;
    type Error = Error;
    const NAME: &'static str = "eventsource";
    const DONE_BY_STATUS: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("eventsources", &build::kinds());
        rules.push(Rule::new(
            crate::types::GROUP,
            &["eventsources"],
            &["patch"],
            "Label an event source with the consumer group that it claims.",
        ));
        rules.push(Rule::new(
            crate::types::GROUP,
            &["actions", "kafkatopics", "kafkausers", "triggers"],
            &["get", "list", "watch"],
            "Read what is referred to.",
        ));
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get"],
            "See whether a binding is of a system outside, which the pods must reach.",
        ));
        rules.push(Rule::looks_at_pods());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (by_topic, by_action, by_trigger) =
            (controller.store(), controller.store(), controller.store());
        let (by_claim, by_user) = (controller.store(), controller.store());
        controller
            .watches(
                context.scoped::<PartialObjectMeta<EventSource>>(scope),
                watcher::Config::default(),
                move |other| {
                    affected(
                        &by_claim,
                        other.namespace().as_deref(),
                        |source: &EventSource| claim::same(source, &other),
                    )
                },
            )
            .watches(
                context.scoped::<PartialObjectMeta<KafkaTopic>>(scope),
                watcher::Config::default(),
                move |topic| {
                    let name = topic.name_any();
                    affected(
                        &by_topic,
                        topic.namespace().as_deref(),
                        |source: &EventSource| {
                            source.spec.topic == name
                                || source.spec.dead_letter_topic.as_ref() == Some(&name)
                        },
                    )
                },
            )
            .watches(
                context.scoped::<PartialObjectMeta<KafkaUser>>(scope),
                watcher::Config::default(),
                move |user| {
                    let name = user.name_any();
                    affected(
                        &by_user,
                        user.namespace().as_deref(),
                        |source: &EventSource| source.spec.kafka_user.as_ref() == Some(&name),
                    )
                },
            )
            .watches(
                context.scoped::<PartialObjectMeta<Action>>(scope),
                watcher::Config::default(),
                move |action| {
                    let name = action.name_any();
                    affected(
                        &by_action,
                        action.namespace().as_deref(),
                        |source: &EventSource| source.spec.action.as_ref() == Some(&name),
                    )
                },
            )
            .watches(
                context.scoped::<PartialObjectMeta<Trigger>>(scope),
                watcher::Config::default(),
                move |trigger| {
                    let name = trigger.name_any();
                    affected(
                        &by_trigger,
                        trigger.namespace().as_deref(),
                        |source: &EventSource| source.spec.trigger.as_ref() == Some(&name),
                    )
                },
            )
    }

    async fn serves(context: &Context, object: &EventSource) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => job::serves(context, &owner, &build::name(&owner)).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, object: &EventSource) -> Result<Preparation, Error> {
        let references = dereference(context, object).await?;
        if let Some(topic) = &references.topic
            && let Some(owner) = claim::older(context, object, topic).await?
        {
            let mut none = Preparation::of(Owner::of(object)?, Resources::new(), build::kinds());
            none.refused.push(claim::told(object, topic, &owner));
            return Ok(none);
        }
        let source = validate(object, &references, &context.settings.images)?;
        let resources = prepared(context, &source).await?;
        Ok(Preparation::of(source.owner, resources, build::kinds()))
    }

    async fn reconcile(
        context: &Context,
        object: &EventSource,
    ) -> Result<Reconciled<EventSourceStatus>, Error> {
        let references = dereference(context, object).await?;
        // Before anything else is asked of it: an older one is to have the group even while its action is not ready.
        if let Some(topic) = &references.topic
            && let Some(owner) = claim::rival(context, object, topic).await?
        {
            // A dispatch that ran takes records from the owner's.
            let none = Resources::new();
            reconcile::apply(context, &Owner::of(object)?, none, &build::kinds()).await?;
            return Ok(claim::claimed(object, topic, &owner));
        }
        let source = validate(object, &references, &context.settings.images)?;
        let applied = reconcile::apply(
            context,
            &source.owner,
            prepared(context, &source).await?,
            &build::kinds(),
        )
        .await?;
        let state = applied
            .get::<Deployment>(&build::name(&source.owner))
            .map(|d| deployment_state(&d))
            .unwrap_or_default();
        let trouble = deployment_trouble(context, &source.owner, COMPONENT, state).await;
        let mut status = status_of(object);
        status.group = Some(source.group.clone());
        status.ready_replicas = state.ready;
        status.activations = fed(&references);
        status.pending_restarts = applied.pending().to_vec();
        tell(
            &mut status.conditions,
            source.replicas,
            state,
            trouble,
            object.metadata.generation,
        );
        tell_stopped(
            &mut status.conditions,
            source.operation.stopped,
            state.replicas,
            object.metadata.generation,
        );
        Ok(Reconciled::Status(
            status,
            Duration::from_secs(if state.settled { 300 } else { 15 }),
        ))
    }
}

/// How what is fed went of late, as the Action or the Trigger says.
fn fed(references: &References) -> Option<Activations> {
    let action = references.action.as_ref().and_then(|a| a.status.as_ref());
    let trigger = references.trigger.as_ref().and_then(|t| t.status.as_ref());
    match (action, trigger) {
        (Some(action), _) => action.activations.clone(),
        (None, Some(trigger)) => trigger.activations.clone(),
        (None, None) => None,
    }
}

async fn prepared(
    context: &Context,
    source: &ValidatedSource,
) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(source)?;
    let reach = network::reach(context, &source.owner, &source.bindings).await?;
    network::add(
        &mut resources,
        &context.settings,
        &source.owner,
        COMPONENT,
        reach,
    )?;
    Ok(resources)
}

async fn dereference(context: &Context, source: &EventSource) -> Result<References, Error> {
    let namespace = source.namespace().unwrap_or_default();
    let topics = context.namespaced::<KafkaTopic>(&namespace);
    let actions = context.namespaced::<Action>(&namespace);
    let spec = &source.spec;
    Ok(References {
        topic: topics
            .get_opt(&spec.topic)
            .await
            .map_err(Error::doing("reading the KafkaTopic"))?,
        action: match &spec.action {
            Some(name) => actions
                .get_opt(name)
                .await
                .map_err(Error::doing("reading the Action"))?,
            None => None,
        },
        trigger: match &spec.trigger {
            Some(name) => context
                .namespaced::<Trigger>(&namespace)
                .get_opt(name)
                .await
                .map_err(Error::doing("reading the Trigger"))?,
            None => None,
        },
        user: match &spec.kafka_user {
            Some(name) => context
                .namespaced::<KafkaUser>(&namespace)
                .get_opt(name)
                .await
                .map_err(Error::doing("reading the KafkaUser"))?,
            None => None,
        },
        dead_letters: match &spec.dead_letter_topic {
            Some(name) => topics
                .get_opt(name)
                .await
                .map_err(Error::doing("reading the KafkaTopic"))?,
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::all_there;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_fed_tells_how_it_went() {
        let status = |failed: i32| {
            json!({"conditions": [], "activations": {"observed": "", "since": "", "count": 9, "failed": failed,
                "errorRatePercent": failed}})
        };
        let mut references = all_there();
        assert_eq!(fed(&references), None);
        let action = references.action.as_mut().unwrap();
        action.status = Some(serde_json::from_value(status(1)).unwrap());
        assert_eq!(fed(&references).unwrap().failed, 1);
        references.action = None;
        let trigger = references.trigger.as_mut().unwrap();
        trigger.status = Some(serde_json::from_value(status(2)).unwrap());
        assert_eq!(fed(&references).unwrap().failed, 2);
    }
}
