//! The reconciler of KafkaUser.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ApiResource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};

use super::binding::{self, Data, connection_name};
use super::change::WantedUser;
use super::error::UserError;
use super::look::{Found, no_connection, rival};
use super::remote::{RemoteUser, explain, remove};
use super::status;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, managed, status_of};
use crate::kafka::crd::KafkaCluster;
use crate::kafka::reach::{self, reach};
use crate::rbac::Rule;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::remote::claim;
use crate::remote::kafka::KafkaAdmin;
use crate::remote::pipeline::{converge, plan};
use crate::remote::release::{self, Component as Lives, Release};
use crate::status::{PROGRESSING, set_condition};
use crate::types::GROUP;
use crate::user::crd::{DeletionPolicy, KafkaUser, KafkaUserStatus};

/// Stands while the user is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/kafka-user";
/// On a user: asks for a new password. Each new value asks once.
pub const ROTATE: &str = "millrace.dev/rotate-password";

/// A plan is looked at by somebody who waits for it.
const LOOK: Duration = Duration::from_secs(5);

/// The component behind KafkaUser.
#[derive(Debug)]
pub struct Users;

impl Component for Users {
    type Kind = KafkaUser;
    type Error = UserError;
    const NAME: &'static str = "kafkauser";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("kafkausers");
        rules.push(Rule::new(
            GROUP,
            &["kafkausers"],
            &["patch"],
            "Label a user with what it claims, and hold its deletion until the user is gone from Kafka.",
        ));
        rules.push(Rule::new(
            GROUP,
            &["kafkaclusters"],
            &["get", "list", "watch"],
            "Find the cluster of a user and wait until it is available.",
        ));
        rules.extend(reconcile::rules(
            &kinds(),
            "Keep the password of a Kafka user, and read the one that somebody brings.",
        ));
        rules.push(reach::rule());
        rules
    }

    fn owned() -> Vec<ApiResource> {
        kinds()
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let (by_cluster, by_binding) = (controller.store(), controller.store());
        let clusters = context.scoped::<DeserializeGuard<KafkaCluster>>(scope);
        controller
            .watches(clusters, watcher::Config::default(), move |cluster| {
                let name = cluster.name_any();
                let namespace = cluster.namespace();
                affected(&by_cluster, namespace.as_deref(), |user: &KafkaUser| {
                    user.spec.kafka == name
                })
            })
            // Certificates that clients are to trust come by the binding of the cluster.
            .watches(context.scoped::<Secret>(scope), managed(), move |secret| {
                let name = secret.name_any();
                let namespace = secret.namespace();
                affected(&by_binding, namespace.as_deref(), |user: &KafkaUser| {
                    connection_name(&user.spec.kafka) == name
                })
            })
    }

    async fn prepare(context: &Context, user: &KafkaUser) -> Result<Preparation, UserError> {
        let found = Found::look(context, user).await?;
        if let Some(rival) = rival(context, user).await? {
            return Ok(Preparation::refuses(rival));
        }
        if let Some(invalid) = found.insecure(user) {
            return Ok(Preparation::refuses(invalid.to_string()));
        }
        found.has_its_secret()?;
        let namespace = found.owner.namespace.clone();
        let kafka = &user.spec.kafka;
        let admin = match reach(context, &namespace, kafka, found.cluster.as_ref()).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(Preparation::waits(waiting.to_string())),
        };
        let Some(connection) = &found.connection else {
            return Ok(Preparation::waits(no_connection(user).to_string()));
        };
        let wanted = found.wanted(user)?;
        let bound = bound(&found.owner, connection, &wanted)?;
        let mut preparation = Preparation::of(found.owner.clone(), bound, kinds());
        preparation.refused.extend(
            found
                .unfollowed(user, &wanted.password)
                .map(|i| i.to_string()),
        );
        let remote = RemoteUser {
            admin: &admin,
            wanted: &wanted,
        };
        let unseen =
            |why: &dyn std::fmt::Display| format!("Kafka cannot be asked from here: {why}");
        match tokio::time::timeout(LOOK, plan(&remote)).await {
            Ok(Ok(plan)) => preparation.steps = Preparation::from(plan).steps,
            Ok(Err(error)) => preparation.unseen.push(unseen(&error)),
            Err(_) => {
                let why = format!("no answer within {} s", LOOK.as_secs());
                preparation.unseen.push(unseen(&why));
            }
        }
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        user: &KafkaUser,
    ) -> Result<Reconciled<KafkaUserStatus>, UserError> {
        let found = Found::look(context, user).await?;
        if user.meta().deletion_timestamp.is_some() {
            return delete(context, user, &found).await;
        }
        let mine = claim::claim(&user.spec.kafka, user.user_name());
        let removed_with_it = user.spec.deletion_policy == DeletionPolicy::Delete;
        let labels = [(claim::CLAIM_LABEL, mine.as_str())];
        claim::set_metadata(context, user, &labels, FINALIZER, removed_with_it)
            .await
            .map_err(UserError::kubernetes("label the KafkaUser"))?;

        let mut status = status_of(user);
        status.user_name = Some(user.user_name().to_owned());
        if let Some(rival) = rival(context, user).await? {
            return Ok(status::stands_against(user, status, "Claimed", &rival));
        }
        if let Some(invalid) = found.insecure(user) {
            let text = invalid.to_string();
            return Ok(status::stands_against(user, status, "NotSecure", &text));
        }
        found.has_its_secret()?;
        // Certificates change while Kafka may not be asked; the password that was told goes with them.
        if let (Some(known), Some(connection)) = (&found.known, &found.connection)
            && known.iterations > 0
        {
            let told = found.wanted_with(user, known.clone());
            keep(context, &found.owner, connection, &told).await?;
        }
        let namespace = &found.owner.namespace;
        let kafka = &user.spec.kafka;
        let admin = match reach(context, namespace, kafka, found.cluster.as_ref()).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(status::waits(user, status, &waiting)),
        };
        let Some(connection) = &found.connection else {
            return Ok(status::waits(user, status, &no_connection(user)));
        };
        let wanted = found.wanted(user)?;
        bring_about(context, user, status, &found, connection, &wanted, &admin).await
    }
}

fn kinds() -> Vec<ApiResource> {
    vec![ApiResource::erase::<Secret>(&())]
}

fn bound(
    owner: &Owner,
    connection: &Data,
    wanted: &WantedUser,
) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    let secret = binding::secret(owner, connection, &wanted.name, &wanted.password);
    resources.add(&secret)?;
    Ok(resources)
}

async fn keep(
    context: &Context,
    owner: &Owner,
    connection: &Data,
    wanted: &WantedUser,
) -> Result<(), UserError> {
    let resources = bound(owner, connection, wanted)?;
    reconcile::apply(context, owner, resources, &kinds())
        .await
        .map_err(Error::from)?;
    Ok(())
}

async fn bring_about(
    context: &Context,
    user: &KafkaUser,
    status: KafkaUserStatus,
    found: &Found,
    connection: &Data,
    wanted: &WantedUser,
    admin: &KafkaAdmin,
) -> Result<Reconciled<KafkaUserStatus>, UserError> {
    let remote = RemoteUser { admin, wanted };
    let outcome = converge(&remote).await.map_err(|error| {
        match explain(&error, &user.spec.kafka, &wanted.name) {
            Some(invalid) => UserError::Refused {
                invalid,
                absent: found.known.is_none(),
            },
            None => UserError::Kafka(error),
        }
    })?;
    // Kafka first: a client that took the password before Kafka knew it would be refused.
    keep(context, &found.owner, connection, wanted).await?;
    for change in &outcome.made {
        tracing::info!(user = %user.name_any(), namespace = user.namespace(), %change, "changed in Kafka");
        let note = change.to_string();
        context
            .event(&user.object_ref(&()), false, status::reason(change), &note)
            .await;
    }
    let refused = found.unfollowed(user, &wanted.password);
    Ok(status::seen(user, status, wanted, &outcome, refused))
}

async fn delete(
    context: &Context,
    user: &KafkaUser,
    found: &Found,
) -> Result<Reconciled<KafkaUserStatus>, UserError> {
    if !user.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(Reconciled::Gone);
    }
    let name = user.user_name();
    let lives = match &found.cluster {
        None => Lives::Gone,
        Some(cluster) if cluster.meta().deletion_timestamp.is_some() => Lives::Going,
        Some(_) => Lives::Present,
    };
    let what = format!("user {name}");
    // A user of somebody else, or one that could never be made, is not ours to remove.
    let nothing_made = match rival(context, user).await? {
        Some(rival) => Some(rival),
        None => found.insecure(user).map(|invalid| invalid.to_string()),
    };
    let asked = user.meta().deletion_timestamp.as_ref();
    let decision = match nothing_made {
        Some(why) => Release::Now(format!("{what} is left alone: {why}")),
        None => release::decide(
            user.spec.deletion_policy == DeletionPolicy::Delete,
            lives,
            &what,
            asked.map_or_else(Timestamp::now, |t| t.0),
            Timestamp::now(),
            release::TIME_LIMIT,
        ),
    };
    let note = match decision {
        Release::Now(why) => why,
        Release::AfterRemoval => {
            let namespace = &found.owner.namespace;
            let kafka = &user.spec.kafka;
            match reach(context, namespace, kafka, found.cluster.as_ref()).await? {
                Ok(admin) => match remove(&admin, name).await {
                    Ok(()) => format!("{what} was removed with its password, rules and quotas"),
                    Err(source) => return Err(UserError::Removal { source }),
                },
                Err(waiting) => {
                    let mut status = status_of(user);
                    let text = format!(
                        "{what} is to be removed: {waiting}; the resource is let go after {} s",
                        release::TIME_LIMIT.as_secs()
                    );
                    set_condition(
                        &mut status.conditions,
                        PROGRESSING,
                        true,
                        "WaitingForKafka",
                        &text,
                        user.meta().generation,
                    );
                    return Ok(Reconciled::Status(status, Duration::from_secs(5)));
                }
            }
        }
    };
    context
        .event(&user.object_ref(&()), false, "UserReleased", &note)
        .await;
    claim::set_metadata(context, user, &[], FINALIZER, false)
        .await
        .map_err(UserError::kubernetes("let the KafkaUser go"))?;
    Ok(Reconciled::Gone)
}
