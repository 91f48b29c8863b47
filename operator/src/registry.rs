//! The registry: one line for each component. CRDs, controllers, RBAC rules and documentation come from it.

use std::pin::Pin;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube::api::ApiResource;
use serde_json::Value;
use tokio::sync::watch;

use crate::context::Context;
use crate::controller::{self, Component, Failure, chain};
use crate::rbac::Rule;
use crate::reconcile::Preparation;

/// The future of a running controller.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The future of a look at what a reconcile would do.
pub type Preparing<'a> = Pin<Box<dyn Future<Output = Result<Preparation, Unprepared>> + Send + 'a>>;

/// Why it cannot be said what a reconcile would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprepared {
    /// Something else has to be there first.
    #[error("{0}")]
    Waits(String),
    /// It would fail.
    #[error("{0}")]
    Fails(String),
}

/// A component, with its types erased.
pub struct Registered {
    /// Name in metrics and logs.
    pub name: &'static str,
    /// Its custom resource.
    pub crd: fn() -> CustomResourceDefinition,
    /// What the operator must be allowed to do for it.
    pub rules: fn() -> Vec<Rule>,
    /// Kinds of the objects that it makes and must hear of.
    pub owned: fn() -> Vec<ApiResource>,
    /// Whether resources of other components belong to it, which rest while it is paused.
    pub has_parts: bool,
    /// What a reconcile of an object, as JSON, would do.
    pub prepare: for<'a> fn(&'a Context, Value) -> Preparing<'a>,
    /// Runs it until told to stop.
    pub run: fn(Arc<Context>, watch::Receiver<bool>) -> Running,
}

impl Registered {
    /// A line of the registry.
    #[must_use]
    pub fn of<C: Component>() -> Self {
        Self {
            name: C::NAME,
            crd: C::Kind::crd,
            rules: C::rules,
            owned: C::owned,
            has_parts: C::HAS_PARTS,
            prepare: |context, object| Box::pin(prepare::<C>(context, object)),
            run: |context, stop| Box::pin(controller::run::<C>(context, stop)),
        }
    }
}

async fn prepare<C: Component>(
    context: &Context,
    object: Value,
) -> Result<Preparation, Unprepared> {
    let object: C::Kind =
        serde_json::from_value(object).map_err(|error| Unprepared::Fails(error.to_string()))?;
    match C::prepare(context, &object).await {
        Ok(preparation) => Ok(preparation),
        Err(failure) if failure.unavailable() => Err(Unprepared::Waits(chain(&failure))),
        Err(failure) => Err(Unprepared::Fails(chain(&failure))),
    }
}

/// Kinds of the objects that any component makes and must hear of, each once.
#[must_use]
pub fn owned() -> Vec<ApiResource> {
    let mut kinds: Vec<ApiResource> = Vec::new();
    for kind in registry()
        .into_iter()
        .flat_map(|component| (component.owned)())
    {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// All components. Adding one is a folder and a line here.
#[must_use]
pub fn registry() -> Vec<Registered> {
    vec![
        Registered::of::<crate::platform::Platforms>(),
        Registered::of::<crate::kafka::Kafka>(),
        Registered::of::<crate::remote::topic::Topics>(),
        Registered::of::<crate::remote::user::Users>(),
        Registered::of::<crate::zookeeper::ZooKeepers>(),
        Registered::of::<crate::hdfs::Hdfs>(),
        Registered::of::<crate::postgres::Postgres>(),
        Registered::of::<crate::mongo::Mongo>(),
        Registered::of::<crate::druid::Druids>(),
        Registered::of::<crate::remote::ingestion::Ingestions>(),
        Registered::of::<crate::openwhisk::Whisks>(),
        Registered::of::<crate::remote::action::Actions>(),
        Registered::of::<crate::remote::trigger::Triggers>(),
        Registered::of::<crate::remote::rule::WhiskRules>(),
        Registered::of::<crate::eventsource::EventSources>(),
        Registered::of::<crate::job::Jobs>(),
        Registered::of::<crate::batch::BatchJobs>(),
    ]
}
