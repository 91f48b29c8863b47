//! The reconciler of KafkaUser.

use std::borrow::Cow;
use std::ops::ControlFlow;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ApiResource;
use kube::{Resource, ResourceExt};

use super::binding::{self, Data, connection_name};
use super::change::WantedUser;
use super::look::{Found, REFUSED_AGAIN, no_connection};
use super::remote::{RemoteUser, explain, remove};
use super::status;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, managed};
use crate::kafka::crd::KafkaCluster;
use crate::kafka::reach::{self, reach};
use crate::rbac::Rule;
use crate::reconcile::{self, Error, Owner, Preparation, Prepared, Resources};
use crate::remote::kafka::KafkaAdmin;
use crate::remote::kafka_resident::{KafkaResidentError, look};
use crate::remote::pipeline::converge;
use crate::remote::release::Lives;
use crate::remote::resident::{self, Resident};
use crate::user::crd::{DeletionPolicy, KafkaUser, KafkaUserStatus};

/// Stands while the user is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/kafka-user";
/// On a user: asks for a new password. Each new value asks once.
pub const ROTATE: &str = "millrace.dev/rotate-password";

impl Resident for KafkaUser {
    type Home = KafkaCluster;
    const WHAT: &'static str = "user";
    const EVENT: &'static str = "User";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.userName";
    const WAITS: &'static str = "WaitingForKafka";

    fn place(&self) -> Cow<'_, str> {
        self.spec.kafka.as_str().into()
    }

    fn name_there(&self) -> &str {
        self.user_name()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut KafkaUserStatus, name: &str) {
        status.user_name = Some(name.to_owned());
    }

    fn disown(status: &mut KafkaUserStatus) {
        (status.binding, status.rotation) = (None, None);
    }
}

/// The component behind KafkaUser.
#[derive(Debug)]
pub struct Users;

impl Component for Users {
    type Kind = KafkaUser;
    type Error = KafkaResidentError;
    const NAME: &'static str = "kafkauser";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = resident::rules::<KafkaUser>();
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
        let by_binding = controller.store();
        resident::watch_homes::<Self>(controller, context, scope)
            // Certificates that clients are to trust come by the binding of the cluster.
            .watches(context.scoped::<Secret>(scope), managed(), move |secret| {
                let name = secret.name_any();
                let namespace = secret.namespace();
                affected(&by_binding, namespace.as_deref(), |user: &KafkaUser| {
                    connection_name(&user.spec.kafka) == name
                })
            })
    }

    async fn prepare(
        context: &Context,
        user: &KafkaUser,
    ) -> Result<Preparation, KafkaResidentError> {
        let found = Found::look(context, user).await?;
        if let Some(rival) = resident::rival(context, user).await? {
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
        match look(&remote).await {
            Ok(plan) => preparation.steps = Preparation::from(plan).steps,
            Err(unseen) => preparation.unseen.push(unseen),
        }
        Ok(preparation)
    }

    async fn reconcile(
        context: &Context,
        user: &KafkaUser,
    ) -> Result<Reconciled<KafkaUserStatus>, KafkaResidentError> {
        let found = Found::look(context, user).await?;
        if user.meta().deletion_timestamp.is_some() {
            return delete(context, user, &found).await;
        }
        let status = match resident::claim(context, user, &[]).await? {
            ControlFlow::Continue(status) => status,
            ControlFlow::Break(settled) => return Ok(settled),
        };
        if let Some(invalid) = found.insecure(user) {
            let text = invalid.to_string();
            return Ok(resident::stands_against(user, status, "NotSecure", &text));
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
            Err(waiting) => return Ok(resident::wait_for_home(user, status, &waiting)),
        };
        let Some(connection) = &found.connection else {
            return Ok(resident::wait_for_home(user, status, &no_connection(user)));
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
) -> Result<(), KafkaResidentError> {
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
) -> Result<Reconciled<KafkaUserStatus>, KafkaResidentError> {
    let remote = RemoteUser { admin, wanted };
    let outcome = converge(&remote).await.map_err(|error| {
        match explain(&error, &user.spec.kafka, &wanted.name) {
            Some(invalid) => KafkaResidentError::Refused {
                invalid,
                absent: found.known.is_none(),
                again: REFUSED_AGAIN,
            },
            None => KafkaResidentError::Kafka(error),
        }
    })?;
    // Kafka first: a client that took the password before Kafka knew it would be refused.
    keep(context, &found.owner, connection, wanted).await?;
    for change in &outcome.made {
        let reason = status::reason(change);
        resident::tell(context, user, reason, &change.to_string()).await;
    }
    let refused = found.unfollowed(user, &wanted.password);
    Ok(status::seen(user, status, wanted, &outcome, refused))
}

async fn delete(
    context: &Context,
    user: &KafkaUser,
    found: &Found,
) -> Result<Reconciled<KafkaUserStatus>, KafkaResidentError> {
    let cluster = found.cluster.as_ref();
    // A user of somebody else, or one that could never be made, is not ours to remove.
    let keep = match resident::rival(context, user).await? {
        Some(rival) => Some(rival),
        None => found.insecure(user).map(|invalid| invalid.to_string()),
    };
    let removal = async {
        let namespace = &found.owner.namespace;
        let admin = match reach(context, namespace, &user.spec.kafka, cluster).await? {
            Ok(admin) => admin,
            Err(waiting) => return Ok(Err(waiting)),
        };
        match remove(&admin, user.user_name()).await {
            Ok(()) => Ok(Ok(
                "was removed with its password, rules and quotas".to_owned()
            )),
            Err(source) => Err(KafkaResidentError::Removal {
                what: KafkaUser::WHAT,
                source,
            }),
        }
    };
    resident::leave(context, user, Lives::of(cluster), keep, removal).await
}
