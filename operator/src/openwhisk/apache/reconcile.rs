//! The reconciler of an Apache OpenWhisk: reads as a table of contents.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Resource;

use super::dereference::{bindings, dereference};
use super::status::{Seen, status};
use super::validate::{ValidatedApache, validate};
use super::{INVOKER, build, controller_set, invoker_set};
use crate::context::Context;
use crate::controller::Reconciled;
use crate::network;
use crate::openwhisk::build::{self as embedded, COMPONENT, kinds};
use crate::openwhisk::crd::{OpenWhisk, OpenWhiskStatus};
use crate::openwhisk::reconcile::dereference as dereference_embedded;
use crate::openwhisk::validate as embedded_spec;
use crate::pods;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Decision, Gate, Member};
use crate::reconcile::{self, Applied, Error, Owner, Preparation, Prepared, Resources};
use crate::remote::mongo::{MongoError, Store};
use crate::remote::openwhisk::invokers::invokers;
use crate::remote::openwhisk::subjects::{RemoteSubject, SubjectChange, WantedSubject};
use crate::remote::pipeline;

/// What a reconcile would bring about.
///
/// # Errors
/// As [`reconcile`].
pub async fn prepare(context: &Context, object: &OpenWhisk) -> Result<Preparation, Error> {
    let (whisk, resources) = look(context, object).await?;
    let mut preparation = Preparation::of(whisk.owner.clone(), resources, kinds());
    if !whisk.operation.stopped {
        match plan_key(&whisk).await {
            Ok(changes) => preparation
                .steps
                .extend(changes.iter().map(ToString::to_string)),
            Err(error) => preparation.unseen.push(error.to_string()),
        }
    }
    Ok(preparation)
}

/// Brings it about.
///
/// # Errors
/// The spec asks for something that cannot be done, what it refers to is missing, or Kubernetes could not be asked.
pub async fn reconcile(
    context: &Context,
    object: &OpenWhisk,
) -> Result<Reconciled<OpenWhiskStatus>, Error> {
    let (whisk, resources) = look(context, object).await?;
    let owner = &whisk.owner;
    // Before the controller is there, so that it never answers without a key; and again when somebody has changed it.
    let key = if whisk.operation.stopped {
        Ok(Vec::new())
    } else {
        bring_key(&whisk).await
    };
    for change in key.iter().flatten() {
        let (reason, told) = (change.reason(), change.to_string());
        let object = object.object_ref(&());
        context.event(&object, false, reason, &told).await;
    }
    let applied = reconcile::apply(context, owner, resources, &kinds()).await?;
    let answers = ready(&applied, &controller_set(&owner.name)) > 0;
    let working = match (&whisk.invokers, answers) {
        (Some(_), true) => invokers(&whisk.uri()).await,
        _ => None,
    };
    let rolling = roll(context, &whisk, &applied, working.as_ref()).await?;
    let mut trouble = pods::trouble(context, owner, COMPONENT).await;
    if trouble.is_none() && !whisk.is_lean() {
        trouble = pods::trouble(context, owner, INVOKER).await;
    }
    let seen = Seen {
        no_key: key.err().map(|error| error.to_string()),
        working,
        rolling,
        trouble,
    };
    Ok(status(object, &whisk, &applied, &seen))
}

/// Whether the controller serves; `None` when there is none.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn serves(context: &Context, owner: &Owner) -> Result<Option<bool>, kube::Error> {
    pods::named_set_serves(context, owner, &controller_set(&owner.name)).await
}

/// Reads, checks and builds; writes nothing.
async fn look(
    context: &Context,
    object: &OpenWhisk,
) -> Result<(ValidatedApache, Resources<Prepared>), Error> {
    let owner = Owner::of(object)?;
    let found = dereference(context, object).await?;
    let live = dereference_embedded(context, &owner).await?;
    let auth = embedded_spec::credentials(&owner.name, &live)?;
    let images = &context.settings.images;
    let whisk = validate(object, &found, auth, &images.whisk)?;
    let mut resources = build::build(&whisk)?;
    if live.template.is_some() {
        let former = embedded_spec::validate(object, live, images)?;
        resources.add(&embedded::asleep(former)?)?;
    }
    let bindings: Vec<String> = bindings(object).into_iter().flatten().collect();
    let reach = network::reach(context, &whisk.owner, &bindings).await?;
    let mut components = vec![COMPONENT, super::ACTION];
    components.extend((!whisk.is_lean()).then_some(INVOKER));
    for component in components {
        network::add(
            &mut resources,
            &context.settings,
            &whisk.owner,
            component,
            reach,
        )?;
    }
    Ok((whisk, resources))
}

async fn store(whisk: &ValidatedApache) -> Result<Store, MongoError> {
    let mongo = &whisk.mongo;
    Store::open(&mongo.uri, &mongo.database, mongo.authorities.as_deref()).await
}

async fn plan_key(whisk: &ValidatedApache) -> Result<Vec<SubjectChange>, MongoError> {
    let wanted = WantedSubject::of(&whisk.namespace, &whisk.auth);
    let store = store(whisk).await?;
    let plan = pipeline::plan(&RemoteSubject::new(&store, &wanted)).await?;
    Ok(plan.changes)
}

/// Writes the namespace and its key where OpenWhisk looks for them.
async fn bring_key(whisk: &ValidatedApache) -> Result<Vec<SubjectChange>, MongoError> {
    let wanted = WantedSubject::of(&whisk.namespace, &whisk.auth);
    let store = store(whisk).await?;
    let outcome = pipeline::converge(&RemoteSubject::new(&store, &wanted)).await?;
    Ok(outcome.made)
}

/// How many pods of a StatefulSet are ready.
pub(super) fn ready(applied: &Resources<Applied>, set: &str) -> i32 {
    let set: Option<StatefulSet> = applied.get(set);
    let status = set.and_then(|set| set.status);
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Restarts at most one server: invokers first, each when the others take activations.
async fn roll(
    context: &Context,
    whisk: &ValidatedApache,
    applied: &Resources<Applied>,
    working: Option<&BTreeMap<u32, bool>>,
) -> Result<Rolling, Error> {
    if whisk.operation.stopped {
        return Ok(Rolling::default());
    }
    let owner = &whisk.owner;
    let names = [invoker_set(&owner.name), controller_set(&owner.name)];
    let sets: Vec<StatefulSet> = names.iter().filter_map(|name| applied.get(name)).collect();
    let named = [(CONFIG, "its settings changed")];
    let pods = Pods::of(context, owner, &sets, &named).await?;
    let decision = decide(whisk, &pods.members, working);
    restarts::carry_out(context, owner, &pods, &decision, applied.pending()).await
}

/// Who is restarted, and who waits for what. Pure.
fn decide(
    whisk: &ValidatedApache,
    members: &[Member],
    working: Option<&BTreeMap<u32, bool>>,
) -> Decision {
    let set = invoker_set(&whisk.owner.name);
    roll::next(
        members,
        |member| u8::from(!member.is_of(&set)),
        |member| {
            // Nobody else could take activations, or the controller does not say who does.
            let alone = whisk.invokers.as_ref().is_none_or(|i| i.replicas < 2);
            let (false, true, Some(working)) = (alone, member.is_of(&set), working) else {
                return Gate::Open;
            };
            let own = member.pod.rsplit('-').next().and_then(|n| n.parse().ok());
            let others = working
                .iter()
                .filter(|(number, works)| Some(**number) != own && **works)
                .count();
            if others > 0 {
                Gate::Open
            } else {
                Gate::Shut("no other invoker takes activations".to_owned())
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{secure, valid};
    use super::*;
    use crate::reconcile::roll::Standing;

    fn member(pod: &str, needs: bool) -> Member {
        Member {
            pod: pod.into(),
            uid: None,
            standing: Standing::Ready,
            since: None,
            reasons: needs.then(|| "why".to_owned()).into_iter().collect(),
            held: None,
        }
    }

    #[test]
    fn servers_are_restarted_one_by_one_and_the_controller_last() {
        let whisk = valid(secure());
        let names = [
            "w-controller-0",
            "w-invoker-0",
            "w-invoker-1",
            "w-invoker-2",
        ];
        let mut members: Vec<Member> = names.iter().map(|pod| member(pod, true)).collect();
        let working = BTreeMap::from([(0, true), (1, true), (2, true)]);
        let mut order = Vec::new();
        while let Some(next) = decide(&whisk, &members, Some(&working)).now {
            for member in members.iter_mut().filter(|member| member.pod == next.pod) {
                member.reasons.clear();
            }
            order.push(next.pod);
        }
        assert_eq!(
            order,
            [
                "w-invoker-0",
                "w-invoker-1",
                "w-invoker-2",
                "w-controller-0"
            ]
        );
    }

    #[test]
    fn an_invoker_waits_until_another_takes_activations() {
        let whisk = valid(secure());
        let members = [
            member("w-invoker-0", true),
            member("w-invoker-1", false),
            member("w-invoker-2", false),
        ];
        let decided = |working: Option<&BTreeMap<u32, bool>>| decide(&whisk, &members, working);
        let alone = BTreeMap::from([(0, true), (1, false)]);
        let waits = decided(Some(&alone));
        assert_eq!(waits.now, None);
        assert!(waits.told().unwrap().contains("no other invoker"));
        let both = BTreeMap::from([(0, false), (2, true)]);
        assert!(decided(Some(&both)).now.is_some());
        // One that does not say holds nothing up.
        assert!(decided(None).now.is_some());
    }
}
