//! The reconciler of StreamJob.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::ResourceExt;
use kube::api::ApiResource;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;

use super::crd::{JobLakeStatus, StreamJob, StreamJobStatus};
use super::deployment::{self, DeploymentState, deployment_state, deployment_trouble};
use super::maintenance::{self, compaction_name, retention_name};
use super::service::waits_for_address;
use super::validate::{ValidatedJob, certificate, missing_binding, validate};
use super::{build, directory};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, status_of};
use crate::hdfs::crd::HdfsCluster;
use crate::network;
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::status::{AVAILABLE, Condition, DEGRADED, PROGRESSING, set_condition};
use crate::types::tell_stopped;

/// The reconciler of StreamJob.
pub struct Jobs;

impl Component for Jobs {
    type Kind = StreamJob;
    type Error = Error;
    const NAME: &'static str = "job";
    const DONE_BY_STATUS: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("streamjobs", &build::kinds());
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get", "list", "watch"],
            "See whether the bindings that a job mounts exist, and its certificate is whole.",
        ));
        rules.push(Rule::new(
            "millrace.dev",
            &["hdfsclusters"],
            &["get", "list", "watch"],
            "Make the directory that a job writes into.",
        ));
        rules.push(Rule::looks_at_pods());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    fn refers(job: &StreamJob) -> Vec<String> {
        let certificate = job.spec.tls.iter().map(|tls| &tls.secret_name);
        let files = job.spec.files.iter().map(|files| &files.config_map);
        let lake = job.spec.lake.iter();
        let lake = lake.flat_map(|lake| lake.hdfs.iter().chain(&lake.binding_secret));
        let bindings = job.spec.bindings.iter();
        let secrets = bindings.chain(certificate);
        secrets.chain(files).chain(lake).cloned().collect()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (references, by_files) = (context.references.clone(), context.references.clone());
        let by_hdfs = context.references.clone();
        controller
            // Made by users: no label says that they matter. The names alone are watched.
            .watches(
                context.scoped::<PartialObjectMeta<Secret>>(scope),
                watcher::Config::default(),
                move |secret| references.to(secret.namespace().as_deref(), &secret.name_any()),
            )
            // The same.
            .watches(
                context.scoped::<PartialObjectMeta<ConfigMap>>(scope),
                watcher::Config::default(),
                move |map| by_files.to(map.namespace().as_deref(), &map.name_any()),
            )
            // A job waits for the file system that it writes into.
            .watches(
                context.scoped::<HdfsCluster>(scope),
                watcher::Config::default(),
                move |cluster| by_hdfs.to(cluster.namespace().as_deref(), &cluster.name_any()),
            )
    }

    async fn serves(context: &Context, object: &StreamJob) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => deployment::serves(context, &owner, &owner.name).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, object: &StreamJob) -> Result<Preparation, Error> {
        let mut job = validate(object, &context.settings.images)?;
        let missing = match check_bindings(context, &mut job).await {
            Ok(()) => None,
            Err(missing @ Error::Missing { .. }) => Some(missing.to_string()),
            Err(other) => return Err(other),
        };
        let resources = prepared(context, &job).await?;
        let files = missing_files(context, &job).await?;
        let mut preparation = Preparation::of(job.owner, resources, build::kinds());
        preparation.waiting.extend(missing.into_iter().chain(files));
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        object: &StreamJob,
    ) -> Result<Reconciled<StreamJobStatus>, Error> {
        let mut job = validate(object, &context.settings.images)?;
        if let Err(missing) = check_bindings(context, &mut job).await {
            // Pods that run go on, and actions speak to them by this Service.
            reconcile::ensure(context, &job.owner, build::lasting(&job)?).await?;
            return Err(missing);
        }
        let no_directory = directory::ensure(context, &job).await?;
        if let Some(invalid) = &no_directory
            && Self::serves(context, object)
                .await
                .map_err(Error::doing("reading the Deployment"))?
                .is_none()
        {
            let (reason, invalid) = ("LakeNotReady", invalid.clone());
            return Err(Error::Missing { reason, invalid });
        }
        let missing = missing_files(context, &job).await?;
        let applied = reconcile::apply(
            context,
            &job.owner,
            prepared(context, &job).await?,
            &build::kinds(),
        )
        .await?;
        let state = applied
            .get::<Deployment>(&job.owner.name)
            .map(|d| deployment_state(&d))
            .unwrap_or_default();
        let trouble = deployment_trouble(context, &job.owner, job.job.command(), state).await;
        let no_address = applied
            .get::<Service>(&job.owner.name)
            .as_ref()
            .and_then(waits_for_address);
        let mut status = status(object, &job, state, trouble.or_else(|| no_address.clone()));
        let generation = object.metadata.generation;
        status.pending_restarts = applied.pending().to_vec();
        let stopped = job.operation.stopped;
        tell_stopped(&mut status.conditions, stopped, state.replicas, generation);
        if let (Some(told), true) = (&no_address, state.settled) {
            let conditions = &mut status.conditions;
            set_condition(conditions, PROGRESSING, true, "NoAddress", told, generation);
        }
        let runs_of = |name: String| {
            let cron_job = applied.get::<CronJob>(&name);
            let runs = cron_job.map(|job| pods::runs(&job, maintenance::COMPONENT));
            runs.unwrap_or_default()
        };
        let runs = runs_of(compaction_name(&job.owner.name));
        let retained = runs_of(retention_name(&job.owner.name));
        status.lake = job.lake.as_ref().and_then(|lake| {
            let place = lake.place.as_ref()?;
            Some(JobLakeStatus {
                uri: format!("{}/{}", place.uri(), lake.dataset),
                user: place.user.clone(),
                last_compacted: runs.succeeded.clone(),
                last_retained: retained.succeeded.clone(),
            })
        });
        // The worst first.
        let troubles = [
            no_directory.map(|invalid| ("LakeNotReady", invalid.to_string())),
            missing.map(|missing| ("FilesMissing", missing)),
            runs.trouble
                .or(retained.trouble)
                .map(|told| ("MaintenanceFailed", told)),
        ];
        if let Some((reason, told)) = troubles.into_iter().flatten().next() {
            let conditions = &mut status.conditions;
            set_condition(conditions, DEGRADED, true, reason, &told, generation);
        }
        Ok(Reconciled::Status(
            status,
            Duration::from_secs(if state.settled { 300 } else { 15 }),
        ))
    }
}

async fn prepared(context: &Context, job: &ValidatedJob) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(job)?;
    let reach = network::reach(context, &job.owner, &job.bindings).await?;
    for component in job.components() {
        network::add(
            &mut resources,
            &context.settings,
            &job.owner,
            component,
            reach,
        )?;
    }
    Ok(resources)
}

/// Refuses a job whose Secrets are not all there: its pods would wait for them without saying why, and the kubelet's
/// patience grows with each attempt. Takes in what that of the lake says.
///
/// # Errors
/// Names the binding that is missing, or what it or the certificate lacks.
async fn check_bindings(context: &Context, job: &mut ValidatedJob) -> Result<(), Error> {
    let api = context.namespaced::<Secret>(&job.owner.namespace);
    if let Some(lake) = &mut job.lake {
        let secret = api
            .get_opt(&lake.binding)
            .await
            .map_err(Error::doing("reading the binding of the lake"))?;
        let reason = match secret {
            Some(_) => "BindingIncomplete",
            None => "BindingMissing",
        };
        lake.locate(&job.owner.name, secret.as_ref())
            .map_err(|invalid| Error::Missing { reason, invalid })?;
    }
    for name in &job.bindings {
        if api
            .get_metadata_opt(name)
            .await
            .map_err(Error::doing("reading a binding"))?
            .is_none()
        {
            return Err(missing_binding(name));
        }
    }
    if let Some(tls) = &job.tls {
        let secret = api
            .get_opt(&tls.secret_name)
            .await
            .map_err(Error::doing("reading the certificate"))?;
        certificate(&tls.secret_name, secret.as_ref())?;
    }
    Ok(())
}

/// Says which ConfigMaps of files are not there. The job runs without them, and takes them up once they are.
async fn missing_files(context: &Context, job: &ValidatedJob) -> Result<Option<String>, Error> {
    let api = context.namespaced::<ConfigMap>(&job.owner.namespace);
    let mut missing = Vec::new();
    for (index, files) in job.files.iter().enumerate() {
        let found = api
            .get_metadata_opt(&files.config_map)
            .await
            .map_err(Error::doing("reading a ConfigMap"))?;
        if found.is_none() {
            missing.push(format!(
                "spec.files[{index}].configMap: {}",
                files.config_map
            ));
        }
    }
    Ok((!missing.is_empty()).then(|| {
        format!(
            "{}: there is no ConfigMap of that name in this namespace; make it, or correct the name: the job goes on without it and takes it up then",
            missing.join(", ")
        )
    }))
}

fn status(
    object: &StreamJob,
    job: &ValidatedJob,
    state: DeploymentState,
    trouble: Option<String>,
) -> StreamJobStatus {
    let mut status = status_of(object);
    status.replicas = state.replicas;
    status.ready_replicas = state.ready;
    let selector: Vec<String> = job
        .owner
        .selector(job.job.command())
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    status.selector = Some(selector.join(","));
    tell(
        &mut status.conditions,
        job.replicas,
        state,
        trouble,
        object.metadata.generation,
    );
    status
}

/// The conditions that follow from a Deployment's state.
pub(crate) fn tell(
    conditions: &mut Vec<Condition>,
    wanted: i32,
    state: DeploymentState,
    trouble: Option<String>,
    generation: Option<i64>,
) {
    let counted = format!("{} of {wanted} pods ready", state.ready);
    let told = match trouble {
        Some(trouble) => format!("{counted}: {trouble}"),
        None => counted,
    };
    // None asked for is what is there: scaled to zero on purpose.
    let available = wanted == 0 || state.ready > 0;
    set_condition(
        conditions,
        AVAILABLE,
        available,
        if available { "Ready" } else { "PodsNotReady" },
        &told,
        generation,
    );
    if state.settled {
        set_condition(conditions, PROGRESSING, false, "Settled", "", generation);
    } else {
        set_condition(
            conditions,
            PROGRESSING,
            true,
            "RollingOut",
            &told,
            generation,
        );
    }
}
