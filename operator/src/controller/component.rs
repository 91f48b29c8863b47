//! What a component is to the controller: its kind, what it owns and watches, and what its reconciles come to.

use std::fmt::Debug;
use std::time::Duration;

use futures::future;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ApiResource;
use kube::runtime::controller::Controller;
use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;

use super::Kept;
use crate::context::Context;
use crate::rbac::Rule;
use crate::reconcile::Preparation;
use crate::status::Conditioned;

/// The status type of a component's kind.
pub type StatusOf<C> = <<C as Component>::Kind as Conditioned>::Status;
/// The controller of a component. A resource that cannot be read does not stop the others.
pub type ControllerOf<C> = Controller<Kept<<C as Component>::Kind>>;

/// What a reconcile came to.
#[derive(Debug)]
pub enum Reconciled<S> {
    /// The status to show, and when to look again though nothing has changed.
    Status(S, Duration),
    /// The object is on its way out and there is nothing left to say of it.
    Gone,
}

/// An error of a reconcile, as it is told to people.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// One word in the form of `TopicMissing`.
    fn reason(&self) -> &'static str;
    /// When to try again though nothing has changed.
    fn retry_after(&self) -> Duration {
        Duration::from_secs(15)
    }
    /// Whether the object is not available unless something made before still serves. Otherwise the condition Available
    /// follows what runs: a spec that cannot be carried out leaves running what ran.
    fn unavailable(&self) -> bool {
        false
    }
}

/// One kind of custom resource and what is done about it.
pub trait Component: Send + Sync + Sized + 'static {
    /// The custom resource.
    type Kind: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + CustomResourceExt
        + Conditioned<Status: Send + Sync + Debug>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// What can go wrong.
    type Error: Failure;
    /// Name in metrics and logs.
    const NAME: &'static str;
    /// Whether objects that are being deleted come to `reconcile` too (because of a finalizer).
    const HANDLES_DELETION: bool = false;

    /// Whether a reconcile is through when it has written its status, so that this is no reason for the next one.
    const DONE_BY_STATUS: bool = false;

    /// Whether resources of other components belong to it, which rest while it is paused.
    const HAS_PARTS: bool = false;

    /// What the operator must be allowed to do for this component.
    fn rules() -> Vec<Rule>;

    /// Kinds of the objects that it makes and must hear of.
    fn owned() -> Vec<ApiResource> {
        Vec::new()
    }

    /// The names of what an object refers to in its namespace (Secrets, ConfigMaps, other resources), for [`super::References::to`].
    fn refers(object: &Self::Kind) -> Vec<String> {
        let _ = object;
        Vec::new()
    }

    /// Adds what else is watched: kinds that it refers to.
    fn watches(
        controller: ControllerOf<Self>,
        context: &Context,
        scope: Option<&str>,
    ) -> ControllerOf<Self> {
        let _ = (context, scope);
        controller
    }

    /// Whether what already runs serves at this moment, whatever has become of the spec; `None` when nothing was made
    /// yet. Asked after a failed reconcile only.
    fn serves(
        context: &Context,
        object: &Self::Kind,
    ) -> impl Future<Output = Result<Option<bool>, kube::Error>> + Send {
        let _ = (context, object);
        future::ready(Ok(None))
    }

    /// What [`Component::reconcile`] would bring about for the object, found by reading alone: what `millrace plan` tells.
    /// Nothing is written, neither to Kubernetes nor inside a system.
    fn prepare(
        context: &Context,
        object: &Self::Kind,
    ) -> impl Future<Output = Result<Preparation, Self::Error>> + Send {
        let _ = (context, object);
        future::ready(Ok(Preparation::unknown()))
    }

    /// Pauses the resources that belong to the object, or lets them go on; for those that [have them](Component::HAS_PARTS).
    fn pause(
        context: &Context,
        object: &Self::Kind,
        paused: bool,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (context, object, paused);
        future::ready(Ok(()))
    }

    /// Brings the world in line with the object.
    fn reconcile(
        context: &Context,
        object: &Self::Kind,
    ) -> impl Future<Output = Result<Reconciled<StatusOf<Self>>, Self::Error>> + Send;
}
