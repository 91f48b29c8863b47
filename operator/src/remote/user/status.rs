//! What is said of a user.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use millrace_contract::Invalid;

use super::binding::binding_name;
use super::change::{UserChange, WantedUser};
use super::remote::RemoteUser;
use crate::controller::Reconciled;
use crate::remote::pipeline::Outcome;
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::BindingStatus;
use crate::user::crd::{KafkaUser, KafkaUserStatus, PasswordRotation};

/// Drift inside Kafka sends no event, and neither does a Secret of the user's: so often they are looked at.
const RESYNC: Duration = Duration::from_secs(60);
/// The watch of the cluster tells when it becomes available; this only covers a lost event.
const WAIT: Duration = Duration::from_secs(15);

pub(super) fn waits(
    user: &KafkaUser,
    mut status: KafkaUserStatus,
    waiting: &Invalid,
) -> Reconciled<KafkaUserStatus> {
    let generation = user.meta().generation;
    let text = waiting.to_string();
    for (type_, value) in [(AVAILABLE, false), (PROGRESSING, true)] {
        let conditions = &mut status.conditions;
        set_condition(
            conditions,
            type_,
            value,
            "WaitingForKafka",
            &text,
            generation,
        );
    }
    Reconciled::Status(status, WAIT)
}

/// What stands against the user as a whole: another one owns it, or the cluster knows no users.
pub(super) fn stands_against(
    user: &KafkaUser,
    mut status: KafkaUserStatus,
    reason: &str,
    text: &str,
) -> Reconciled<KafkaUserStatus> {
    let generation = user.meta().generation;
    status.binding = None;
    status.rotation = None;
    for (type_, value, text) in [
        (AVAILABLE, false, text),
        (PROGRESSING, false, ""),
        (DEGRADED, true, text),
    ] {
        set_condition(
            &mut status.conditions,
            type_,
            value,
            reason,
            text,
            generation,
        );
    }
    Reconciled::Status(status, RESYNC)
}

/// The status out of what is there now. `refused` is what could not be followed.
pub(super) fn seen(
    user: &KafkaUser,
    mut status: KafkaUserStatus,
    wanted: &WantedUser,
    outcome: &Outcome<RemoteUser<'_>>,
    refused: Option<Invalid>,
) -> Reconciled<KafkaUserStatus> {
    let generation = user.meta().generation;
    let binding = binding_name(&user.name_any());
    let before = status.rotation.take().unwrap_or_default();
    let changed = wanted.password.news.is_some();
    status.rotation = Some(PasswordRotation {
        rotated_for: wanted.password.rotated_for.clone(),
        changed_at: if changed {
            Some(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        } else {
            before.changed_at
        },
    });
    let observed = &outcome.observed;
    let said = format!(
        "user {} has {} and {}; the Secret {binding} has its password",
        wanted.name,
        counted(observed.acls.len(), "access rule"),
        counted(observed.quotas.len(), "quota"),
    );
    status.binding = Some(BindingStatus { name: binding });
    let conditions = &mut status.conditions;
    set_condition(conditions, AVAILABLE, true, "UserThere", &said, generation);
    set_condition(conditions, PROGRESSING, false, "Settled", "", generation);
    if let Some(refused) = refused {
        let text = refused.to_string();
        set_condition(conditions, DEGRADED, true, "Refused", &text, generation);
    }
    Reconciled::Status(status, RESYNC)
}

/// Word for the events of a change.
pub(super) fn reason(change: &UserChange) -> &'static str {
    match change {
        UserChange::SetPassword { .. } | UserChange::RemovePassword { .. } => "PasswordChanged",
        _ => "UserChanged",
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
