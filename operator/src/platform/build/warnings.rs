//! How alerts become warnings: actions, and the event sources that feed them. Pure.

use serde_json::{Value, json};

use super::gateway::plain_service;
use super::{meta, part};
use crate::action::crd::{Action, ActionCode, ActionLimits, ActionSpec, SecretParameter};
use crate::eventsource::crd::{Backoff, EventSource, EventSourceSpec, MAX_ATTEMPTS};
use crate::job::HTTP_PORT;
use crate::platform::crd::{PlatformGateway, PlatformWarnings};
use crate::platform::validate::ValidatedPlatform;
use crate::topic::crd::DeletionPolicy;
use crate::types::{FreeForm, KeyRef};

/// The consumer groups that turn alerts into warnings. The gateway waits for them in its answer about the flow.
pub(super) const GROUPS: [&str; 2] = ["dispatch-warnings", "dispatch-zones"];

/// A way of alerts to the driver.
struct Way {
    /// Name of the event source.
    name: &'static str,
    /// Its consumer group.
    group: &'static str,
    /// The alerts that take it.
    filter: &'static str,
    /// The sequence that they are brought to.
    sequence: &'static str,
    /// The action that judges them; the driver is notified after it.
    judge: &'static str,
}

const WAYS: [Way; 2] = [
    Way {
        name: "warnings",
        group: GROUPS[0],
        filter: "zone IS NULL",
        sequence: "warn-driver",
        judge: "assess-vehicle",
    },
    Way {
        name: "zones",
        group: GROUPS[1],
        filter: "zone IS NOT NULL",
        sequence: "warn-zone",
        judge: "warn-geofence",
    },
];

/// The actions of the warnings.
pub(super) fn actions(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
    warnings: &PlatformWarnings,
) -> Vec<Action> {
    let mut actions = vec![action(
        platform,
        "notify-driver",
        notify(platform, gateway, warnings),
    )];
    for way in &WAYS {
        actions.push(action(
            platform,
            way.judge,
            builtin(platform, way.judge, 10_000),
        ));
        let mut sequence = builtin(platform, way.sequence, 60_000);
        sequence.code = None;
        sequence.sequence = Some(vec![way.judge.into(), "notify-driver".into()]);
        actions.push(action(platform, way.sequence, sequence));
    }
    actions
}

fn action(platform: &ValidatedPlatform, name: &str, spec: ActionSpec) -> Action {
    Action {
        metadata: meta(platform, name),
        spec,
        status: None,
    }
}

fn builtin(platform: &ValidatedPlatform, name: &str, timeout_milliseconds: i32) -> ActionSpec {
    ActionSpec {
        openwhisk: part(platform, "whisk"),
        action_name: Some(name.into()),
        code: Some(ActionCode {
            builtin: Some(name.into()),
            config_map: None,
        }),
        sequence: None,
        kind: "rust:default".into(),
        main: "main".into(),
        parameters: FreeForm::new(),
        parameters_from: Vec::new(),
        annotations: Default::default(),
        limits: ActionLimits {
            timeout_milliseconds,
            ..ActionLimits::default()
        },
        deletion_policy: DeletionPolicy::Delete,
        paused: false,
    }
}

fn notify(
    platform: &ValidatedPlatform,
    gateway: &PlatformGateway,
    warnings: &PlatformWarnings,
) -> ActionSpec {
    let url = format!(
        "http://{}.{}.svc:{HTTP_PORT}",
        plain_service(platform, gateway),
        platform.owner.namespace
    );
    let mut parameters: Vec<(&str, Value)> = vec![
        ("gateway_url", json!(url)),
        ("language", json!(warnings.language)),
        ("channels", json!(warnings.channels)),
        ("ttl_seconds", json!(warnings.time_to_live_seconds)),
    ];
    let mut secrets = vec![SecretParameter {
        name: "notify_token".into(),
        secret_ref: KeyRef {
            name: part(platform, "gateway"),
            key: "notify-token".into(),
        },
    }];
    if let Some(webhook) = &warnings.webhook {
        parameters.push(("webhook_url", json!(webhook.url)));
        secrets.push(SecretParameter {
            name: "webhook_secret".into(),
            secret_ref: webhook.secret_ref.clone(),
        });
    }
    if let Some(smtp) = &warnings.smtp {
        parameters.push(("smtp_from", json!(smtp.from)));
        parameters.push(("smtp_to", json!(smtp.to)));
        secrets.push(SecretParameter {
            name: "smtp_url".into(),
            secret_ref: smtp.secret_ref.clone(),
        });
    }
    let mut notify = builtin(platform, "notify-driver", 30_000);
    notify.parameters = parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    notify.parameters_from = secrets;
    notify
}

/// How often a warning is tried, so that it is given up only when it is no longer worth telling.
///
/// A gateway that is away fails the action, and a failure counts as an attempt. How long a failing attempt takes is not
/// counted, and each wait with the least that dispatch makes of it, three quarters.
fn attempts(time_to_live_seconds: i32, backoff: &Backoff) -> i32 {
    let longest = i64::from(backoff.maximum_milliseconds).max(1);
    let mut left = i64::from(time_to_live_seconds) * 1000;
    let mut wait = i64::from(backoff.initial_milliseconds).clamp(1, longest);
    let mut attempts = 1;
    while left > 0 && attempts < MAX_ATTEMPTS {
        left -= (wait * 3 / 4).max(1);
        wait = (wait * 2).min(longest);
        attempts += 1;
    }
    attempts
}

/// The event sources of the warnings.
pub(super) fn event_sources(
    platform: &ValidatedPlatform,
    warnings: &PlatformWarnings,
) -> Vec<EventSource> {
    WAYS.iter()
        .map(|way| event_source(platform, warnings, way))
        .collect()
}

fn event_source(
    platform: &ValidatedPlatform,
    warnings: &PlatformWarnings,
    way: &Way,
) -> EventSource {
    let backoff = Backoff::default();
    EventSource {
        metadata: meta(platform, way.name),
        spec: EventSourceSpec {
            topic: part(platform, millrace_contract::topics::ALERTS),
            action: Some(part(platform, way.sequence)),
            trigger: None,
            filter: Some(way.filter.into()),
            batch: None,
            partial_failure: false,
            bisect: false,
            maximum_age_seconds: None,
            group: Some(way.group.into()),
            attempts: attempts(warnings.time_to_live_seconds, &backoff),
            backoff,
            max_in_flight: 16,
            dead_letter_topic: Some(part(platform, millrace_contract::topics::DEAD_LETTERS)),
            replicas: warnings
                .replicas
                .unwrap_or(platform.sizes.dispatch_replicas),
            image: platform
                .detect
                .as_ref()
                .and_then(|detect| detect.image.clone()),
            resources: Some(platform.sizes.dispatch.clone()),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_tried_as_long_as_they_are_worth_telling() {
        let backoff = Backoff::default();
        assert_eq!(attempts(900, &backoff), 48);
        assert_eq!(attempts(1, &backoff), 4);
        assert!((3840..MAX_ATTEMPTS).contains(&attempts(86_400, &backoff)));
    }
}
