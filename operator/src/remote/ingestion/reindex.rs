//! Days of the lake that are loaded into a data source: the Job that does it is made once, and watched to its end.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use millrace_contract::Invalid;
use serde_json::Value;

use super::resolve;
use crate::context::Context;
use crate::ingestion::crd::{DruidIngestion, Reindex, ReindexPhase, ReindexStatus};
pub(super) use crate::ingestion::reindex::kinds;
use crate::ingestion::reindex::{COMPONENT, Load, build, config, job_name, phase, stands, trouble};
use crate::network;
use crate::pods;
use crate::reconcile::{self, Error, Owner, Resources};
use crate::remote::druid::DruidAt;
use crate::remote::resident;

/// How the load stands that is asked for, and what is wrong with it.
pub(super) type Standing = (Option<ReindexStatus>, Option<Invalid>);

/// Begins the load that is asked for, unless it was begun before, and looks how it stands. `supervisor` is the specification
/// whose columns are loaded; none while it is not known to be good.
///
/// # Errors
/// Kubernetes could not be asked, or an object not be applied.
pub(super) async fn follow(
    context: &Context,
    object: &DruidIngestion,
    supervisor: Option<&Value>,
) -> Result<Standing, Error> {
    let before = object.status.as_ref();
    let before = before.and_then(|status| status.reindex.clone());
    let owner = Owner::of(object)?;
    let Some(asked) = &object.spec.reindex else {
        if before.is_some() {
            reconcile::apply(context, &owner, Resources::new(), &kinds()).await?;
        }
        return Ok((None, None));
    };
    let name = job_name(&owner.name, asked);
    let same = before.as_ref().filter(|before| before.job == name);
    if let Some(ended) = same.filter(|same| same.phase != ReindexPhase::Running) {
        return Ok((Some(ended.clone()), trouble(asked, ended)));
    }
    let jobs = context.namespaced::<Job>(&owner.namespace);
    let job = jobs.get_opt(&name).await;
    let job = job.map_err(Error::doing("reading the Job of spec.reindex"))?;
    if let Some(job) = job.filter(|job| owner.owns(&job.metadata)) {
        let status = look(context, &owner, &job).await;
        if status.phase != ReindexPhase::Running {
            let told = format!("{}: {:?}", days(asked), status.phase);
            resident::tell(context, object, "ReindexEnded", &told).await;
        }
        let trouble = trouble(asked, &status);
        return Ok((Some(status), trouble));
    }
    let Some(supervisor) = supervisor else {
        return Ok((before, None));
    };
    match begin(context, object, &owner, (asked, supervisor)).await? {
        Some(refused) => Ok((before, Some(refused))),
        None => {
            let told = format!("{}: Job {name}", days(asked));
            resident::tell(context, object, "ReindexBegan", &told).await;
            let status = ReindexStatus {
                job: name,
                ..ReindexStatus::default()
            };
            Ok((Some(status), None))
        }
    }
}

/// What is told of a load whose Job is there.
pub(super) fn under_way(load: &ReindexStatus) -> Option<String> {
    (load.phase == ReindexPhase::Running).then(|| match &load.message {
        Some(said) => format!("Job {} loads days of the lake: {said}", load.job),
        None => format!("Job {} loads days of the lake", load.job),
    })
}

fn days(asked: &Reindex) -> String {
    format!("days of the lake from {} to {}", asked.from, asked.to)
}

async fn look(context: &Context, owner: &Owner, job: &Job) -> ReindexStatus {
    let said = match phase(job) {
        ReindexPhase::Running => pods::trouble(context, owner, COMPONENT).await,
        ReindexPhase::Succeeded => pods::result(context, owner, COMPONENT).await,
        ReindexPhase::Failed => pods::final_words(context, owner, COMPONENT).await,
    };
    stands(job, said.as_deref(), Timestamp::now())
}

/// Makes the Job. Gives why it cannot be, where something is wrong with what is asked for.
async fn begin(
    context: &Context,
    object: &DruidIngestion,
    owner: &Owner,
    (asked, supervisor): (&Reindex, &Value),
) -> Result<Option<Invalid>, Error> {
    let config = match config(&object.name_any(), asked, supervisor, Timestamp::now()) {
        Ok(config) => config,
        Err(invalid) => return Ok(Some(invalid)),
    };
    let secrets = context.namespaced::<Secret>(&owner.namespace);
    let binding = &object.spec.binding;
    let druid = read(&secrets, binding).await?;
    let druid = match resolve::addresses(binding, druid.as_ref(), "spec.binding").and_then(plain) {
        Ok(druid) => druid,
        Err(invalid) => return Ok(Some(invalid)),
    };
    let secret = asked.lake.secret().unwrap_or_default();
    let found = read(&secrets, &secret).await?;
    let field = "spec.reindex.lake";
    let place = match asked.lake.place(found.as_ref(), field, &owner.name) {
        Ok(place) => place,
        Err(invalid) => return Ok(Some(invalid)),
    };
    let mut resources = build(&Load {
        owner,
        asked,
        config: &config,
        place: &place,
        lake: &secret,
        druid: &druid.coordinator,
        login: druid.credentials.login.as_ref().map(|_| binding.as_str()),
        image: &context.settings.images.stream,
    })?;
    let bindings = [secret, binding.clone()];
    let reach = network::reach(context, owner, &bindings).await?;
    network::add(&mut resources, &context.settings, owner, COMPONENT, reach)?;
    reconcile::apply(context, owner, resources, &kinds()).await?;
    Ok(None)
}

async fn read(secrets: &Api<Secret>, name: &str) -> Result<Option<Secret>, Error> {
    let found = secrets.get_opt(name).await;
    found.map_err(Error::doing("reading a binding"))
}

/// The Job speaks plain text.
fn plain(druid: DruidAt) -> Result<DruidAt, Invalid> {
    if druid.coordinator.starts_with("http://") {
        return Ok(druid);
    }
    Err(Invalid::new(
        "spec.reindex",
        druid.coordinator,
        "Druid is asked by TLS, and the Job that loads days speaks plain text only",
        "leave spec.reindex out, or let spec.binding lead to an address of http://",
    ))
}
