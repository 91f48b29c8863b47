//! The reconciler of KafkaTopic.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use kube::{Resource, ResourceExt};

use super::change::{TopicChange, WantedTopic};
use super::factor::Mover;
use super::home::Home;
use super::remote::{RemoteTopic, explain};
use super::schema::BoundSchema;
use super::status;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, status_of};
use crate::kafka::crd::KafkaCluster;
use crate::kafka::reach;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::kafka::KafkaAdmin;
use crate::remote::kafka_resident::{KafkaResidentError, look};
use crate::remote::pipeline::converge;
use crate::remote::resident::{self, Resident};
use crate::topic::crd::{DeletionPolicy, KafkaTopic, KafkaTopicStatus};

/// Stands while the topic is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/kafka-topic";
/// The label with the schema of a topic's records.
pub const SCHEMA_LABEL: &str = "millrace.dev/schema";

/// Unchanged, it is refused again; but brokers may have been added meanwhile.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

impl Resident for KafkaTopic {
    type Home = KafkaCluster;
    const WHAT: &'static str = "topic";
    const EVENT: &'static str = "Topic";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.topicName";
    const WAITS: &'static str = "WaitingForKafka";

    fn place(&self) -> Cow<'_, str> {
        self.home()
    }

    fn name_there(&self) -> &str {
        self.topic_name()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut KafkaTopicStatus, name: &str) {
        status.topic_name = Some(name.to_owned());
    }

    fn disown(status: &mut KafkaTopicStatus) {
        // What this resource once set belongs to the owner now.
        (status.topic_id, status.managed_config) = (None, Vec::new());
        (status.asked_replication_factor, status.refused_schema) = (None, None);
    }
}

/// The component behind KafkaTopic.
#[derive(Debug)]
pub struct Topics;

impl Component for Topics {
    type Kind = KafkaTopic;
    type Error = KafkaResidentError;
    const NAME: &'static str = "kafkatopic";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = resident::rules::<KafkaTopic>();
        rules.push(reach::rule());
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get"],
            "Read the connection details of a Kafka that somebody else runs.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        resident::watch_homes::<Self>(controller, context, scope)
    }

    async fn prepare(
        context: &Context,
        topic: &KafkaTopic,
    ) -> Result<Preparation, KafkaResidentError> {
        if let Some(rival) = resident::rival(context, topic).await? {
            return Ok(Preparation::refuses(rival));
        }
        let namespace = topic.namespace().unwrap_or_default();
        let kafka = Home::of(context, topic).await?;
        let admin = match kafka.reach(context, &namespace).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(Preparation::waits(waiting.to_string())),
        };
        let wanted = wanted(topic, &status_of(topic));
        let remote = RemoteTopic {
            admin: &admin,
            wanted: &wanted,
            mover: kafka.mover(),
        };
        Ok(match look(&remote).await {
            Ok(plan) => plan.into(),
            Err(unseen) => Preparation::unseen(unseen),
        })
    }

    async fn reconcile(
        context: &Context,
        topic: &KafkaTopic,
    ) -> Result<Reconciled<KafkaTopicStatus>, KafkaResidentError> {
        let namespace = topic.namespace().unwrap_or_default();
        let kafka = Home::of(context, topic).await?;
        if topic.meta().deletion_timestamp.is_some() {
            return delete(context, topic, &kafka).await;
        }
        let labels = [(SCHEMA_LABEL, topic.schema().name())];
        let mut status = match resident::claim(context, topic, &labels).await? {
            ControlFlow::Continue(status) => status,
            ControlFlow::Break(settled) => return Ok(settled),
        };
        if status.schema.is_none() {
            status::bind(&mut status, topic.schema());
        }
        // What it is bound to, and what was refused, is so until Kafka can be asked.
        let asked = topic.spec.schema;
        let differs = rebind(topic, &status).is_some();
        let before = status.refused_schema.take();
        status.refused_schema = before.filter(|refused| refused.schema == asked && differs);
        match kafka.reach(context, &namespace).await? {
            Ok(admin) => bring_about(context, topic, status, &admin, kafka.mover()).await,
            Err(waiting) => Ok(resident::wait_for_home(topic, status, &waiting)),
        }
    }
}

async fn bring_about(
    context: &Context,
    topic: &KafkaTopic,
    status: KafkaTopicStatus,
    admin: &KafkaAdmin,
    mover: Mover,
) -> Result<Reconciled<KafkaTopicStatus>, KafkaResidentError> {
    let wanted = wanted(topic, &status);
    let remote = RemoteTopic {
        admin,
        wanted: &wanted,
        mover,
    };
    let outcome = converge(&remote)
        .await
        .map_err(|error| match explain(&error, &wanted) {
            Some(invalid) => KafkaResidentError::Refused {
                invalid,
                absent: status.topic_id.is_none(),
                again: REFUSED_AGAIN,
            },
            None => KafkaResidentError::Kafka(error),
        })?;
    let asked = status.asked_replication_factor;
    for change in &outcome.made {
        if matches!(change, TopicChange::SetReplicationFactor { to, .. } if Some(*to) == asked) {
            // Told when it was asked for.
            continue;
        }
        let reason = status::reason(change);
        resident::tell(context, topic, reason, &change.to_string()).await;
    }
    Ok(status::seen(topic, status, &remote, &outcome))
}

fn wanted(topic: &KafkaTopic, status: &KafkaTopicStatus) -> WantedTopic {
    WantedTopic {
        name: topic.topic_name().to_owned(),
        partitions: topic.spec.partitions,
        replication_factor: topic.spec.replication_factor,
        config: topic.spec.config.clone(),
        managed: status
            .managed_config
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>(),
        rebind: rebind(topic, status),
    }
}

/// What the topic is bound to and what is asked for, where a topic with records cannot follow.
fn rebind(topic: &KafkaTopic, status: &KafkaTopicStatus) -> Option<(BoundSchema, BoundSchema)> {
    let bound = BoundSchema::recorded(status)?;
    let asked = BoundSchema::current(topic.spec.schema);
    (!asked.reads(&bound)).then_some((bound, asked))
}

async fn delete(
    context: &Context,
    topic: &KafkaTopic,
    kafka: &Home,
) -> Result<Reconciled<KafkaTopicStatus>, KafkaResidentError> {
    // Only what this resource was seen to own is removed.
    let status = topic.status.as_ref();
    let owns = status.is_some_and(|status| status.topic_id.is_some());
    let keep = (!owns).then(|| "this resource did not make it".to_owned());
    let removal = async {
        let namespace = topic.namespace().unwrap_or_default();
        let admin = match kafka.reach(context, &namespace).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(Err(waiting)),
        };
        match admin.delete_topic(topic.topic_name()).await {
            Ok(()) => Ok(Ok("was deleted with its records".to_owned())),
            Err(error) if error.is_unknown_topic() => Ok(Ok("was gone already".to_owned())),
            Err(source) => Err(KafkaResidentError::Removal {
                what: KafkaTopic::WHAT,
                source,
            }),
        }
    };
    resident::leave(context, topic, kafka.lives(), keep, removal).await
}
