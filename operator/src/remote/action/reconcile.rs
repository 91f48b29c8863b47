//! The reconciler of Action.

use std::borrow::Cow;
use std::ops::ControlFlow;

use millrace_contract::Invalid;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::change::{ActionChange, Body, WantedAction, bare, sha256};
use super::explain::explain;
use super::remote::RemoteAction;
use super::resolve::{check_image, fetch, resolve};
use crate::action::crd::{Action, ActionStatus};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::openwhisk::entity::{self, Entity, WAIT_FOR_OTHERS};
use crate::remote::openwhisk::order::Leaving;
use crate::remote::openwhisk::{EntityError, WhiskClient, WhiskError, activations};
use crate::remote::pipeline::{Outcome, converge, plan};
use crate::remote::resident::{self, KubernetesError, Resident};
use crate::rule::crd::WhiskRule;
use crate::topic::crd::DeletionPolicy;
use crate::types::GROUP;

/// Stands while the action is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/openwhisk-action";

/// Code is held several times over while it is sent: that of one action at a time.
static SENDING: Semaphore = Semaphore::const_new(1);

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
        (status.code_from, status.activations) = (None, None);
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

    async fn goes_after(&self, leaving: Leaving<'_>) -> Result<Option<String>, KubernetesError> {
        let name = self.action_name();
        let rule = leaving.first(|rule: &WhiskRule| rule.spec.action == name);
        if let Some(rule) = rule.await? {
            return Ok(Some(rule));
        }
        let is_sequence_of_it = |other: &Action| {
            other.action_name() != name && components(other).any(|component| component == name)
        };
        leaving.first(is_sequence_of_it).await
    }
}

/// The actions that a sequence runs.
fn components(action: &Action) -> impl Iterator<Item = &str> {
    let names = action.spec.sequence.iter().flatten();
    names.map(|name| bare(name))
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
            GROUP,
            &["rules"],
            &["get"],
            "Remove a trigger or an action after the rules that are deleted together with it.",
        ));
        rules.push(Rule::new(
            "",
            &["configmaps"],
            &["get"],
            "Read the code of actions that is kept in ConfigMaps, and authorities of servers that others are kept at.",
        ));
        rules
    }

    fn refers(action: &Action) -> Vec<String> {
        components(action).map(str::to_owned).collect()
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
        let mut wanted = resolve(context, action).await?;
        if let Some(server) = &server {
            check_image(&wanted.body, server.spec.mode).map_err(EntityError::Invalid)?;
        }
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
        let _sending = fetch_code(context, action, &status, &client, &mut wanted).await?;
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
        if client.action(bare(name), false).await?.is_none() {
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

/// Fetches code that is pinned by its digest when it has to be sent: not while the server has it. Who sends it holds the
/// permit meanwhile.
async fn fetch_code(
    context: &Context,
    action: &Action,
    status: &ActionStatus,
    client: &WhiskClient,
    wanted: &mut WantedAction,
) -> Result<Option<SemaphorePermit<'static>>, EntityError> {
    if !matches!(wanted.body, Body::Code { zip: None, .. }) {
        return Ok(None);
    }
    let needed = plan(&RemoteAction {
        client,
        wanted,
        known_version: status.version.as_deref(),
    })
    .await?;
    if !wanted.lacks_code(&needed.changes) {
        return Ok(None);
    }
    // Nobody closes it.
    let permit = SENDING.acquire().await.ok();
    if let Some(code) = fetch(context, action).await? {
        wanted.bring_code(code);
    }
    Ok(permit)
}

async fn bring_about(
    context: &Context,
    action: &Action,
    mut status: ActionStatus,
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
    status.activations =
        activations::of_action(client, &wanted.name, status.activations.take()).await;
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
        Body::Image { .. } | Body::Sequence(_) => wanted.body.digest(),
    });
    // What somebody else has put there meanwhile is not what the reference pins.
    let is_wanted = status.digest == Some(wanted.body.digest());
    let oci = action.spec.code.as_ref().and_then(|code| code.oci.as_ref());
    status.code_from = oci.filter(|_| is_wanted).map(|oci| oci.reference.clone());
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
