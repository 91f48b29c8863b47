//! The reconciler of Platform.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ApiResource;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::build::{self, Waiting};
use super::crd::{ComponentStatus, Platform, PlatformStatus, WaitingOn};
use super::dereference::dereference;
use super::exposure;
use super::state::{component, fault, pending_restarts, waiting_on};
use super::validate::{ValidatedPlatform, validate};
use super::zones::{self, Verdict};
use super::{pause, progress, racks};
use crate::context::{Context, MANAGER};
use crate::controller::{Component, ControllerOf, Reconciled, managed, status_of};
use crate::rbac::Rule;
use crate::reconcile::{self, Batch, Error, Owner, Preparation, secrets};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};

/// So many restarts are told at once, as the definition has it.
const MOST_RESTARTS: usize = 128;

/// The reconciler of Platform.
pub struct Platforms;

impl Component for Platforms {
    type Kind = Platform;
    type Error = Error;
    const NAME: &'static str = "platform";
    const HAS_PARTS: bool = true;

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
        rules.push(reconcile::racks::rule());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        let mut kinds = build::own_kinds();
        kinds.push(ApiResource::erase::<Ingress>(&()));
        kinds
    }

    fn refers(platform: &Platform) -> Vec<String> {
        let zones = platform.spec.detect.iter().flat_map(|detect| &detect.zones);
        let mut names: Vec<String> = zones.map(|zones| zones.config_map.clone()).collect();
        names.push(build::gateway_secret_name(&platform.name_any()));
        names
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (references, by_zones) = (context.references.clone(), context.references.clone());
        controller
            // Made by users: no label says that they matter.
            .watches(
                context.scoped::<PartialObjectMeta<ConfigMap>>(scope),
                watcher::Config::default(),
                move |map| by_zones.to(map.namespace().as_deref(), &map.name_any()),
            )
            .watches(
                context.scoped::<PartialObjectMeta<Secret>>(scope),
                managed(),
                move |secret| references.to(secret.namespace().as_deref(), &secret.name_any()),
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

    async fn pause(context: &Context, object: &Platform, paused: bool) -> Result<(), Error> {
        pause::pause(context, &Owner::of(object)?, paused).await
    }

    async fn reconcile(
        context: &Context,
        object: &Platform,
    ) -> Result<Reconciled<PlatformStatus>, Error> {
        let (platform, zones) = look(context, object).await?;
        if let Some(secret) = build::gateway_secret(&platform) {
            secrets::create(context, &platform.owner, &secret).await?;
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
        let pending = bodies.iter().flat_map(|body| pending_restarts(body));
        reconciled.pending_restarts = pending.take(MOST_RESTARTS).collect();
        troubles.extend(bodies.iter().find_map(|body| {
            let told = fault(body)?;
            Some(("ComponentDegraded", told))
        }));
        let outside = platform.outside.waiting_on();
        if !outside.is_empty() {
            wait_for(&mut reconciled, outside, object.metadata.generation);
        }
        let gateway = super::flow::told_gateway(&platform);
        context
            .changes
            .gateway(&owner.namespace, &owner.name, gateway.as_ref());
        let progress = progress::look(object, &platform, &bodies, &mut reconciled);
        troubles.extend(progress.trouble);
        let conditions = &mut reconciled.conditions;
        if let Some(told) = racks::tell(conditions, &platform, object.metadata.generation) {
            let about = object.object_ref(&());
            context
                .event(&about, true, reconcile::racks::UNREADABLE, &told)
                .await;
        }
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
