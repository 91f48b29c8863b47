//! The reconciler of Platform.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use serde_json::json;

use super::build::{self, Waiting};
use super::crd::{ComponentStatus, Platform, PlatformSpec, PlatformStatus, WaitingOn};
use super::exposure;
use super::external;
use super::progress;
use super::state::{component, fault, waiting_on};
use super::validate::{ADDED_TOKENS, Live, ValidatedPlatform, validate};
use super::zones::{self, Verdict};
use crate::action::crd::Action;
use crate::context::{Context, MANAGER};
use crate::controller::{Component, ControllerOf, Reconciled, affected, managed, status_of};
use crate::eventsource::crd::EventSource;
use crate::flow::Token;
use crate::job::crd::StreamJob;
use crate::kafka::crd::KafkaCluster;
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::{self, Batch, Error, OWNER_LABEL, Owner, Preparation};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::topic::crd::KafkaTopic;
use crate::user::crd::KafkaUser;

/// The reconciler of Platform.
pub struct Platforms;

impl Component for Platforms {
    type Kind = Platform;
    type Error = Error;
    const NAME: &'static str = "platform";

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("platforms");
        rules.extend(reconcile::rules(
            &build::own_kinds(),
            "Make, correct and remove the parts of a platform.",
        ));
        rules.extend(reconcile::rules(
            &build::exposing_kinds(),
            "Expose the gateway, where a platform asks for it and the API is installed.",
        ));
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get", "list", "watch", "create", "patch"],
            "Make the gateway's keys once; add those that a former version did not make.",
        ));
        rules.push(Rule::new(
            "",
            &["configmaps"],
            &["get", "list", "watch"],
            "Check the zones.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (store, by_zones) = (controller.store(), controller.store());
        controller
            .owns(context.scoped::<KafkaCluster>(scope), managed())
            .owns(context.scoped::<KafkaTopic>(scope), managed())
            .owns(context.scoped::<KafkaUser>(scope), managed())
            .owns(context.scoped::<OpenWhisk>(scope), managed())
            .owns(context.scoped::<Action>(scope), managed())
            .owns(context.scoped::<StreamJob>(scope), managed())
            .owns(context.scoped::<EventSource>(scope), managed())
            .owns(context.scoped::<Ingress>(scope), managed())
            .owns(context.scoped::<ConfigMap>(scope), managed())
            // Made by users: no label says that they matter.
            .watches(
                context.scoped::<PartialObjectMeta<ConfigMap>>(scope),
                watcher::Config::default(),
                move |map| {
                    let name = map.name_any();
                    affected(
                        &by_zones,
                        map.namespace().as_deref(),
                        |platform: &Platform| {
                            let zones =
                                platform.spec.detect.iter().flat_map(|detect| &detect.zones);
                            zones.into_iter().any(|zones| zones.config_map == name)
                        },
                    )
                },
            )
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

    async fn prepare(context: &Context, object: &Platform) -> Result<Preparation, Error> {
        let (platform, zones) = look(context, object).await?;
        let (resources, held_back) = build::build(&platform)?;
        let owner = &platform.owner;
        let mut preparation = Preparation::of(owner.clone(), resources, build::own_kinds());
        preparation.batches.push(Batch {
            owner: owner.clone(),
            resources: build::exposure(&platform)?,
            kinds: build::exposing_kinds(),
            each: true,
        });
        // What they hold is made once, by whoever does it: nothing of it is for a plan.
        let secret = build::gateway_secret_name(&owner.name);
        if build::gateway_secret(&platform).is_some() {
            preparation
                .steps
                .push(format!("make Secret {secret} with new keys"));
        }
        if let Some(additions) = build::gateway_secret_additions(&platform) {
            let keys: Vec<&str> = additions.keys().map(String::as_str).collect();
            preparation
                .steps
                .push(format!("add {} to Secret {secret}", keys.join(", ")));
        }
        preparation.waiting.extend(
            held_back
                .iter()
                .map(|job| format!("StreamJob {}: waits for {}", job.job, job.reason)),
        );
        preparation.waiting.extend(
            zones
                .absent
                .iter()
                .map(|name| format!("ConfigMap {name}: its zones are not there yet")),
        );
        preparation.refused.extend(zones.rejected);
        let missing = exposure::missing_apis(&platform);
        preparation
            .refused
            .extend(missing.into_iter().map(|(_, told)| told));
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        object: &Platform,
    ) -> Result<Reconciled<PlatformStatus>, Error> {
        let (platform, zones) = look(context, object).await?;
        if let Some(secret) = build::gateway_secret(&platform) {
            create_secret(context, &platform.owner, &secret).await?;
        }
        complete_secret(context, &platform).await?;
        let (prepared, held_back) = build::build(&platform)?;
        let owner = &platform.owner;
        let applied = reconcile::apply(context, owner, prepared, &build::own_kinds()).await?;
        // Last: what others refuse holds nothing else up.
        let (exposed, refused) = reconcile::apply_each(
            context,
            owner,
            build::exposure(&platform)?,
            &build::exposing_kinds(),
        )
        .await;
        // A ConfigMap is no part that could be ready.
        let is_part = |body: &&serde_json::Value| body["kind"] != "ConfigMap";
        let bodies = applied.bodies().chain(exposed.bodies());
        let bodies: Vec<_> = bodies.filter(is_part).collect();
        let mut troubles = exposure::missing_apis(&platform);
        troubles.extend(refused.iter().map(exposure::trouble));
        troubles.extend(
            zones
                .rejected
                .iter()
                .map(|told| ("ZonesRejected", told.clone())),
        );
        let mut parts: Vec<_> = bodies.iter().map(|body| component(body)).collect();
        for part in refused.iter().filter_map(exposure::refused) {
            // One that was there before is served on.
            let is_there =
                |other: &ComponentStatus| (&other.kind, &other.name) == (&part.kind, &part.name);
            if !parts.iter().any(is_there) {
                parts.push(part);
            }
        }
        let mut reconciled = status(object, parts, &held_back, &zones.absent);
        troubles.extend(bodies.iter().find_map(|body| {
            let told = fault(body)?;
            Some(("ComponentDegraded", told))
        }));
        let outside = platform.outside.waiting_on();
        if !outside.is_empty() {
            wait_for(&mut reconciled, outside, object.metadata.generation);
        }
        let progress = progress::look(object, &platform, &bodies, &mut reconciled);
        troubles.extend(progress.trouble);
        if object.spec.stopped {
            // What is stopped has no faults that matter.
            troubles.clear();
        }
        tell_troubles(&mut reconciled, &troubles, object.metadata.generation);
        let again = if !is_true(&reconciled.conditions, AVAILABLE) {
            15
        } else if platform.gateway.iter().any(exposure::is_watched_by_looking)
            || !refused.is_empty()
        {
            30
        } else {
            300
        };
        let again = progress.again.map_or(again, |soon| again.min(soon));
        Ok(Reconciled::Status(reconciled, Duration::from_secs(again)))
    }
}

/// Reads and checks; writes nothing.
async fn look(context: &Context, object: &Platform) -> Result<(ValidatedPlatform, Verdict), Error> {
    let live = dereference(context, &Owner::of(object)?, &object.spec).await?;
    let platform = validate(object, live)?;
    let zones = match &platform.detect {
        Some(detect) => zones::look(context, &platform.owner, &detect.zones).await?,
        None => Verdict::default(),
    };
    Ok((platform, zones))
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

/// Adds tokens to a Secret that a former version made. A merge: whatever else is in it stays.
async fn complete_secret(context: &Context, platform: &ValidatedPlatform) -> Result<(), Error> {
    let Some(additions) = build::gateway_secret_additions(platform) else {
        return Ok(());
    };
    let name = build::gateway_secret_name(&platform.owner.name);
    let params = PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    };
    context
        .namespaced::<Secret>(&platform.owner.namespace)
        .patch(&name, &params, &Patch::Merge(json!({"data": additions})))
        .await
        .map_err(Error::doing("completing the gateway's Secret"))?;
    context.metrics.count_write("Secret");
    let added: Vec<&str> = additions.keys().map(String::as_str).collect();
    tracing::info!(
        kind = "Secret",
        name,
        namespace = platform.owner.namespace,
        ?added,
        "completed"
    );
    Ok(())
}

async fn dereference(context: &Context, owner: &Owner, spec: &PlatformSpec) -> Result<Live, Error> {
    let wants_topics = spec.kafka.is_some();
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
    let users_wait = match &spec.kafka {
        Some(kafka) if kafka.is_secure() => users_wait(context, owner, &ours).await?,
        _ => None,
    };
    let secret = context
        .namespaced::<Secret>(&owner.namespace)
        .get_opt(&build::gateway_secret_name(&owner.name))
        .await
        .map_err(Error::doing("reading the gateway's Secret"))?
        // One on its way out is waited for: until it is gone, making another is refused.
        .filter(|secret| secret.metadata.deletion_timestamp.is_none());
    Ok(Live {
        gateway_secret: secret.is_some(),
        gateway_lacks: secret
            .iter()
            .filter(|_| spec.gateway.is_some())
            .flat_map(lacks)
            .collect(),
        gateway_token: secret.as_ref().and_then(token),
        kafka_admin: context
            .namespaced::<Secret>(&owner.namespace)
            .get_opt(&build::kafka_admin(&owner.name))
            .await
            .map_err(Error::doing("reading the way into the Kafka"))?,
        kafka_full: kafka_full(context, owner).await?,
        outside: external::look(context, owner, spec).await?,
        apis: exposure::apis(context, spec.gateway.as_ref()).await?,
        jobs,
        topics_wait: topics_wait.or(users_wait),
    })
}

/// Whether a volume of the platform's Kafka is so full that nothing more is to be written.
async fn kafka_full(context: &Context, owner: &Owner) -> Result<bool, Error> {
    let kafka = context
        .namespaced::<KafkaCluster>(&owner.namespace)
        .get_opt(&build::kafka_cluster(&owner.name))
        .await
        .map_err(Error::doing("reading the KafkaCluster"))?;
    let status = kafka.and_then(|kafka| kafka.status);
    Ok(status
        .and_then(|status| status.disk)
        .is_some_and(|disk| disk.full))
}

/// The users that cannot log in yet, if there are any.
async fn users_wait(
    context: &Context,
    owner: &Owner,
    ours: &ListParams,
) -> Result<Option<String>, Error> {
    let users = context
        .namespaced::<KafkaUser>(&owner.namespace)
        .list(ours)
        .await
        .map_err(Error::doing("listing KafkaUsers"))?;
    if users.items.is_empty() {
        return Ok(Some("its users of Kafka".into()));
    }
    let waits: Vec<String> = users
        .iter()
        .filter(|user| {
            let status = user.status.as_ref();
            !status.is_some_and(|status| is_true(&status.conditions, AVAILABLE))
        })
        .map(ResourceExt::name_any)
        .collect();
    Ok((!waits.is_empty()).then(|| format!("KafkaUser {}", waits.join(", "))))
}

/// The least that opens the flow and canaries.
fn token(secret: &Secret) -> Option<Token> {
    let data = secret.data.as_ref()?;
    let token = ["operations-token", "admin-token"]
        .into_iter()
        .find_map(|name| data.get(name))?;
    let text = String::from_utf8_lossy(&token.0).trim().to_owned();
    Some(Token(text))
}

/// The tokens that a Secret lacks. One that somebody else made is used as it is.
fn lacks(secret: &Secret) -> Vec<&'static str> {
    let ours = secret
        .labels()
        .get("app.kubernetes.io/managed-by")
        .is_some_and(|manager| manager == MANAGER);
    let has = |name: &str| secret.data.iter().any(|data| data.contains_key(name));
    ADDED_TOKENS
        .into_iter()
        .filter(|name| ours && !has(name))
        .collect()
}

fn status(
    object: &Platform,
    parts: Vec<ComponentStatus>,
    held_back: &[Waiting],
    absent: &[String],
) -> PlatformStatus {
    let generation = object.metadata.generation;
    let mut status = status_of(object);
    status.components = parts;
    status
        .components
        .sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    status.waiting_on = waiting_on(&status.components, held_back);
    let ready = status.components.iter().filter(|part| part.ready).count();
    let all = status.components.len() + held_back.len();
    let available = status.waiting_on.is_empty();
    // Detect works without them.
    status.waiting_on.extend(absent.iter().map(|name| WaitingOn {
        component: format!("ConfigMap {name}"),
        reason: format!("spec.detect.zones: {name}: there is no ConfigMap of that name in this namespace; make it, or take it out"),
    }));
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
    status
}

/// Says that something else has to be there first.
fn wait_for(status: &mut PlatformStatus, missing: Vec<WaitingOn>, generation: Option<i64>) {
    let told = missing.first().map_or_else(String::new, |first| {
        format!("{}: {}", first.component, first.reason)
    });
    status.waiting_on.splice(0..0, missing);
    let conditions = &mut status.conditions;
    set_condition(
        conditions,
        AVAILABLE,
        false,
        "BindingMissing",
        &told,
        generation,
    );
    set_condition(
        conditions,
        PROGRESSING,
        true,
        "BindingMissing",
        &told,
        generation,
    );
}

/// The first gives the reason, and all are told.
fn tell_troubles(
    status: &mut PlatformStatus,
    troubles: &[(&str, String)],
    generation: Option<i64>,
) {
    let Some((reason, _)) = troubles.first() else {
        return;
    };
    let all: Vec<&str> = troubles.iter().map(|(_, told)| told.as_str()).collect();
    let conditions = &mut status.conditions;
    set_condition(
        conditions,
        DEGRADED,
        true,
        reason,
        &all.join(". "),
        generation,
    );
}
