//! What is paused: nothing is changed of it, nor of the resources that belong to it.

use std::time::Instant;

use kube::{Resource, ResourceExt};

use super::tell::{chain, write};
use super::{Component, Failure, Retry, StatusOf, status_before};
use crate::context::Context;
use crate::status::{
    Condition, Conditioned, ConditionedStatus, PAUSED, is_true, set_condition, told as cut,
};

/// The reason while not all parts are paused yet.
const PAUSING: &str = "PausingParts";
/// The reason once they are. Another one than without parts: a former version paused none.
const WITH_PARTS: &str = "PausedWithParts";

/// Leaves an object alone, and has its parts left alone.
pub(super) async fn rest<C: Component>(context: &Context, object: &C::Kind) -> Result<(), Retry> {
    let mut status = status_before(object);
    if !C::HAS_PARTS {
        let told = "spec.paused is true: nothing is changed";
        tell::<C>(object, &mut status, "Paused", told);
        return write::<C>(context, object, &status).await;
    }
    let said = |reason: &str| {
        let mut known = status.conditions().iter();
        known.any(|c| c.type_ == PAUSED && c.status == "True" && c.reason == reason)
    };
    let (are_paused, has_begun) = (said(WITH_PARTS), said(PAUSING));
    if !are_paused {
        if !has_begun {
            // First: once a part is paused it must be known that it is to go on some day.
            let told = "spec.paused is true: the parts are being paused";
            tell::<C>(object, &mut status, PAUSING, told);
            write::<C>(context, object, &status).await?;
        }
        let started = Instant::now();
        if let Err(failure) = C::pause(context, object, true).await {
            let message = chain(&failure);
            let (reason, took) = (failure.reason(), started.elapsed());
            context.metrics.count_reconcile(C::NAME, reason, took);
            tracing::warn!(component = C::NAME, object = %object.name_any(), message, "the parts could not be paused");
            let told = cut(&format!(
                "spec.paused is true, and not all parts are paused yet: {message}"
            ));
            let is_told = |c: &Condition| c.type_ == PAUSED && c.message == told;
            if !status.conditions().iter().any(is_told) {
                let about = object.object_ref(&());
                context.event(&about, true, reason, &told).await;
            }
            tell::<C>(object, &mut status, PAUSING, &told);
            write::<C>(context, object, &status).await?;
            let retry_after = failure.retry_after();
            return Err(Retry {
                message,
                retry_after,
            });
        }
    }
    let told = "spec.paused is true: nothing is changed, parts included";
    tell::<C>(object, &mut status, WITH_PARTS, told);
    write::<C>(context, object, &status).await
}

/// Lets the parts go on of what is paused no longer.
pub(super) async fn wake<C: Component>(
    context: &Context,
    object: &C::Kind,
) -> Result<(), C::Error> {
    let status = object.status_ref();
    let was_paused = status.is_some_and(|status| is_true(status.conditions(), PAUSED));
    if C::HAS_PARTS && was_paused {
        C::pause(context, object, false).await?;
    }
    Ok(())
}

fn tell<C: Component>(object: &C::Kind, status: &mut StatusOf<C>, reason: &str, told: &str) {
    let generation = object.meta().generation;
    set_condition(
        status.conditions_mut(),
        PAUSED,
        true,
        reason,
        told,
        generation,
    );
}

#[cfg(test)]
#[path = "pause_tests.rs"]
mod tests;
