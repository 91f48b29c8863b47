//! Whose a consumer group is when several event sources name it: the oldest one's. Two of them would share the partitions
//! of the topic, and each would see a part of the records.

use std::time::Duration;

use kube::ResourceExt;
use millrace_contract::Invalid;

use super::crd::{EventSource, EventSourceStatus};
use crate::context::Context;
use crate::controller::{Reconciled, status_of};
use crate::reconcile::Error;
use crate::remote::claim;
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::topic::crd::KafkaTopic;

/// The watch of the other event sources tells when one lets go; this only covers a lost event.
const AGAIN: Duration = Duration::from_secs(60);

/// What an event source claims: its group's place in a topic of a Kafka.
fn claim_of(source: &EventSource, topic: &KafkaTopic) -> String {
    let kafka = topic.home();
    // Neither names of topics nor those of groups have a slash.
    let thing = format!("{}/{}", topic.topic_name(), source.group());
    claim::claim(&format!("eventsource/{kafka}"), &thing)
}

/// Claims the group, and finds the older event source that has it already.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn rival(
    context: &Context,
    source: &EventSource,
    topic: &KafkaTopic,
) -> Result<Option<EventSource>, Error> {
    let mine = claim_of(source, topic);
    claim::stake(context, source, &mine)
        .await
        .map_err(Error::doing("labelling the EventSource"))?;
    older(context, source, topic).await
}

/// Finds the older event source that has the group already; claims nothing.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn older(
    context: &Context,
    source: &EventSource,
    topic: &KafkaTopic,
) -> Result<Option<EventSource>, Error> {
    let mine = claim_of(source, topic);
    let namespace = source.namespace().unwrap_or_default();
    let all = claim::claimants::<EventSource>(context, &namespace, &mine)
        .await
        .map_err(Error::doing("listing EventSources"))?;
    Ok(claim::older_rival(source, &all).cloned())
}

/// Whether two event sources claim the same: what becomes of one then matters to the other.
pub fn same(one: &impl ResourceExt, other: &impl ResourceExt) -> bool {
    let claimed = one.labels().get(claim::CLAIM_LABEL);
    claimed.is_some()
        && claimed == other.labels().get(claim::CLAIM_LABEL)
        && one.name_any() != other.name_any()
}

/// The status of an event source whose group is another one's.
pub fn claimed(
    source: &EventSource,
    topic: &KafkaTopic,
    owner: &EventSource,
) -> Reconciled<EventSourceStatus> {
    let generation = source.metadata.generation;
    let text = told(source, topic, owner);
    let mut status = status_of(source);
    // It does not run: when its turn comes it begins like a new one.
    status.group = None;
    status.ready_replicas = 0;
    status.pending_restarts = Vec::new();
    for (type_, is, message) in [
        (AVAILABLE, false, text.as_str()),
        (PROGRESSING, false, ""),
        (DEGRADED, true, text.as_str()),
    ] {
        set_condition(
            &mut status.conditions,
            type_,
            is,
            "Claimed",
            message,
            generation,
        );
    }
    Reconciled::Status(status, AGAIN)
}

/// Whose the group is, as field, value and cure.
pub fn told(source: &EventSource, topic: &KafkaTopic, owner: &EventSource) -> String {
    let group = source.group();
    let (field, cure) = if source.spec.group.is_some() {
        (
            "spec.group",
            "make this EventSource anew with another spec.group, or delete one of the two",
        )
    } else {
        (
            "metadata.name",
            "make this EventSource anew under another name or with a spec.group, or delete one of the two",
        )
    };
    Invalid::new(
        field,
        source
            .spec
            .group
            .clone()
            .unwrap_or_else(|| source.name_any()),
        format!(
            "the consumer group {group} of the topic {} belongs to the older EventSource {}",
            topic.topic_name(),
            owner.name_any()
        ),
        cure,
    )
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{all_there, source};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_is_claimed_however_it_was_named() {
        let topic = all_there().topic.unwrap();
        let mut other = topic.clone();
        other.spec.kafka = Some("elsewhere".into());
        let by_name = source(json!({"topic": "t", "action": "a"}));
        let of = |spec| claim_of(&source(spec), &topic);
        let mine = claim_of(&by_name, &topic);
        assert_eq!(
            mine,
            of(json!({"topic": "t", "trigger": "g", "group": "dispatch-e"}))
        );
        assert_ne!(
            mine,
            of(json!({"topic": "t", "action": "a", "group": "own"}))
        );
        assert_ne!(mine, claim_of(&by_name, &other));
    }

    #[test]
    fn who_comes_second_is_told_whose_the_group_is_and_what_to_do() {
        let topic = all_there().topic.unwrap();
        let mut owner = source(json!({"topic": "t", "action": "a"}));
        owner.metadata.name = Some("first".into());
        for (spec, begins, cure) in [
            (
                json!({"topic": "t", "action": "a"}),
                "metadata.name: e: ",
                "another name",
            ),
            (
                json!({"topic": "t", "action": "a", "group": "dispatch-first"}),
                "spec.group: dispatch-first: ",
                "another spec.group",
            ),
        ] {
            let Reconciled::Status(status, _) = claimed(&source(spec), &topic, &owner) else {
                panic!("no status")
            };
            let degraded = status.conditions.iter().find(|c| c.type_ == DEGRADED);
            let message = &degraded.unwrap().message;
            assert!(
                message.starts_with(begins)
                    && message.contains("EventSource first")
                    && message.contains(cure),
                "{message}"
            );
            assert_eq!(status.group, None);
        }
    }
}
