//! How the outcome of a reconcile is told: status, events, metrics, log.

use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::overdue::{self, Hold};
use super::{Component, Failure, Kept, Retry, StatusOf, status_before};
use crate::context::Context;
use crate::status::{AVAILABLE, ConditionedStatus, DEGRADED, is_true, set_condition};

pub(super) async fn tell_availability<C: Component>(
    context: &Context,
    object: &C::Kind,
    status: &StatusOf<C>,
) {
    let Some(condition) = status.conditions().iter().find(|c| c.type_ == AVAILABLE) else {
        return;
    };
    let lost = condition.status != "True";
    tracing::info!(component = C::NAME, object = %object.name_any(), available = !lost, message = condition.message, "availability");
    context
        .event(
            &object.object_ref(&()),
            lost,
            &condition.reason,
            &condition.message,
        )
        .await;
}

/// Tells a failure in the status, as an event when it is news, and in the log.
pub(super) async fn failed<C: Component>(
    context: &Context,
    object: &C::Kind,
    failure: &C::Error,
) -> Retry {
    let message = chain(failure);
    tracing::warn!(component = C::NAME, object = %object.name_any(), namespace = object.namespace(), reason = failure.reason(), message, "reconcile failed");
    let mut status = status_before(object);
    let generation = object.meta().generation;
    let news = status
        .conditions()
        .iter()
        .find(|c| c.type_ == DEGRADED)
        .is_none_or(|c| c.status != "True" || c.reason != failure.reason() || c.message != message);
    set_condition(
        status.conditions_mut(),
        DEGRADED,
        true,
        failure.reason(),
        &message,
        generation,
    );
    let available = is_true(status.conditions(), AVAILABLE);
    let never_said = !status.conditions().iter().any(|c| c.type_ == AVAILABLE);
    let said = match C::serves(context, object).await {
        // What ran goes on, and its own message with it.
        Ok(Some(true)) if available => None,
        Ok(Some(true)) => Some((true, "Ready", "what was made before is ready")),
        Ok(Some(false)) if !failure.unavailable() => Some((
            false,
            "PodsNotReady",
            "no pod of what was made before is ready",
        )),
        Ok(Some(false) | None) if failure.unavailable() || never_said => {
            Some((false, failure.reason(), message.as_str()))
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(component = C::NAME, %error, "what runs could not be read");
            never_said.then_some((false, failure.reason(), message.as_str()))
        }
    };
    if let Some((status_now, reason, message)) = said {
        let conditions = status.conditions_mut();
        set_condition(
            conditions, AVAILABLE, status_now, reason, message, generation,
        );
    }
    if available != is_true(status.conditions(), AVAILABLE) && !failure.unavailable() {
        tell_availability::<C>(context, object, &status).await;
    }
    if news {
        context
            .event(&object.object_ref(&()), true, failure.reason(), &message)
            .await;
    }
    if let Err(error) = context.write_status(object, &status).await {
        tracing::warn!(component = C::NAME, %error, "the status could not be written");
    }
    Retry {
        message,
        retry_after: failure.retry_after(),
    }
}

pub(super) async fn write<C: Component>(
    context: &Context,
    object: &C::Kind,
    status: &StatusOf<C>,
) -> Result<(), Retry> {
    match context.write_status(object, status).await {
        Ok(_) => Ok(()),
        Err(error) => {
            context
                .metrics
                .count_reconcile(C::NAME, "StatusNotWritten", Duration::ZERO);
            tracing::warn!(component = C::NAME, %error, "the status could not be written");
            Err(Retry {
                message: error.to_string(),
                retry_after: Duration::from_secs(5),
            })
        }
    }
}

/// An object of a form that this version cannot read, for example after a downgrade. Its deletion is not held up for that.
pub(super) async fn unreadable<C: Component>(
    context: &Context,
    kept: &Kept<C::Kind>,
    error: &serde_json::Error,
) -> Result<Action, Retry> {
    context
        .metrics
        .count_reconcile(C::NAME, "Unreadable", Duration::ZERO);
    let message = format!(
        "this version of the operator cannot read the object: {error}; correct it, or upgrade the operator"
    );
    tracing::warn!(component = C::NAME, object = %kept.name_any(), message, "unreadable object");
    let mut reference = kept.object_ref(&());
    reference.uid = kept.meta().uid.clone();
    context
        .event(&reference, true, "Unreadable", &message)
        .await;
    let retry_after = match overdue::let_go(context, kept, &message).await {
        Hold::Nothing => Duration::from_secs(300),
        Hold::For(left) => left,
        Hold::LetGo => return Ok(Action::await_change()),
    };
    Err(Retry {
        message,
        retry_after,
    })
}

/// An error with its causes, each once.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
