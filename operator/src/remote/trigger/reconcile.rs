//! The reconciler of Trigger.

use std::borrow::Cow;
use std::ops::ControlFlow;

use kube::ResourceExt;
use millrace_contract::Invalid;

use super::change::{TriggerChange, WantedTrigger};
use super::remote::RemoteTrigger;
use crate::context::Context;
use crate::controller::{Component, ControllerOf, Reconciled};
use crate::openwhisk::crd::OpenWhisk;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::remote::openwhisk::entity::{self, Entity};
use crate::remote::openwhisk::order::Leaving;
use crate::remote::openwhisk::{
    Class, EntityError, WhiskClient, WhiskError, activations, parameters,
};
use crate::remote::pipeline::{converge, plan};
use crate::remote::resident::{self, KubernetesError, Resident};
use crate::rule::crd::WhiskRule;
use crate::topic::crd::DeletionPolicy;
use crate::trigger::crd::{Trigger, TriggerStatus};
use crate::types::GROUP;

/// Stands while the trigger is to go with its resource.
pub const FINALIZER: &str = "millrace.dev/openwhisk-trigger";

impl Resident for Trigger {
    type Home = OpenWhisk;
    const WHAT: &'static str = "trigger";
    const EVENT: &'static str = "Trigger";
    const FINALIZER: &'static str = FINALIZER;
    const NAME_FIELD: &'static str = "spec.triggerName";
    const WAITS: &'static str = entity::WAITS;

    fn place(&self) -> Cow<'_, str> {
        self.spec.openwhisk.as_str().into()
    }

    fn name_there(&self) -> &str {
        self.trigger_name()
    }

    fn deletion_policy(&self) -> DeletionPolicy {
        self.spec.deletion_policy
    }

    fn note_name(status: &mut TriggerStatus, name: &str) {
        status.trigger_name = Some(name.to_owned());
    }

    fn disown(status: &mut TriggerStatus) {
        (status.version, status.activations) = (None, None);
    }
}

impl Entity for Trigger {
    fn owns(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.version.is_some())
    }

    async fn remove(client: &WhiskClient, name: &str) -> Result<bool, WhiskError> {
        client.delete_trigger(name).await
    }

    async fn goes_after(&self, leaving: Leaving<'_>) -> Result<Option<String>, KubernetesError> {
        let name = self.trigger_name();
        let rule = leaving.first(|rule: &WhiskRule| rule.spec.trigger == name);
        rule.await
    }
}

/// The component behind Trigger.
#[derive(Debug)]
pub struct Triggers;

impl Component for Triggers {
    type Kind = Trigger;
    type Error = EntityError;
    const NAME: &'static str = "trigger";
    const HANDLES_DELETION: bool = true;

    fn rules() -> Vec<Rule> {
        let mut rules = entity::rules::<Trigger>();
        rules.push(Rule::new(
            GROUP,
            &["rules"],
            &["get"],
            "Remove a trigger or an action after the rules that are deleted together with it.",
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

    async fn prepare(context: &Context, trigger: &Trigger) -> Result<Preparation, EntityError> {
        let spec = &trigger.spec;
        let namespace = trigger.namespace().unwrap_or_default();
        let wanted = WantedTrigger {
            name: trigger.trigger_name().to_owned(),
            parameters: parameters(context, &namespace, &spec.parameters, &spec.parameters_from)
                .await?,
            annotations: spec.annotations.clone().into_iter().collect(),
        };
        let client = match entity::ask(context, trigger).await? {
            Ok(client) => client,
            Err(told) => return Ok(told),
        };
        let client = &client;
        entity::look(async {
            let remote = RemoteTrigger {
                client,
                wanted: &wanted,
            };
            Ok(plan(&remote).await?.into())
        })
        .await
    }

    async fn reconcile(
        context: &Context,
        trigger: &Trigger,
    ) -> Result<Reconciled<TriggerStatus>, EntityError> {
        let (server, mut status) = match entity::begin(context, trigger).await? {
            ControlFlow::Break(settled) => return Ok(settled),
            ControlFlow::Continue(begun) => begun,
        };
        let spec = &trigger.spec;
        let namespace = trigger.namespace().unwrap_or_default();
        let wanted = WantedTrigger {
            name: trigger.trigger_name().to_owned(),
            parameters: parameters(context, &namespace, &spec.parameters, &spec.parameters_from)
                .await?,
            annotations: spec.annotations.clone().into_iter().collect(),
        };
        let client = match entity::reach(context, trigger, server.as_ref()).await? {
            Ok(client) => client,
            Err(waiting) => return Ok(resident::wait_for_home(trigger, status, &waiting)),
        };
        let remote = RemoteTrigger {
            client: &client,
            wanted: &wanted,
        };
        let outcome = converge(&remote)
            .await
            .map_err(|error| explain(error, &wanted))?;
        for change in &outcome.made {
            let created = matches!(change, TriggerChange::Create { .. });
            entity::tell(context, trigger, created, &change.to_string()).await;
        }
        let Some(record) = &outcome.observed else {
            return Ok(entity::vanished(trigger, status));
        };
        status.version = Some(record.version.clone());
        status.activations =
            activations::of_trigger(&client, &wanted.name, status.activations.take()).await;
        let said = format!(
            "installed as /{}/{}, version {}",
            record.namespace, record.name, record.version
        );
        Ok(entity::installed(trigger, status, &said))
    }
}

/// A refusal of the specification as field, value and cure; any other error as it is.
fn explain(error: WhiskError, wanted: &WantedTrigger) -> EntityError {
    let WhiskError::Refused {
        class: Class::Invalid | Class::TooLarge,
        message,
        ..
    } = &error
    else {
        return EntityError::Whisk(error);
    };
    let keys: Vec<&str> = wanted.parameters.keys().map(String::as_str).collect();
    let (field, value, cure) = if message.contains("arameters") {
        ("spec.parameters", keys.join(", "), "give less")
    } else if message.contains("nnotations") {
        ("spec.annotations", String::new(), "give less")
    } else if message.contains("name of the entity") {
        let cure = "use letters, digits, '_', '-', '.', '@' and blanks";
        ("spec.triggerName", wanted.name.clone(), cure)
    } else {
        ("spec", wanted.name.clone(), "correct the specification")
    };
    let problem = format!("OpenWhisk says: {message}");
    EntityError::Invalid(Invalid::new(field, value, problem, cure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn refusals_lead_to_a_field() {
        let wanted = WantedTrigger {
            name: "t".to_owned(),
            parameters: BTreeMap::from([("p".to_owned(), "hidden".into())]),
            annotations: BTreeMap::new(),
        };
        let told = |status: u16, said: &str| {
            let body = serde_json::json!({ "error": said }).to_string();
            let error = WhiskError::refused("write trigger t", status, body.as_bytes());
            explain(error, &wanted).to_string()
        };
        assert_eq!(
            told(413, "parameters larger than allowed: 2 > 1 bytes."),
            "spec.parameters: p: OpenWhisk says: parameters larger than allowed: 2 > 1 bytes.; give less"
        );
        assert!(
            told(400, "The name of the entity contains illegal characters.")
                .starts_with("spec.triggerName: t: ")
        );
        assert!(told(503, "busy").starts_with("OpenWhisk refused to write trigger t: 503"));
    }
}
