//! The resources that a platform consists of. Pure.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, ObjectMeta};
use serde_json::{Value, json};

use super::crd::{
    PlatformDetect, PlatformGateway, PlatformKafka, PlatformOpenWhisk, PlatformWarnings,
};
use super::profile::or_profile;
use super::topics::topics;
use super::validate::ValidatedPlatform;
use crate::action::crd::{Action, ActionCode, ActionLimits, ActionSpec, SecretParameter};
use crate::eventsource::crd::{Backoff, EventSource, EventSourceSpec, MAX_ATTEMPTS};
use crate::job::HTTP_PORT;
use crate::job::crd::{Job, StreamJob, StreamJobSpec};
use crate::kafka::crd::{KafkaCluster, KafkaClusterSpec};
use crate::openwhisk::crd::{Mode, OpenWhisk, OpenWhiskSpec};
use crate::reconcile::{Error, Prepared, Resources};
use crate::topic::crd::{DeletionPolicy, KafkaTopic, KafkaTopicSpec};
use crate::types::{FreeForm, KeyRef, Storage};

/// The component's name in labels.
pub const COMPONENT: &str = "platform";
/// The consumer group that turns alerts into warnings. The gateway waits for it in its answer about the flow.
const WARNINGS_GROUP: &str = "dispatch-warnings";
/// The OpenWhisk namespace of the platform's actions.
const WHISK_NAMESPACE: &str = "millrace";

/// Kinds in which orphans are looked for. Not Secrets: see [`gateway_secret`].
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<KafkaCluster>(&()),
        ApiResource::erase::<KafkaTopic>(&()),
        ApiResource::erase::<OpenWhisk>(&()),
        ApiResource::erase::<Action>(&()),
        ApiResource::erase::<StreamJob>(&()),
        ApiResource::erase::<EventSource>(&()),
    ]
}

/// Name of a part of the platform.
#[must_use]
pub fn part(platform: &ValidatedPlatform, part: &str) -> String {
    format!("{}-{part}", platform.owner.name)
}

/// A job that is wanted and waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The StreamJob.
    pub job: String,
    /// Why.
    pub reason: String,
}

/// All resources of a platform, and the jobs that have to wait.
///
/// # Errors
/// A resource cannot be written as JSON.
pub fn build(platform: &ValidatedPlatform) -> Result<(Resources<Prepared>, Vec<Waiting>), Error> {
    let mut resources = Resources::new();
    let mut waiting = Vec::new();
    let mut add_job = |resources: &mut Resources<Prepared>, job: StreamJob| -> Result<(), Error> {
        let name = job.metadata.name.clone().unwrap_or_default();
        match &platform.jobs_wait {
            // A job that starts before its topics exist would only fail and be put off longer and longer.
            Some(reason) if !platform.jobs.contains(&name) => waiting.push(Waiting {
                job: name,
                reason: reason.clone(),
            }),
            _ => resources.add(&job)?,
        }
        Ok(())
    };
    if let Some(kafka) = &platform.kafka {
        let cluster = cluster(platform, kafka);
        for topic in platform_topics(platform, kafka, &cluster.spec.storage) {
            resources.add(&topic)?;
        }
        resources.add(&cluster)?;
    }
    if let Some(openwhisk) = &platform.openwhisk {
        resources.add(&whisk(platform, openwhisk))?;
    }
    if let Some(gateway) = &platform.gateway {
        add_job(&mut resources, gateway_job(platform, gateway))?;
    }
    if let Some(detect) = &platform.detect {
        add_job(&mut resources, detect_job(platform, detect))?;
    }
    if let Some(warnings) = &platform.warnings {
        for action in actions(platform, warnings) {
            resources.add(&action)?;
        }
        resources.add(&event_source(platform, warnings))?;
    }
    Ok((resources, waiting))
}

fn meta(platform: &ValidatedPlatform, name: &str) -> ObjectMeta {
    platform.owner.meta(part(platform, name), COMPONENT)
}

fn cluster(platform: &ValidatedPlatform, kafka: &PlatformKafka) -> KafkaCluster {
    KafkaCluster {
        metadata: meta(platform, "kafka"),
        spec: KafkaClusterSpec {
            nodes: platform.sizes.kafka_nodes,
            image: kafka.image.clone(),
            storage: kafka
                .storage
                .clone()
                .unwrap_or_else(|| platform.sizes.kafka_storage.clone()),
            resources: Some(or_profile(kafka.resources.as_ref(), &platform.sizes.kafka)),
            config: kafka.config.clone(),
            paused: false,
        },
        status: None,
    }
}

fn platform_topics(
    platform: &ValidatedPlatform,
    kafka: &PlatformKafka,
    volume: &Storage,
) -> Vec<KafkaTopic> {
    topics(
        kafka.partitions.unwrap_or(platform.sizes.partitions),
        &volume.size,
    )
    .into_iter()
    .map(|topic| KafkaTopic {
        metadata: meta(platform, topic.name),
        spec: KafkaTopicSpec {
            kafka: part(platform, "kafka"),
            topic_name: Some(topic.name.to_owned()),
            partitions: topic.partitions,
            replication_factor: platform.sizes.kafka_nodes.min(3),
            config: topic.config,
            schema: topic.schema,
            deletion_policy: DeletionPolicy::Retain,
            paused: false,
        },
        status: None,
    })
    .collect()
}

fn whisk(platform: &ValidatedPlatform, openwhisk: &PlatformOpenWhisk) -> OpenWhisk {
    OpenWhisk {
        metadata: meta(platform, "whisk"),
        spec: OpenWhiskSpec {
            mode: Mode::Embedded,
            image: openwhisk.image.clone(),
            namespace: WHISK_NAMESPACE.into(),
            storage: openwhisk
                .storage
                .clone()
                .unwrap_or_else(|| platform.sizes.openwhisk_storage.clone()),
            resources: Some(or_profile(
                openwhisk.resources.as_ref(),
                &platform.sizes.openwhisk,
            )),
            paused: false,
        },
        status: None,
    }
}

/// Name of the Secret with the gateway's keys.
#[must_use]
pub fn gateway_secret_name(platform: &str) -> String {
    format!("{platform}-gateway")
}

/// The Secret with the gateway's keys, when it has to be made.
///
/// It has no owner: volumes outlive the platform, and without the keys nobody could tell which hire a pseudonym in
/// their topics meant, or open a sealed dead letter. So it is created, and never written again or removed; a platform
/// that is made anew finds and uses it.
#[must_use]
pub fn gateway_secret(platform: &ValidatedPlatform) -> Option<Secret> {
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(gateway_secret_name(&platform.owner.name)),
            namespace: Some(platform.owner.namespace.clone()),
            labels: Some(platform.owner.labels(COMPONENT)),
            ..ObjectMeta::default()
        },
        type_: Some("servicebinding.io/millrace-gateway".into()),
        data: Some(platform.gateway_secret.clone()?),
        ..Secret::default()
    })
}

fn kafka_binding(platform: &ValidatedPlatform) -> String {
    crate::kafka::binding_name(&part(platform, "kafka"))
}

fn gateway_job(platform: &ValidatedPlatform, gateway: &PlatformGateway) -> StreamJob {
    let mut config = FreeForm::new();
    if platform.warnings.is_some() {
        config.insert("dispatchGroups".into(), json!([WARNINGS_GROUP]));
    }
    // Put over it, field by field: lists are replaced, as everywhere.
    config.extend(gateway.config.clone());
    StreamJob {
        metadata: meta(platform, "gateway"),
        spec: StreamJobSpec {
            job: Job::Gateway,
            image: gateway.image.clone(),
            replicas: gateway.replicas.unwrap_or(platform.sizes.gateway_replicas),
            bindings: vec![kafka_binding(platform), part(platform, "gateway")],
            config,
            service: Some(gateway.service.clone().unwrap_or_default()),
            resources: Some(or_profile(
                gateway.resources.as_ref(),
                &platform.sizes.gateway,
            )),
            paused: false,
        },
        status: None,
    }
}

fn detect_job(platform: &ValidatedPlatform, detect: &PlatformDetect) -> StreamJob {
    let mut config = FreeForm::new();
    if !detect.rules.is_empty() {
        config.insert("rules".into(), Value::Object(detect.rules.clone()));
    }
    StreamJob {
        metadata: meta(platform, "detect"),
        spec: StreamJobSpec {
            job: Job::Detect,
            image: detect.image.clone(),
            replicas: detect.replicas.unwrap_or(platform.sizes.detect_replicas),
            bindings: vec![kafka_binding(platform)],
            config,
            service: None,
            resources: Some(or_profile(
                detect.resources.as_ref(),
                &platform.sizes.detect,
            )),
            paused: false,
        },
        status: None,
    }
}

fn actions(platform: &ValidatedPlatform, warnings: &PlatformWarnings) -> Vec<Action> {
    let builtin = |name: &str, timeout_milliseconds| ActionSpec {
        openwhisk: part(platform, "whisk"),
        action_name: Some(name.into()),
        code: Some(ActionCode {
            builtin: Some(name.into()),
            config_map: None,
        }),
        sequence: None,
        kind: "rust:default".into(),
        main: "main".into(),
        parameters: FreeForm::new(),
        parameters_from: Vec::new(),
        annotations: Default::default(),
        limits: ActionLimits {
            timeout_milliseconds,
            ..ActionLimits::default()
        },
        deletion_policy: DeletionPolicy::Delete,
        paused: false,
    };
    let action = |name: &str, spec| Action {
        metadata: meta(platform, name),
        spec,
        status: None,
    };
    let gateway = part(platform, "gateway");
    let url = format!(
        "http://{gateway}.{}.svc:{HTTP_PORT}",
        platform.owner.namespace
    );
    let mut notify = builtin("notify-driver", 30_000);
    notify.parameters = FreeForm::from_iter([
        ("gateway_url".to_owned(), json!(url)),
        ("language".to_owned(), json!(warnings.language)),
        ("channels".to_owned(), json!(warnings.channels)),
        (
            "ttl_seconds".to_owned(),
            json!(warnings.time_to_live_seconds),
        ),
    ]);
    notify.parameters_from = vec![SecretParameter {
        name: "notify_token".into(),
        secret_ref: KeyRef {
            name: gateway,
            key: "notify-token".into(),
        },
    }];
    let mut warn = builtin("warn-driver", 60_000);
    warn.code = None;
    warn.sequence = Some(vec!["assess-vehicle".into(), "notify-driver".into()]);
    vec![
        action("assess-vehicle", builtin("assess-vehicle", 10_000)),
        action("notify-driver", notify),
        action("warn-driver", warn),
    ]
}

/// How often a warning is tried, so that it is given up only when it is no longer worth telling.
///
/// A gateway that is away fails the action, and a failure counts as an attempt. How long a failing attempt takes is not
/// counted, and each wait with the least that dispatch makes of it, three quarters.
fn attempts(time_to_live_seconds: i32, backoff: &Backoff) -> i32 {
    let longest = i64::from(backoff.maximum_milliseconds).max(1);
    let mut left = i64::from(time_to_live_seconds) * 1000;
    let mut wait = i64::from(backoff.initial_milliseconds).clamp(1, longest);
    let mut attempts = 1;
    while left > 0 && attempts < MAX_ATTEMPTS {
        left -= (wait * 3 / 4).max(1);
        wait = (wait * 2).min(longest);
        attempts += 1;
    }
    attempts
}

fn event_source(platform: &ValidatedPlatform, warnings: &PlatformWarnings) -> EventSource {
    let backoff = Backoff::default();
    EventSource {
        metadata: meta(platform, "warnings"),
        spec: EventSourceSpec {
            topic: part(platform, millrace_contract::topics::ALERTS),
            action: part(platform, "warn-driver"),
            group: Some(WARNINGS_GROUP.into()),
            attempts: attempts(warnings.time_to_live_seconds, &backoff),
            backoff,
            max_in_flight: 16,
            dead_letter_topic: Some(part(platform, millrace_contract::topics::DEAD_LETTERS)),
            replicas: 1,
            image: platform
                .detect
                .as_ref()
                .and_then(|detect| detect.image.clone()),
            resources: Some(platform.sizes.dispatch.clone()),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{live, platform};
    use super::super::validate::{Live, validate};
    use super::*;
    use crate::reconcile::OWNER_LABEL;

    fn everything() -> Value {
        json!({"kafka": {}, "gateway": {"service": {"type": "NodePort"}}, "openwhisk": {},
            "detect": {"rules": {"overheating": {"warning": 105}}}, "warnings": {"language": "de"}})
    }

    #[test]
    fn the_resources_of_a_platform() {
        let (resources, waiting) =
            build(&validate(&platform(everything()), live(None)).unwrap()).unwrap();
        assert!(waiting.is_empty());
        insta::assert_snapshot!(resources.to_yaml().unwrap());
    }

    #[test]
    fn jobs_wait_for_their_topics_and_what_runs_is_not_taken_back() {
        let read = Live {
            jobs: vec!["p-detect".into()],
            ..live(Some("KafkaTopic p-telemetry"))
        };
        let (resources, waiting) =
            build(&validate(&platform(everything()), read).unwrap()).unwrap();
        assert_eq!(
            waiting,
            [Waiting {
                job: "p-gateway".into(),
                reason: "KafkaTopic p-telemetry".into()
            }]
        );
        assert!(resources.get::<StreamJob>("p-gateway").is_none());
        assert!(resources.get::<StreamJob>("p-detect").is_some());
    }

    #[test]
    fn the_keys_of_the_gateway_belong_to_nobody() {
        let read = Live {
            gateway_secret: false,
            ..live(None)
        };
        let made = gateway_secret(&validate(&platform(everything()), read).unwrap()).unwrap();
        assert_eq!(made.metadata.name.as_deref(), Some("p-gateway"));
        assert_eq!(made.metadata.owner_references, None);
        assert!(!made.metadata.labels.unwrap().contains_key(OWNER_LABEL));
        let kept = validate(&platform(everything()), live(None)).unwrap();
        assert_eq!(gateway_secret(&kept), None);
    }

    #[test]
    fn warnings_are_tried_as_long_as_they_are_worth_telling() {
        let backoff = Backoff::default();
        assert_eq!(attempts(900, &backoff), 48);
        assert_eq!(attempts(1, &backoff), 4);
        assert!((3840..MAX_ATTEMPTS).contains(&attempts(86_400, &backoff)));
    }

    #[test]
    fn parts_can_be_left_out() {
        let (resources, _) =
            build(&validate(&platform(json!({"kafka": {}})), live(None)).unwrap()).unwrap();
        assert!(resources.get::<KafkaCluster>("p-kafka").is_some());
        assert!(resources.get::<OpenWhisk>("p-whisk").is_none());
    }
}
