//! The reconciler of PostgresCluster: reads as a table of contents.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::Resource;
use kube::api::ApiResource;

use super::COMPONENT;
use super::backup::build::{data_claim, restore_job};
use super::backup::status::{Backups, Restoring, restoring};
use super::backup::{
    ARCHIVE_COMPONENT, BACKUP_COMPONENT, RESTORE_COMPONENT, backup_name, receiver,
};
use super::build::{self, VOLUME};
use super::crd::{PostgresCluster, PostgresClusterStatus};
use super::dereference::dereference;
use super::inside::{Inside, bring_about, login, wanted};
use super::patroni::{self, Members};
use super::status::{Seen, ready, status};
use super::validate::{ValidatedPostgres, validate};
use crate::context::Context;
use crate::controller::{Component, Reconciled};
use crate::disk;
use crate::network::{self, Reach};
use crate::pods;
use crate::rbac::Rule;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Gate};
use crate::reconcile::storage::{self, Growing, Volumes};
use crate::reconcile::{self, Applied, Error, Owner, Preparation, Prepared, Resources};
use crate::remote::pipeline;
use crate::remote::postgres::{Archive, Observed, RemotePostgres};
use crate::types::Storage;

/// The reconciler of PostgresCluster.
pub struct Postgres;

impl Component for Postgres {
    type Kind = PostgresCluster;
    type Error = Error;
    const NAME: &'static str = "postgres";

    fn rules() -> Vec<Rule> {
        let mut rules = reconcile::component_rules("postgresclusters", &build::kinds());
        rules.extend(storage::rules());
        rules.push(storage::single_rule());
        rules.push(Rule::new(
            "",
            &["pods"],
            &["get", "list", "watch", "patch"],
            "Let Patroni write on its pods which of them is the primary: nobody may allow what they may not do themselves.",
        ));
        rules
    }

    fn owned() -> Vec<ApiResource> {
        build::kinds()
    }

    async fn serves(
        context: &Context,
        object: &PostgresCluster,
    ) -> Result<Option<bool>, kube::Error> {
        match Owner::of(object) {
            Ok(owner) => pods::set_serves(context, &owner).await,
            Err(_) => Ok(None),
        }
    }

    async fn prepare(context: &Context, cluster: &PostgresCluster) -> Result<Preparation, Error> {
        let mut postgres = look(context, cluster).await?;
        let members = patroni::observe(&postgres).await;
        patroni::learn(&mut postgres, &members);
        let resources = objects(context, &postgres)?;
        let mut preparation = Preparation::of(postgres.owner.clone(), resources, build::kinds());
        let before = cluster.status.as_ref();
        let live = before.and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &postgres.storage.size);
        claims(context, &postgres, &mut preparation).await?;
        if patroni::lacks_settings(&postgres, &members) {
            let told = "give the members their settings; some take effect at once";
            preparation.steps.push(told.into());
        }
        if let Members::Failed(error) = &members {
            preparation.unseen.push(error.to_string());
        }
        let (login, wanted) = (login(&postgres), wanted(&postgres, before));
        if before.is_some_and(|status| status.initialized) && !postgres.operation.stopped {
            let remote = RemotePostgres::new(&login, &wanted);
            match pipeline::plan(&remote).await {
                Ok(plan) => {
                    let inside = Preparation::from(plan);
                    preparation.steps.extend(inside.steps);
                    preparation.refused.extend(inside.refused);
                }
                Err(error) => preparation.unseen.push(error.to_string()),
            }
        } else if !wanted.databases.is_empty() || !wanted.roles.is_empty() {
            let told = "databases and roles are made when the server works";
            preparation.steps.push(told.into());
        }
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        cluster: &PostgresCluster,
    ) -> Result<Reconciled<PostgresClusterStatus>, Error> {
        let mut postgres = look(context, cluster).await?;
        patroni::forget(context, &postgres).await?;
        let mut members = patroni::observe(&postgres).await;
        patroni::learn(&mut postgres, &members);
        let of_backups = make_claims(context, &postgres).await?;
        let applied = apply(context, &postgres).await?;
        if patroni::keep_settings(&postgres, &mut members, applied.pending()).await {
            let object = cluster.object_ref(&());
            let told = "the members have new settings";
            context.event(&object, false, "Configured", told).await;
        }
        let restoring = watch_restore(context, &postgres, &applied).await?;
        if let Some(done) = restoring.as_ref().filter(|restoring| restoring.is_done) {
            let told = format!("databases came back from {}", done.claim);
            let object = cluster.object_ref(&());
            context.event(&object, false, "Restored", &told).await;
        }
        let set = applied.get::<StatefulSet>(&postgres.owner.name);
        let (login, wanted) = (login(&postgres), wanted(&postgres, cluster.status.as_ref()));
        let mut inside = if ready(set.as_ref()) && !postgres.operation.stopped {
            bring_about(&login, &wanted).await
        } else {
            Inside::Asleep
        };
        let away = see_archive(context, &postgres, &mut inside).await;
        let activity = inside.look().map(|look| look.observed.activity);
        let owner = &postgres.owner;
        context
            .metrics
            .tell_postgres(&owner.namespace, &owner.name, activity);
        if let Inside::Seen(look) = &inside {
            keep_passwords(context, &mut postgres, &look.observed).await?;
            let object = cluster.object_ref(&());
            for change in &look.made {
                let (reason, told) = (change.reason(), change.to_string());
                context.event(&object, false, reason, &told).await;
            }
        }
        let volumes = grow(context, &postgres, &inside).await?;
        let seen = Seen {
            rolling: roll(context, &postgres, &members, &applied, set.as_ref()).await?,
            pending: applied.pending().to_vec(),
            trouble: pods::trouble(context, &postgres.owner, running(&postgres)).await,
            backups: backups(context, &postgres, of_backups, &applied, (&inside, away)).await?,
            restoring,
            members,
            set,
            inside,
            volumes,
        };
        let (reconciled, event) = status(cluster, &postgres, &seen);
        if let Some((reason, told)) = event {
            let object = cluster.object_ref(&());
            context.event(&object, true, reason, &told).await;
        }
        Ok(reconciled)
    }
}

/// Reads and checks; writes nothing.
async fn look(context: &Context, cluster: &PostgresCluster) -> Result<ValidatedPostgres, Error> {
    let found = dereference(context, cluster).await?;
    let images = &context.settings.images;
    validate(cluster, &found, images, Timestamp::now())
}

fn objects(context: &Context, postgres: &ValidatedPostgres) -> Result<Resources<Prepared>, Error> {
    let mut resources = build::build(postgres)?;
    let (settings, owner) = (&context.settings, &postgres.owner);
    let mut add =
        |component| network::add(&mut resources, settings, owner, component, Reach::Table);
    add(COMPONENT)?;
    if postgres.backup.is_some() {
        add(BACKUP_COMPONENT)?;
        if postgres.is_ha() {
            add(ARCHIVE_COMPONENT)?;
        }
    }
    if postgres.restore.is_some() {
        add(RESTORE_COMPONENT)?;
    }
    if postgres.is_ha() {
        network::add_api(&mut resources, settings, owner, COMPONENT)?;
    }
    Ok(resources)
}

async fn apply(
    context: &Context,
    postgres: &ValidatedPostgres,
) -> Result<Resources<Applied>, Error> {
    let resources = objects(context, postgres)?;
    let applied = reconcile::apply(context, &postgres.owner, resources, &build::kinds()).await?;
    Ok(applied)
}

/// Of which pods it is to be told what keeps them.
fn running(postgres: &ValidatedPostgres) -> &'static str {
    match postgres.restore {
        Some(_) => RESTORE_COMPONENT,
        None => COMPONENT,
    }
}

/// Volumes that have to be there before pods: that of the server where it is filled before it starts, and that of backups,
/// of which is told.
async fn make_claims(context: &Context, postgres: &ValidatedPostgres) -> Result<Volumes, Error> {
    let owner = &postgres.owner;
    if postgres.restore.is_some() {
        let (name, storage) = (data_claim(postgres), &postgres.storage);
        storage::single(context, owner, COMPONENT, &name, storage).await?;
    }
    if let Some(backup) = &postgres.backup {
        let (name, storage) = (backup_name(&owner.name), &backup.storage);
        return storage::single(context, owner, BACKUP_COMPONENT, &name, storage).await;
    }
    Ok(Volumes::default())
}

/// Tells which of them a reconcile would make.
async fn claims(
    context: &Context,
    postgres: &ValidatedPostgres,
    preparation: &mut Preparation,
) -> Result<(), Error> {
    let owner = &postgres.owner;
    let backups = postgres.backup.iter().map(|_| backup_name(&owner.name));
    let restored = postgres.restore.iter().map(|_| data_claim(postgres));
    for name in backups.chain(restored) {
        if !storage::is_there(context, owner, &name).await? {
            let told = format!("make the volume claim {name}, which outlives the cluster");
            preparation.steps.push(told);
        }
    }
    Ok(())
}

/// How the restore stands that the cluster begins with.
async fn watch_restore(
    context: &Context,
    postgres: &ValidatedPostgres,
    applied: &Resources<Applied>,
) -> Result<Option<Restoring>, Error> {
    let Some(restore) = &postgres.restore else {
        return Ok(None);
    };
    let name = restore_job(postgres, restore)?.metadata.name;
    let job = applied.get::<Job>(&name.unwrap_or_default());
    let words = pods::final_words(context, &postgres.owner, RESTORE_COMPONENT).await;
    Ok(Some(restoring(&restore.claim, job.as_ref(), words)))
}

/// Asks the pod that takes in the log of several members how the archive stands; gives why it could not be asked.
async fn see_archive(
    context: &Context,
    postgres: &ValidatedPostgres,
    inside: &mut Inside,
) -> Option<String> {
    let asked = postgres.is_ha() && postgres.backup.is_some();
    let look = inside.look_mut().filter(|_| asked)?;
    match Archive::received(&receiver::address(postgres)).await {
        Ok(archive) => {
            look.observed.archive = Some(archive);
            None
        }
        Err(error) => {
            let trouble = pods::trouble(context, &postgres.owner, ARCHIVE_COMPONENT).await;
            Some(trouble.unwrap_or_else(|| error.to_string()))
        }
    }
}

/// What is known of backups besides what the server says; their volume grows where it fills.
async fn backups(
    context: &Context,
    postgres: &ValidatedPostgres,
    mut volumes: Volumes,
    applied: &Resources<Applied>,
    (inside, away): (&Inside, Option<String>),
) -> Result<Option<Backups>, Error> {
    let owner = &postgres.owner;
    let Some(backup) = &postgres.backup else {
        return Ok(None);
    };
    let name = backup_name(&owner.name);
    let archive = inside
        .look()
        .and_then(|look| look.observed.archive.as_ref());
    let room = archive.and_then(|archive| archive.room);
    if let (Some(growth), Some(live)) = (&backup.storage_growth, &volumes.size)
        && let Some(size) = disk::grown(growth, room, live)
    {
        let storage_class = backup.storage.storage_class.clone();
        let larger = Storage {
            size,
            storage_class,
        };
        volumes = storage::single(context, owner, BACKUP_COMPONENT, &name, &larger).await?;
    }
    let mut backups = Backups {
        cron_job: applied.get::<CronJob>(&name),
        words: None,
        refused: volumes.refused,
        is_received: postgres.is_ha(),
        away,
    };
    if backups.has_failed() {
        backups.words = pods::final_words(context, owner, BACKUP_COMPONENT).await;
    }
    Ok(Some(backups))
}

/// Writes the passwords down that the server knows now: a client that took one before would be refused.
async fn keep_passwords(
    context: &Context,
    postgres: &mut ValidatedPostgres,
    observed: &Observed,
) -> Result<(), Error> {
    let mut news = false;
    for validated in &mut postgres.roles {
        let seen = observed.roles.get(&validated.role.name);
        if let Some(password) = &mut validated.password
            && seen.is_some_and(|seen| seen.password_fits)
        {
            news |= !std::mem::replace(&mut password.is_kept, true);
        }
    }
    if news {
        apply(context, postgres).await?;
    }
    Ok(())
}

/// Grows the volume, by the spec and where it fills.
async fn grow(
    context: &Context,
    postgres: &ValidatedPostgres,
    inside: &Inside,
) -> Result<Volumes, Error> {
    let growing = Growing {
        template: VOLUME,
        set: &postgres.owner.name,
        replicas: postgres.servers,
        storage: &postgres.storage,
        growth: postgres.storage_growth.as_ref(),
    };
    storage::grow_filling(context, &postgres.owner, &growing, |live| match inside {
        Inside::Seen(look) => {
            let room = disk::of_claim(look.observed.used_bytes, Some(live));
            room.into_iter().collect()
        }
        _ => Vec::new(),
    })
    .await
}

async fn roll(
    context: &Context,
    postgres: &ValidatedPostgres,
    members: &Members,
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
) -> Result<Rolling, Error> {
    if postgres.operation.stopped {
        return Ok(Rolling::default());
    }
    if postgres.is_ha() {
        return patroni::roll(context, postgres, members, applied, set).await;
    }
    let sets: Vec<StatefulSet> = set.cloned().into_iter().collect();
    let named = [(CONFIG, "its settings or the superuser's password changed")];
    let pods = Pods::of(context, &postgres.owner, &sets, &named).await?;
    // There is no other server that would have to be asked.
    let decision = roll::next(&pods.members, |_| 0, |_| Gate::Open);
    restarts::carry_out(
        context,
        &postgres.owner,
        &pods,
        &decision,
        applied.pending(),
    )
    .await
}
