//! The reconciler of BatchJob.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ApiResource;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use millrace_contract::Invalid;

use super::crd::{BatchJob, BatchJobStatus};
use super::validate::{ValidatedBatch, validate};
use super::{BALLISTA, COMPONENT, ballista, build};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, status_of};
use crate::job::lake::Place;
use crate::job::{DeploymentState, deployment_state, deployment_trouble};
use crate::network;
use crate::pods::{self, Runs};
use crate::postgres;
use crate::rbac::Rule;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::tell_stopped;

/// The reconciler of BatchJob.
pub struct BatchJobs;

impl Component for BatchJobs {
    type Kind = BatchJob;
    type Error = Error;
    const NAME: &'static str = "batch";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("batchjobs", &build::kinds());
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get", "list", "watch"],
            "See whether the bindings that a job mounts exist, and where they lead.",
        ));
        rules.push(Rule::looks_at_pods());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    fn refers(job: &BatchJob) -> Vec<String> {
        let lake = job.spec.lake.secret();
        lake.into_iter()
            .chain([job.spec.postgres_secret.clone()])
            .collect()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let references = context.references.clone();
        // Made by users and other components: no label says that they matter. The names alone are watched.
        controller.watches(
            context.scoped::<PartialObjectMeta<Secret>>(scope),
            watcher::Config::default(),
            move |secret| references.to(secret.namespace().as_deref(), &secret.name_any()),
        )
    }

    async fn serves(context: &Context, object: &BatchJob) -> Result<Option<bool>, kube::Error> {
        let Ok(owner) = Owner::of(object) else {
            return Ok(None);
        };
        let api = context.namespaced::<CronJob>(&owner.namespace);
        let found = api.get_opt(&owner.name).await?;
        Ok(found
            .filter(|cron_job| owner.owns(&cron_job.metadata))
            .map(|_| true))
    }

    async fn prepare(context: &Context, object: &BatchJob) -> Result<Preparation, Error> {
        let job = validate(object, &context.settings.images)?;
        let place = check_bindings(context, &job).await?;
        let resources = prepared(context, &job, &place).await?;
        Ok(Preparation::of(job.owner, resources, build::kinds()))
    }

    async fn reconcile(
        context: &Context,
        object: &BatchJob,
    ) -> Result<Reconciled<BatchJobStatus>, Error> {
        let job = validate(object, &context.settings.images)?;
        let place = check_bindings(context, &job).await?;
        let resources = prepared(context, &job, &place).await?;
        let applied = reconcile::apply(context, &job.owner, resources, &build::kinds()).await?;
        let mut runs = applied
            .get::<CronJob>(&job.owner.name)
            .map(|cron_job| pods::runs(&cron_job, COMPONENT))
            .unwrap_or_default();
        if let (Some(trouble), Some(began)) = (&mut runs.trouble, &runs.began)
            && let Some(words) = pods::words_of_run(context, &job.owner, COMPONENT, began).await
        {
            *trouble = format!("{trouble}: {words}");
        }
        let mut status = status(object, &job, runs);
        let mut settled = true;
        if let Some(asked) = &job.ballista {
            let executors = applied.get::<Deployment>(&ballista::executors_name(&job.owner.name));
            let state = executors
                .map(|made| deployment_state(&made))
                .unwrap_or_default();
            settled = state.settled;
            let wanted = job.operation.replicas(asked.executors);
            let trouble = deployment_trouble(context, &job.owner, BALLISTA, state).await;
            tell_executors(object, &mut status, wanted, state, trouble);
        }
        let again = Duration::from_secs(if settled { 300 } else { 15 });
        Ok(Reconciled::Status(status, again))
    }
}

async fn prepared(
    context: &Context,
    job: &ValidatedBatch,
    place: &Place,
) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(job, place)?;
    let reach = network::reach(context, &job.owner, &job.bindings()).await?;
    network::add(
        &mut resources,
        &context.settings,
        &job.owner,
        COMPONENT,
        reach,
    )?;
    if job.ballista.is_some() {
        let lake = std::slice::from_ref(&job.lake_secret);
        let reach = network::reach(context, &job.owner, lake).await?;
        network::add(
            &mut resources,
            &context.settings,
            &job.owner,
            BALLISTA,
            reach,
        )?;
    }
    Ok(resources)
}

/// Refuses a job whose Secrets are not there or lead nowhere: its runs would fail one after the other.
async fn check_bindings(context: &Context, job: &ValidatedBatch) -> Result<Place, Error> {
    let api = context.namespaced::<Secret>(&job.owner.namespace);
    let read = |name: String| {
        let api = api.clone();
        async move {
            api.get_opt(&name)
                .await
                .map_err(Error::doing("reading a binding"))
        }
    };
    let missing = |secret: &Option<Secret>, invalid: Invalid| Error::Missing {
        reason: match secret {
            Some(_) => "BindingIncomplete",
            None => "BindingMissing",
        },
        invalid,
    };
    let lake = read(job.lake_secret.clone()).await?;
    let place = job
        .place(lake.as_ref())
        .map_err(|invalid| missing(&lake, invalid))?;
    let name = &job.postgres_secret;
    let secret = read(name.clone()).await?;
    // The job finds its files by the type.
    postgres::external::check(name, secret.as_ref(), "spec.postgresSecret")
        .and_then(|()| postgres::external::is_typed(name, secret.as_ref(), "spec.postgresSecret"))
        .map_err(|invalid| missing(&secret, invalid))?;
    Ok(place)
}

/// Says of a job whose executors are all away that its runs would find nobody to compute. One is enough for a run.
fn tell_executors(
    object: &BatchJob,
    status: &mut BatchJobStatus,
    wanted: i32,
    state: DeploymentState,
    trouble: Option<String>,
) {
    if wanted == 0 || state.ready > 0 {
        return;
    }
    let trouble = trouble.unwrap_or_else(|| "they are starting".to_owned());
    let told = format!("0 of {wanted} executors ready: {trouble}");
    let generation = object.metadata.generation;
    let conditions = &mut status.conditions;
    set_condition(
        conditions,
        AVAILABLE,
        false,
        "ExecutorsNotReady",
        &told,
        generation,
    );
}

fn status(object: &BatchJob, job: &ValidatedBatch, runs: Runs) -> BatchJobStatus {
    let mut status = status_of(object);
    let generation = object.metadata.generation;
    let conditions = &mut status.conditions;
    let told = format!("runs at {} ({})", job.schedule, job.time_zone);
    set_condition(conditions, AVAILABLE, true, "Scheduled", &told, generation);
    let (reason, told) = if runs.under_way {
        ("Running", "a run is under way")
    } else {
        ("Settled", "")
    };
    set_condition(
        conditions,
        PROGRESSING,
        runs.under_way,
        reason,
        told,
        generation,
    );
    tell_stopped(conditions, job.operation.stopped, 0, generation);
    if let Some(trouble) = &runs.trouble {
        set_condition(conditions, DEGRADED, true, "RunFailed", trouble, generation);
    }
    status.last_began = runs.began;
    status.last_succeeded = runs.succeeded;
    status
}
