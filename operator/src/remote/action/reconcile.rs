//! The reconciler of Action.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;

use super::change::{ActionChange, Body, WantedAction, sha256};
use super::error::ActionError;
use super::explain::explain;
use super::remote::RemoteAction;
use super::resolve::resolve;
use crate::action::crd::{Action, ActionStatus};
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected, status_of};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::remote::claim;
use crate::remote::openwhisk::{WhiskClient, WhiskError};
use crate::remote::pipeline::{Outcome, converge};
use crate::remote::release::{self, Component as Lives, Release};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::topic::crd::DeletionPolicy;
use crate::types::GROUP;

/// Stands while the action is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/openwhisk-action";

/// Drift inside OpenWhisk, and of Secrets and ConfigMaps referred to, sends no event: so often it is looked for.
const RESYNC: Duration = Duration::from_secs(60);
/// The watch of the OpenWhisk tells when it becomes available; this only covers a lost event.
const WAIT: Duration = Duration::from_secs(15);
/// Components of a sequence become available soon or not at all.
const WAIT_FOR_COMPONENTS: Duration = Duration::from_secs(3);
/// Code runs to megabytes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The component behind Action.
#[derive(Debug)]
pub struct Actions;

impl Component for Actions {
    type Kind = Action;
    type Error = ActionError;
    const NAME: &'static str = "action";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = Rule::own_kind("actions");
        rules.push(Rule::new(
            GROUP,
            &["actions"],
            &["patch"],
            "Label an action with what it claims, and hold its deletion until it is gone from OpenWhisk.",
        ));
        rules.push(Rule::new(
            GROUP,
            &["openwhisks"],
            &["get", "list", "watch"],
            "Find the OpenWhisk of an action and wait until it is available.",
        ));
        rules.push(Rule::new(
            "",
            &["secrets"],
            &["get"],
            "Read the key of an OpenWhisk and the parameters of actions that are kept in Secrets.",
        ));
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
        let store = controller.store();
        let servers = context.scoped::<DeserializeGuard<OpenWhisk>>(scope);
        controller.watches(servers, watcher::Config::default(), move |server| {
            let name = server.name_any();
            affected(&store, server.namespace().as_deref(), |action: &Action| {
                action.spec.openwhisk == name
            })
        })
    }

    async fn reconcile(
        context: &Context,
        action: &Action,
    ) -> Result<Reconciled<ActionStatus>, ActionError> {
        let namespace = action.namespace().unwrap_or_default();
        let server = context
            .namespaced::<OpenWhisk>(&namespace)
            .get_opt(&action.spec.openwhisk)
            .await
            .map_err(ActionError::kubernetes("read the OpenWhisk"))?;
        if action.meta().deletion_timestamp.is_some() {
            return delete(context, action, server.as_ref()).await;
        }
        let mine = claim::claim(&action.spec.openwhisk, action.action_name());
        let removed_with_it = action.spec.deletion_policy == DeletionPolicy::Delete;
        let labels = [(claim::CLAIM_LABEL, mine.as_str())];
        claim::set_metadata(context, action, &labels, FINALIZER, removed_with_it)
            .await
            .map_err(ActionError::kubernetes("label the Action"))?;

        let mut status = status_of(action);
        status.action_name = Some(action.action_name().to_owned());
        let all = claim::claimants::<Action>(context, &namespace, &mine)
            .await
            .map_err(ActionError::kubernetes("list Actions"))?;
        if let Some(owner) = claim::older_rival(action, &all) {
            return Ok(claimed_by(action, status, owner));
        }
        // What is wrong in the specification is told even while the server is away.
        let wanted = resolve(context, action).await?;
        let client =
            match reach(context, &namespace, &action.spec.openwhisk, server.as_ref()).await? {
                Ok(client) => client,
                Err(waiting) => {
                    return Ok(wait(
                        action,
                        status,
                        "WaitingForOpenWhisk",
                        &waiting.to_string(),
                        WAIT,
                    ));
                }
            };
        if let Some(missing) = missing_component(&client, &wanted).await? {
            let text = missing.to_string();
            return Ok(wait(
                action,
                status,
                "WaitingForComponents",
                &text,
                WAIT_FOR_COMPONENTS,
            ));
        }
        bring_about(context, action, status, &client, &wanted).await
    }
}

/// A client of the server, or why there is none yet.
async fn reach(
    context: &Context,
    namespace: &str,
    name: &str,
    server: Option<&OpenWhisk>,
) -> Result<Result<WhiskClient, Invalid>, ActionError> {
    let refer =
        |problem: &str, cure: &str| Err(Invalid::new("spec.openwhisk", name, problem, cure));
    let Some(server) = server else {
        return Ok(refer(
            "there is no OpenWhisk of that name in the namespace",
            "create it, or name one that exists",
        ));
    };
    let binding = server
        .status
        .as_ref()
        .filter(|status| is_true(&status.conditions, AVAILABLE))
        .and_then(|status| status.binding.as_ref());
    let Some(binding) = binding else {
        return Ok(refer(
            "the OpenWhisk is not available yet",
            "nothing to do: the action follows as soon as it is",
        ));
    };
    let secret = context
        .namespaced::<Secret>(namespace)
        .get_opt(&binding.name)
        .await
        .map_err(ActionError::kubernetes("read the binding of the OpenWhisk"))?;
    let field = |key: &str| {
        let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
        data.and_then(|data| data.get(key))
            .and_then(|value| String::from_utf8(value.0.clone()).ok())
            .map(|text| text.trim().to_owned())
    };
    let (Some(uri), Some(user), Some(key)) = (field("uri"), field("username"), field("password"))
    else {
        return Ok(refer(
            &format!(
                "its binding Secret {} lacks uri, username or password",
                binding.name
            ),
            "nothing to do: the OpenWhisk writes it again",
        ));
    };
    Ok(Ok(WhiskClient::new(&uri, &user, &key, CALL_TIMEOUT)?))
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
) -> Result<Reconciled<ActionStatus>, ActionError> {
    let known_version = status.version.clone();
    let remote = RemoteAction {
        client,
        wanted,
        known_version: known_version.as_deref(),
    };
    let outcome = converge(&remote)
        .await
        .map_err(|error| match explain(&error, wanted) {
            Some(invalid) => ActionError::Invalid(invalid),
            None => ActionError::Whisk(error),
        })?;
    for change in &outcome.made {
        tracing::info!(action = %action.name_any(), namespace = action.namespace(), %change, "changed in OpenWhisk");
        let reason = match change {
            ActionChange::Create { .. } => "ActionCreated",
            _ => "ActionChanged",
        };
        context
            .event(&action.object_ref(&()), false, reason, &change.to_string())
            .await;
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
    let generation = action.meta().generation;
    let Some(observed) = &outcome.observed else {
        let text = "somebody deleted the action just now; it is created again";
        return wait(action, status, "Creating", text, Duration::from_secs(2));
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
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        true,
        "Installed",
        &said,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        false,
        "Settled",
        "",
        generation,
    );
    Reconciled::Status(status, RESYNC)
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

fn wait(
    action: &Action,
    mut status: ActionStatus,
    reason: &str,
    text: &str,
    again: Duration,
) -> Reconciled<ActionStatus> {
    let generation = action.meta().generation;
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        false,
        reason,
        text,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        true,
        reason,
        text,
        generation,
    );
    Reconciled::Status(status, again)
}

/// Another resource named the action first: this one leaves it alone.
fn claimed_by(
    action: &Action,
    mut status: ActionStatus,
    owner: &Action,
) -> Reconciled<ActionStatus> {
    let generation = action.meta().generation;
    let text = Invalid::new(
        "spec.actionName",
        action.action_name(),
        format!(
            "the action belongs to the older Action {}",
            owner.name_any()
        ),
        "delete one of the two, or give another name",
    )
    .to_string();
    // Deleting this resource must not delete what belongs to the owner.
    status.version = None;
    status.digest = None;
    status.settings_digest = None;
    set_condition(
        &mut status.conditions,
        AVAILABLE,
        false,
        "Claimed",
        &text,
        generation,
    );
    set_condition(
        &mut status.conditions,
        PROGRESSING,
        false,
        "Claimed",
        "",
        generation,
    );
    set_condition(
        &mut status.conditions,
        DEGRADED,
        true,
        "Claimed",
        &text,
        generation,
    );
    Reconciled::Status(status, RESYNC)
}

async fn delete(
    context: &Context,
    action: &Action,
    server: Option<&OpenWhisk>,
) -> Result<Reconciled<ActionStatus>, ActionError> {
    if !action.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(Reconciled::Gone);
    }
    let name = action.action_name();
    let lives = match server {
        None => Lives::Gone,
        Some(server) if server.meta().deletion_timestamp.is_some() => Lives::Going,
        Some(_) => Lives::Present,
    };
    // Only what this resource was seen to own is removed.
    let remove = action.spec.deletion_policy == DeletionPolicy::Delete
        && action
            .status
            .as_ref()
            .is_some_and(|status| status.version.is_some());
    let asked = action
        .meta()
        .deletion_timestamp
        .as_ref()
        .map_or_else(Timestamp::now, |t| t.0);
    let what = format!("action {name}");
    let decision = release::decide(
        remove,
        lives,
        &what,
        asked,
        Timestamp::now(),
        release::TIME_LIMIT,
    );
    let note = match decision {
        Release::Now(why) => why,
        Release::AfterRemoval => {
            let namespace = action.namespace().unwrap_or_default();
            match reach(context, &namespace, &action.spec.openwhisk, server).await? {
                Ok(client) => match client.delete_action(name).await {
                    Ok(true) => format!("{what} was deleted"),
                    Ok(false) => format!("{what} was gone already"),
                    Err(source) => return Err(ActionError::Removal { source }),
                },
                Err(waiting) => {
                    let text = format!(
                        "{what} is to be deleted: {waiting}; the resource is let go after {} s",
                        release::TIME_LIMIT.as_secs()
                    );
                    let again = Duration::from_secs(5);
                    return Ok(wait(
                        action,
                        status_of(action),
                        "WaitingForOpenWhisk",
                        &text,
                        again,
                    ));
                }
            }
        }
    };
    context
        .event(&action.object_ref(&()), false, "ActionReleased", &note)
        .await;
    claim::set_metadata(context, action, &[], FINALIZER, false)
        .await
        .map_err(ActionError::kubernetes("let the Action go"))?;
    Ok(Reconciled::Gone)
}
