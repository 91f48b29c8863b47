//! The reconciler of Action.

use std::borrow::Cow;
use std::ops::ControlFlow;

use millrace_contract::Invalid;

use super::change::{ActionChange, Body, WantedAction, sha256};
use super::explain::explain;
use super::remote::RemoteAction;
use super::resolve::resolve;
use crate::action::crd::{Action, ActionStatus};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::openwhisk::entity::{self, Entity, WAIT_FOR_OTHERS};
use crate::remote::openwhisk::{EntityError, WhiskClient, WhiskError};
use crate::remote::pipeline::{Outcome, converge, plan};
use crate::remote::resident::{self, Resident};
use crate::topic::crd::DeletionPolicy;

/// Stands while the action is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/openwhisk-action";

impl Resident for Action {
    type Home = OpenWhisk;
    const WHAT: &'static str = "action";
    const EVENT: &'static str = "Action";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.actionName";
    const WAITS: &'static str = entity::WAITS;

    fn place(&self) -> Cow<'_, str> {
        self.spec.openwhisk.as_str().into()
    }

    fn name_there(&self) -> &str {
        self.action_name()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut ActionStatus, name: &str) {
        status.action_name = Some(name.to_owned());
    }

    fn disown(status: &mut ActionStatus) {
        (status.version, status.digest, status.settings_digest) = (None, None, None);
    }
}

impl Entity for Action {
    fn owns(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.version.is_some())
    }

    async fn remove(client: &WhiskClient, name: &str) -> Result<bool, WhiskError> {
        client.delete_action(name).await
    }
}

/// The component behind Action.
#[derive(Debug)]
pub struct Actions;

impl Component for Actions {
    type Kind = Action;
    type Error = EntityError;
    const NAME: &'static str = "action";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = entity::rules::<Action>();
        rules.push(Rule::new(
            "",
            &["configmaps"],
            &["get"],
            "Read the code of actions that is kept in ConfigMaps.",
        ));
        rules
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        resident::watch_homes::<Self>(controller, context, scope)
    }

    async fn prepare(context: &Context, action: &Action) -> Result<Preparation, EntityError> {
        let builtin = action.spec.code.as_ref().and_then(|c| c.builtin.as_ref());
        let directory = &context.settings.actions_dir;
        if let (Some(name), false) = (builtin, directory.is_dir()) {
            // They lie beside the operator, which is elsewhere.
            return Ok(Preparation::unseen(format!(
                "the code of the built-in action {name}: there is no directory {}; give it by --actions-dir",
                directory.display()
            )));
        }
        let wanted = resolve(context, action).await?;
        let known_version = action.status.as_ref().and_then(|s| s.version.clone());
        let client = match entity::ask(context, action).await? {
            Ok(client) => client,
            Err(told) => return Ok(told),
        };
        let client = &client;
        entity::look(async {
            if let Some(missing) = missing_component(client, &wanted).await? {
                return Ok(Preparation::waits(missing.to_string()));
            }
            let remote = RemoteAction {
                client,
                wanted: &wanted,
                known_version: known_version.as_deref(),
            };
            Ok(plan(&remote).await?.into())
        })
        .await
    }

    async fn reconcile(
        context: &Context,
        action: &Action,
    ) -> Result<Reconciled<ActionStatus>, EntityError> {
        let (server, status) = match entity::begin(context, action).await? {
            ControlFlow::Break(settled) => return Ok(settled),
            ControlFlow::Continue(begun) => begun,
        };
        // What is wrong in the specification is told even while the server is away.
        let wanted = resolve(context, action).await?;
        let client = match entity::reach(context, action, server.as_ref()).await? {
            Ok(client) => client,
            Err(waiting) => return Ok(resident::wait_for_home(action, status, &waiting)),
        };
        if let Some(missing) = missing_component(&client, &wanted).await? {
            let text = missing.to_string();
            let reason = "WaitingForComponents";
            return Ok(resident::wait(
                action,
                status,
                reason,
                &text,
                WAIT_FOR_OTHERS,
            ));
        }
        bring_about(context, action, status, &client, &wanted).await
    }
}

/// The first component of a sequence that is not on the server.
async fn missing_component(
    client: &WhiskClient,
    wanted: &WantedAction,
) -> Result<Option<Invalid>, WhiskError> {
    let Body::Sequence(names) = &wanted.body else {
        return Ok(None);
    };
    for (index, name) in names.iter().enumerate() {
        let bare = name.strip_prefix("/_/").unwrap_or(name);
        if client.action(bare, false).await?.is_none() {
            return Ok(Some(Invalid::new(
                format!("spec.sequence[{index}]"),
                name,
                "there is no action of that name in OpenWhisk yet",
                "create an Action of that name, or name one that exists",
            )));
        }
    }
    Ok(None)
}

async fn bring_about(
    context: &Context,
    action: &Action,
    status: ActionStatus,
    client: &WhiskClient,
    wanted: &WantedAction,
) -> Result<Reconciled<ActionStatus>, EntityError> {
    let known_version = status.version.clone();
    let remote = RemoteAction {
        client,
        wanted,
        known_version: known_version.as_deref(),
    };
    let outcome = converge(&remote)
        .await
        .map_err(|error| match explain(&error, wanted) {
            Some(invalid) => EntityError::Invalid(invalid),
            None => EntityError::Whisk(error),
        })?;
    for change in &outcome.made {
        let created = matches!(change, ActionChange::Create { .. });
        entity::tell(context, action, created, &change.to_string()).await;
    }
    Ok(seen(action, wanted, status, &outcome))
}

/// The status out of what is there now.
fn seen(
    action: &Action,
    wanted: &WantedAction,
    mut status: ActionStatus,
    outcome: &Outcome<RemoteAction<'_>>,
) -> Reconciled<ActionStatus> {
    let Some(observed) = &outcome.observed else {
        return entity::vanished(action, status);
    };
    status.version = Some(observed.record.version.clone());
    status.digest = Some(match &wanted.body {
        Body::Code { .. } => observed.digest.clone().unwrap_or_default(),
        Body::Sequence(_) => wanted.body.digest(),
    });
    status.settings_digest = Some(settings_digest(action));
    let said = format!(
        "installed as /{}/{}, version {}",
        observed.record.namespace, observed.record.name, observed.record.version
    );
    entity::installed(action, status, &said)
}

/// Over what the specification says of parameters, limits and annotations. Values of Secrets take no part:
/// from the hash of a short one it could be guessed.
fn settings_digest(action: &Action) -> String {
    let spec = &action.spec;
    let settings = serde_json::json!({
        "parameters": spec.parameters,
        "parametersFrom": spec.parameters_from,
        "annotations": spec.annotations,
        "limits": spec.limits,
    });
    sha256(settings.to_string().as_bytes())
}
