//! The registry: one line for each component. CRDs, controllers, RBAC rules and documentation come from it.

use std::pin::Pin;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use tokio::sync::watch;

use crate::context::Context;
use crate::controller::{self, Component};
use crate::rbac::Rule;

/// The future of a running controller.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A component, with its types erased.
pub struct Registered {
    /// Name in metrics and logs.
    pub name: &'static str,
    /// Its custom resource.
    pub crd: fn() -> CustomResourceDefinition,
    /// What the operator must be allowed to do for it.
    pub rules: fn() -> Vec<Rule>,
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
            run: |context, stop| Box::pin(controller::run::<C>(context, stop)),
        }
    }
}

/// All components. Adding one is a folder and a line here.
#[must_use]
pub fn registry() -> Vec<Registered> {
    vec![
        Registered::of::<crate::platform::Platforms>(),
        Registered::of::<crate::kafka::Kafka>(),
        Registered::of::<crate::remote::topic::Topics>(),
        Registered::of::<crate::openwhisk::Whisks>(),
        Registered::of::<crate::remote::action::Actions>(),
        Registered::of::<crate::remote::trigger::Triggers>(),
        Registered::of::<crate::remote::rule::WhiskRules>(),
        Registered::of::<crate::eventsource::EventSources>(),
        Registered::of::<crate::job::Jobs>(),
    ]
}
