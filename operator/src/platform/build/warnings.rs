//! How alerts become warnings: actions, and the event sources that feed them. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gateway::gateway_url;
use super::mongo::documents;
use super::outside::{Pods, outside};
use super::users::User;
use super::{meta, part};
use crate::action::crd::{Action, ActionCode, ActionLimits, ActionSpec, SecretParameter};
use crate::eventsource::crd::{
    Backoff, EventSource, EventSourceSpec, MAX_ATTEMPTS, StartingPosition,
};
use crate::platform::crd::{Channel, PlatformWarnings};
use crate::platform::validate::ValidatedPlatform;
use crate::topic::crd::DeletionPolicy;
use crate::types::{FreeForm, KeyRef, Operation};

/// The consumer groups that turn alerts into what the vehicle is told. The gateway waits for them in its answer about
/// the flow.
const VEHICLE_GROUPS: [&str; 2] = ["dispatch-warnings", "dispatch-zones"];

/// The action that judges any alert.
const ASSESS: &str = "assess-vehicle";

/// The code of the action that tells, whomever.
const NOTIFY: &str = "notify-driver";

/// A way of alerts to somebody.
struct Way {
    /// Name of the event source.
    name: &'static str,
    /// Its consumer group.
    group: &'static str,
    /// The alerts that take it; all when absent.
    filter: Option<&'static str>,
    /// The sequence that they are brought to.
    sequence: &'static str,
    /// The action that judges them.
    judge: &'static str,
    /// The action that tells them.
    notify: &'static str,
    /// Where that tells them.
    channel: Channel,
    /// How long telling may take, in milliseconds.
    patience: i32,
}

/// Each channel has ways of its own, so that a receiver that is away keeps nobody else waiting.
const WAYS: [Way; 4] = [
    Way {
        name: "warnings",
        group: VEHICLE_GROUPS[0],
        filter: Some("zone IS NULL"),
        sequence: "warn-driver",
        judge: ASSESS,
        notify: NOTIFY,
        channel: Channel::Vehicle,
        patience: 30_000,
    },
    Way {
        name: "zones",
        group: VEHICLE_GROUPS[1],
        filter: Some("zone IS NOT NULL"),
        sequence: "warn-zone",
        judge: "warn-geofence",
        notify: NOTIFY,
        channel: Channel::Vehicle,
        patience: 30_000,
    },
    Way {
        name: "webhook",
        group: "dispatch-webhook",
        filter: None,
        sequence: "warn-webhook",
        judge: ASSESS,
        notify: "notify-webhook",
        channel: Channel::Webhook,
        // Short, because a child of OpenWhisk waits; dispatch waits at no cost.
        patience: 10_000,
    },
    Way {
        name: "mail",
        group: "dispatch-mail",
        filter: None,
        sequence: "warn-mail",
        judge: ASSESS,
        notify: "notify-mail",
        channel: Channel::Smtp,
        // One attempt lasts up to ten seconds.
        patience: 15_000,
    },
];

fn ways(warnings: &PlatformWarnings) -> impl Iterator<Item = &'static Way> {
    WAYS.iter()
        .filter(|way| warnings.channels.contains(&way.channel))
}

/// The consumer groups by which vehicles are told.
pub(super) fn vehicle_groups(warnings: &PlatformWarnings) -> Vec<&'static str> {
    ways(warnings)
        .filter(|way| way.channel == Channel::Vehicle)
        .map(|way| way.group)
        .collect()
}

/// The consumer groups that read alerts, and whether they tell vehicles.
pub fn dispatch_groups(warnings: &PlatformWarnings) -> Vec<(&'static str, bool)> {
    ways(warnings)
        .map(|way| (way.group, way.channel == Channel::Vehicle))
        .collect()
}

/// The actions of the warnings.
pub(super) fn actions(platform: &ValidatedPlatform, warnings: &PlatformWarnings) -> Vec<Action> {
    let mut actions: BTreeMap<&str, ActionSpec> = BTreeMap::new();
    for way in ways(warnings) {
        actions
            .entry(way.judge)
            .or_insert_with(|| builtin(platform, way.judge, way.judge, 10_000));
        actions
            .entry(way.notify)
            .or_insert_with(|| notify(platform, warnings, way));
        let mut sequence = builtin(platform, way.sequence, way.sequence, 60_000);
        sequence.code = None;
        sequence.sequence = Some(vec![way.judge.into(), way.notify.into()]);
        actions.insert(way.sequence, sequence);
    }
    actions
        .into_iter()
        .map(|(name, spec)| action(platform, name, spec))
        .collect()
}

fn action(platform: &ValidatedPlatform, name: &str, spec: ActionSpec) -> Action {
    Action {
        metadata: meta(platform, name),
        spec,
        status: None,
    }
}

pub(super) fn builtin(
    platform: &ValidatedPlatform,
    name: &str,
    code: &str,
    timeout_milliseconds: i32,
) -> ActionSpec {
    ActionSpec {
        openwhisk: part(platform, "whisk"),
        action_name: Some(name.into()),
        code: Some(ActionCode {
            builtin: Some(code.into()),
            ..ActionCode::default()
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

fn notify(platform: &ValidatedPlatform, warnings: &PlatformWarnings, way: &Way) -> ActionSpec {
    let mut parameters: Vec<(&str, Value)> = vec![
        ("language", json!(warnings.language)),
        ("channels", json!([way.channel])),
        ("ttl_seconds", json!(warnings.time_to_live_seconds)),
    ];
    let secret = match way.channel {
        Channel::Vehicle => {
            parameters.push(("gateway_url", json!(gateway_url(platform))));
            let token = KeyRef {
                name: part(platform, "gateway"),
                key: "notify-token".into(),
            };
            Some(("notify_token", token))
        }
        Channel::Webhook => warnings.webhook.as_ref().map(|webhook| {
            parameters.push(("webhook_url", json!(webhook.url)));
            ("webhook_secret", webhook.secret_ref.clone())
        }),
        Channel::Smtp => warnings.smtp.as_ref().map(|smtp| {
            parameters.push(("smtp_from", json!(smtp.from)));
            parameters.push(("smtp_to", json!(smtp.to)));
            ("smtp_url", smtp.secret_ref.clone())
        }),
    };
    let mut notify = builtin(platform, way.notify, NOTIFY, way.patience);
    notify.parameters = parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    notify.parameters_from = secret
        .into_iter()
        .map(|(name, secret_ref)| SecretParameter {
            name: name.into(),
            secret_ref,
            optional: false,
        })
        .collect();
    // Whose language it is to be. Where nothing brings profiles there, there are none.
    if let (Some(mongo), Some(_)) = (&platform.mongo, &platform.materialize)
        && way.channel == Channel::Vehicle
    {
        documents(platform, mongo, &mut notify);
    }
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
    ways(warnings)
        .map(|way| event_source(platform, warnings, way))
        .collect()
}

fn event_source(
    platform: &ValidatedPlatform,
    warnings: &PlatformWarnings,
    way: &Way,
) -> EventSource {
    let backoff = Backoff::default();
    let inside = way.channel == Channel::Vehicle;
    let asked = warnings
        .replicas
        .unwrap_or(platform.sizes.dispatch_replicas);
    let pods = if inside {
        Pods {
            replicas: asked,
            in_flight: 16,
        }
    } else {
        let all = ways(warnings).filter(|way| way.channel != Channel::Vehicle);
        outside(platform, all.count(), asked)
    };
    let secure = platform.has_users();
    let user = secure.then(|| User::Dispatch.name(platform));
    EventSource {
        metadata: meta(platform, way.name),
        spec: EventSourceSpec {
            operation: Operation::default(),
            topic: part(platform, millrace_contract::topics::ALERTS),
            action: Some(part(platform, way.sequence)),
            trigger: None,
            filter: way.filter.map(Into::into),
            batch: None,
            partial_failure: false,
            bisect: false,
            // What OpenWhisk or dispatch itself was away for is not counted by the attempts.
            maximum_age_seconds: Some(warnings.time_to_live_seconds),
            group: Some(way.group.into()),
            kafka_user: user,
            starting_position: if inside {
                StartingPosition::Earliest
            } else {
                StartingPosition::Created
            },
            attempts: attempts(warnings.time_to_live_seconds, &backoff),
            backoff,
            max_in_flight: pods.in_flight,
            dead_letter_topic: Some(part(platform, millrace_contract::topics::DEAD_LETTERS)),
            replicas: pods.replicas,
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
