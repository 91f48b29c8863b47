//! What is said of a user.

use jiff::Timestamp;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::binding::binding_name;
use super::change::{UserChange, WantedUser};
use super::remote::RemoteUser;
use crate::controller::Reconciled;
use crate::remote::pipeline::Outcome;
use crate::remote::resident;
use crate::types::BindingStatus;
use crate::user::crd::{KafkaUser, KafkaUserStatus, PasswordRotation};

/// The status out of what is there now. `refused` is what could not be followed.
pub(super) fn seen(
    user: &KafkaUser,
    mut status: KafkaUserStatus,
    wanted: &WantedUser,
    outcome: &Outcome<RemoteUser<'_>>,
    refused: Option<Invalid>,
) -> Reconciled<KafkaUserStatus> {
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
    resident::there(user, status, "UserThere", &said, refused.as_slice())
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
