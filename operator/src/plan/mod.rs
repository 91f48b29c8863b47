//! `millrace plan`: what an apply would lead to, down to the pods that would restart. Nothing is written.
//!
//! Each document goes through a dry run of Kubernetes, so that definitions and rules speak. The object as it would be is
//! given to its component's [`prepare`](crate::controller::Component::prepare), and what that gives is compared with what
//! is there by a dry run each. Custom resources among it are looked into in the same way.

mod documents;
mod pause;
mod restart;
mod settings;
mod tell;

use std::pin::Pin;

use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::reconcile::{Difference, Forecast, PendingRestart, Verb, compare, forecast};
use crate::registry::{Registered, Unprepared, registry};
use crate::types::GROUP;

pub use documents::{Apply, DocumentError, read};
pub use restart::Restart;
pub use settings::{Given, SettingsError, settings};
pub use tell::{Summary, summary, write};

/// What would become of an object, and of what is made for it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Kind and name.
    pub resource: String,
    /// `create`, `change`, `remove`, `keep` or `unknown`.
    pub verb: &'static str,
    /// What would differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Difference>,
    /// Pods that would restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,
    /// What else would be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Restarts that would wait for approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingRestart>,
    /// What would wait for something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// What would be refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// What is made for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Planned>,
}

impl Planned {
    fn refused(resource: String, why: String) -> Self {
        Self {
            refused: vec![why],
            ..Self::of(resource, Verb::Unknown)
        }
    }

    fn of(resource: String, verb: Verb) -> Self {
        Self {
            resource,
            verb: match verb {
                Verb::Create => "create",
                Verb::Change => "change",
                Verb::Remove => "remove",
                Verb::Keep => "keep",
                Verb::Unknown => "unknown",
            },
            fields: Vec::new(),
            restarts: Vec::new(),
            steps: Vec::new(),
            pending: Vec::new(),
            waiting: Vec::new(),
            refused: Vec::new(),
            unseen: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// Plans documents in their order, each as if it were applied alone.
pub async fn plan(context: &Context, apply: &Apply, documents: Vec<Value>) -> Vec<Planned> {
    let registry = registry();
    let mut planned = Vec::with_capacity(documents.len());
    for document in documents {
        let called = called(&document);
        planned.push(match apply.dry_run(&context.client, document).await {
            Ok((live, would)) => {
                let forecast = compare(live, would);
                look_into(context, &registry, forecast).await
            }
            Err(error) => Planned::refused(called, error.to_string()),
        });
    }
    planned
}

fn called(object: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or("?").to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

type Looking<'a> = Pin<Box<dyn Future<Output = Planned> + Send + 'a>>;

fn look_into<'a>(
    context: &'a Context,
    registry: &'a [Registered],
    forecast: Forecast,
) -> Looking<'a> {
    Box::pin(async move {
        let called = format!("{}/{}", forecast.kind, forecast.name);
        let mut planned = Planned::of(called, forecast.verb);
        planned.fields = forecast.fields;
        planned.refused.extend(forecast.problem);
        match restart::restarts(&context.client, &forecast.live, &forecast.would).await {
            Ok(restarts) => planned.restarts = restarts,
            Err(why) => planned.unseen.push(why),
        }
        let component = component(registry, &forecast.would);
        if let Some(component) = component {
            if forecast.would["spec"]["paused"] == true {
                pause::rest(&mut planned, &forecast.live, component.has_parts);
            } else {
                parts(context, registry, component, forecast.would, &mut planned).await;
            }
        }
        planned
    })
}

fn component<'a>(registry: &'a [Registered], object: &Value) -> Option<&'a Registered> {
    let (group, _) = object["apiVersion"].as_str()?.split_once('/')?;
    let kind = object["kind"].as_str()?;
    let mut all = registry.iter();
    all.find(|component| group == GROUP && (component.crd)().spec.names.kind == kind)
}

async fn parts(
    context: &Context,
    registry: &[Registered],
    component: &Registered,
    object: Value,
    planned: &mut Planned,
) {
    let preparation = match (component.prepare)(context, object).await {
        Ok(preparation) => preparation,
        Err(Unprepared::Waits(what)) => return planned.waiting.push(what),
        Err(Unprepared::Fails(why)) => return planned.refused.push(why),
    };
    planned.steps.extend(preparation.steps);
    planned.waiting.extend(preparation.waiting);
    planned.refused.extend(preparation.refused);
    planned.unseen.extend(preparation.unseen);
    for batch in preparation.batches {
        match forecast(context, batch).await {
            Ok((forecasts, pending)) => {
                planned.pending.extend(pending);
                for one in forecasts {
                    let one = pause::wake(one);
                    planned.parts.push(look_into(context, registry, one).await);
                }
            }
            Err(error) => planned.refused.push(error.to_string()),
        }
    }
}
