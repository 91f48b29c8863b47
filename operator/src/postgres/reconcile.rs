//! The reconciler of PostgresCluster: reads as a table of contents.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Resource;
use kube::api::ApiResource;

use super::COMPONENT;
use super::build::{self, VOLUME};
use super::crd::{PostgresCluster, PostgresClusterStatus};
use super::dereference::dereference;
use super::inside::{Inside, bring_about, login, wanted};
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
use crate::remote::postgres::{Observed, RemotePostgres};

/// The reconciler of PostgresCluster.
pub struct Postgres;

impl Component for Postgres {
    type Kind = PostgresCluster;
    type Error = Error;
    const NAME: &'static str = "postgres";

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("postgresclusters");
        rules.extend(reconcile::rules(
            &build::kinds(),
            "Make, correct and remove the objects of a component.",
        ));
        rules.extend(storage::rules());
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
        let postgres = look(context, cluster).await?;
        let resources = objects(context, &postgres)?;
        let mut preparation = Preparation::of(postgres.owner.clone(), resources, build::kinds());
        let before = cluster.status.as_ref();
        let live = before.and_then(|s| s.storage.as_deref());
        preparation.grow_volumes(live, &postgres.storage.size);
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
        let applied = apply(context, &postgres).await?;
        let set = applied.get::<StatefulSet>(&postgres.owner.name);
        let (login, wanted) = (login(&postgres), wanted(&postgres, cluster.status.as_ref()));
        let inside = if ready(set.as_ref()) && !postgres.operation.stopped {
            bring_about(&login, &wanted).await
        } else {
            Inside::Asleep
        };
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
            rolling: roll(context, &postgres, &applied, set.as_ref()).await?,
            pending: applied.pending().to_vec(),
            trouble: pods::trouble(context, &postgres.owner, COMPONENT).await,
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
    network::add(
        &mut resources,
        &context.settings,
        &postgres.owner,
        COMPONENT,
        Reach::Table,
    )?;
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
        replicas: 1,
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
    applied: &Resources<Applied>,
    set: Option<&StatefulSet>,
) -> Result<Rolling, Error> {
    if postgres.operation.stopped {
        return Ok(Rolling::default());
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
