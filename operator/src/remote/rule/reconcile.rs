//! The reconciler of Rule.

use std::borrow::Cow;
use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use millrace_contract::Invalid;

use super::change::{RuleChange, WantedRule};
use super::remote::RemoteRule;
use crate::action::crd::Action;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled, affected};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::openwhisk::entity::{self, Entity, WAIT_FOR_OTHERS};
use crate::remote::openwhisk::{Class, EntityError, WhiskClient, WhiskError, activations};
use crate::remote::pipeline::{converge, plan};
use crate::remote::resident::{self, Resident};
use crate::rule::crd::{RuleStatus, WhiskRule};
use crate::topic::crd::DeletionPolicy;
use crate::trigger::crd::Trigger;
use crate::types::GROUP;

/// Stands while the rule is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/openwhisk-rule";

impl Resident for WhiskRule {
    type Home = OpenWhisk;
    const WHAT: &'static str = "rule";
    const EVENT: &'static str = "Rule";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.ruleName";
    const WAITS: &'static str = entity::WAITS;

    fn place(&self) -> Cow<'_, str> {
        self.spec.openwhisk.as_str().into()
    }

    fn name_there(&self) -> &str {
        self.rule_name()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut RuleStatus, name: &str) {
        status.rule_name = Some(name.to_owned());
    }

    fn disown(status: &mut RuleStatus) {
        (status.version, status.active) = (None, None);
        status.activations = None;
    }
}

impl Entity for WhiskRule {
    fn owns(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.version.is_some())
    }

    async fn remove(client: &WhiskClient, name: &str) -> Result<bool, WhiskError> {
        client.delete_rule(name).await
    }
}

/// The component behind Rule.
#[derive(Debug)]
pub struct WhiskRules;

impl Component for WhiskRules {
    type Kind = WhiskRule;
    type Error = EntityError;
    const NAME: &'static str = "rule";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = entity::rules::<WhiskRule>();
        rules.push(Rule::new(
            GROUP,
            &["actions", "triggers"],
            &["list", "watch"],
            "Look at a rule again when its trigger or its action changes.",
        ));
        rules
    }

    fn refers(rule: &WhiskRule) -> Vec<String> {
        vec![rule.spec.trigger.clone(), rule.spec.action.clone()]
    }

    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let controller = resident::watch_homes::<Self>(controller, context, scope);
        let store = controller.store();
        let triggers = context.scoped::<DeserializeGuard<Trigger>>(scope);
        let controller = controller.watches(triggers, watcher::Config::default(), move |guard| {
            let Ok(trigger) = &guard.0 else {
                return Vec::new();
            };
            affected(
                &store,
                trigger.namespace().as_deref(),
                |rule: &WhiskRule| rule.spec.trigger == trigger.trigger_name(),
            )
        });
        let store = controller.store();
        let actions = context.scoped::<DeserializeGuard<Action>>(scope);
        controller.watches(actions, watcher::Config::default(), move |guard| {
            let Ok(action) = &guard.0 else {
                return Vec::new();
            };
            affected(&store, action.namespace().as_deref(), |rule: &WhiskRule| {
                rule.spec.action == action.action_name()
            })
        })
    }

    async fn prepare(context: &Context, rule: &WhiskRule) -> Result<Preparation, EntityError> {
        let wanted = WantedRule {
            name: rule.rule_name().to_owned(),
            trigger: rule.spec.trigger.clone(),
            action: rule.spec.action.clone(),
            active: rule.spec.active,
        };
        let client = match entity::ask(context, rule).await? {
            Ok(client) => client,
            Err(told) => return Ok(told),
        };
        let client = &client;
        entity::look(async {
            if let Some((_, missing)) = missing(client, &wanted).await? {
                return Ok(Preparation::waits(missing.to_string()));
            }
            let remote = RemoteRule {
                client,
                wanted: &wanted,
            };
            Ok(plan(&remote).await?.into())
        })
        .await
    }

    async fn reconcile(
        context: &Context,
        rule: &WhiskRule,
    ) -> Result<Reconciled<RuleStatus>, EntityError> {
        let (server, status) = match entity::begin(context, rule).await? {
            ControlFlow::Break(settled) => return Ok(settled),
            ControlFlow::Continue(begun) => begun,
        };
        let wanted = WantedRule {
            name: rule.rule_name().to_owned(),
            trigger: rule.spec.trigger.clone(),
            action: rule.spec.action.clone(),
            active: rule.spec.active,
        };
        let client = match entity::reach(context, rule, server.as_ref()).await? {
            Ok(client) => client,
            Err(waiting) => return Ok(resident::wait_for_home(rule, status, &waiting)),
        };
        if let Some((reason, missing)) = missing(&client, &wanted).await? {
            return Ok(wait(rule, status, reason, &missing));
        }
        let remote = RemoteRule {
            client: &client,
            wanted: &wanted,
        };
        let outcome = match converge(&remote).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Between the look and the change trigger or action may go.
                return match missing(&client, &wanted).await? {
                    Some((reason, missing)) => Ok(wait(rule, status, reason, &missing)),
                    None => Err(explain(error, &wanted)),
                };
            }
        };
        for change in &outcome.made {
            let created = matches!(change, RuleChange::Create { .. });
            entity::tell(context, rule, created, &change.to_string()).await;
        }
        let mut status = status;
        let Some(record) = &outcome.observed else {
            return Ok(entity::vanished(rule, status));
        };
        status.version = Some(record.version.clone());
        status.active = Some(record.status == "active");
        status.activations = activations::of_rule(
            &client,
            &wanted.name,
            &wanted.trigger,
            &wanted.action,
            status.activations.take(),
        )
        .await;
        let said = format!(
            "installed as /{}/{}, version {}, {}",
            record.namespace, record.name, record.version, record.status
        );
        Ok(entity::installed(rule, status, &said))
    }
}

fn wait(
    rule: &WhiskRule,
    mut status: RuleStatus,
    reason: &str,
    missing: &Invalid,
) -> Reconciled<RuleStatus> {
    // Without its trigger or its action a rule runs nothing, whatever its state says.
    status.active = Some(false);
    resident::wait(rule, status, reason, &missing.to_string(), WAIT_FOR_OTHERS)
}

/// The trigger or the action that is not in OpenWhisk, with the reason for the condition.
async fn missing(
    client: &WhiskClient,
    wanted: &WantedRule,
) -> Result<Option<(&'static str, Invalid)>, WhiskError> {
    if client.trigger(&wanted.trigger).await?.is_none() {
        let missing = Invalid::new(
            "spec.trigger",
            &wanted.trigger,
            "there is no trigger of that name in OpenWhisk yet",
            "create a Trigger of that name, or name one that exists",
        );
        return Ok(Some(("WaitingForTrigger", missing)));
    }
    if client.action(&wanted.action, false).await?.is_none() {
        let missing = Invalid::new(
            "spec.action",
            &wanted.action,
            "there is no action of that name in OpenWhisk yet",
            "create an Action of that name, or name one that exists",
        );
        return Ok(Some(("WaitingForAction", missing)));
    }
    Ok(None)
}

/// A refusal of the specification as field, value and cure; any other error as it is.
fn explain(error: WhiskError, wanted: &WantedRule) -> EntityError {
    match &error {
        WhiskError::Refused {
            class: Class::Invalid,
            message,
            ..
        } => EntityError::Invalid(Invalid::new(
            "spec.ruleName",
            &wanted.name,
            format!("OpenWhisk says: {message}"),
            "correct the specification",
        )),
        _ => EntityError::Whisk(error),
    }
}
