//! How scores become offers: the action, and the event source that feeds it. Pure.

use millrace_contract::topics;
use serde_json::{Value, json};

use super::gateway::gateway_url;
use super::mongo::documents;
use super::outside::{Pods, outside};
use super::users::User;
use super::warnings::builtin;
use super::{meta, part};
use crate::action::crd::{Action, SecretParameter};
use crate::eventsource::crd::{Backoff, EventSource, EventSourceSpec, StartingPosition};
use crate::platform::crd::{OfferChannel, PlatformMongo, PlatformOffers, PlatformWarnings};
use crate::platform::validate::ValidatedPlatform;
use crate::types::{KeyRef, Operation};

/// The consumer group of what brings scores to the action.
pub(super) const OFFERS_GROUP: &str = "dispatch-offers";
const MAKE_OFFER: &str = "make-offer";
/// Telling takes up to ten seconds by mail, and the rest some milliseconds.
const PATIENCE: i32 = 20_000;
/// A driver who is told of a good week months later wonders.
const LONGEST_SECONDS: i32 = 7 * 86_400;

pub(super) fn action(
    platform: &ValidatedPlatform,
    mongo: &PlatformMongo,
    offers: &PlatformOffers,
) -> Action {
    let none = PlatformWarnings::default();
    let warnings = platform.warnings.as_ref().unwrap_or(&none);
    let mut parameters: Vec<(&str, Value)> = vec![
        ("gateway_url", json!(gateway_url(platform))),
        ("channels", json!(offers.channels)),
        ("language", json!(warnings.language)),
    ];
    let mut secrets = Vec::new();
    let mut secret = |name: &str, secret_ref: &KeyRef| {
        secrets.push(SecretParameter {
            name: name.into(),
            secret_ref: secret_ref.clone(),
            optional: false,
        });
    };
    let token = KeyRef {
        name: part(platform, "gateway"),
        key: "notify-token".into(),
    };
    secret("notify_token", &token);
    let named = |channel| offers.channels.contains(&channel);
    if let Some(webhook) = warnings
        .webhook
        .as_ref()
        .filter(|_| named(OfferChannel::Webhook))
    {
        parameters.push(("webhook_url", json!(webhook.url)));
        secret("webhook_secret", &webhook.secret_ref);
    }
    if let Some(smtp) = warnings.smtp.as_ref().filter(|_| named(OfferChannel::Smtp)) {
        parameters.push(("smtp_from", json!(smtp.from)));
        secret("smtp_url", &smtp.secret_ref);
    }
    let mut spec = builtin(platform, MAKE_OFFER, MAKE_OFFER, PATIENCE);
    spec.parameters = parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    spec.parameters_from = secrets;
    documents(platform, mongo, &mut spec);
    Action {
        metadata: meta(platform, MAKE_OFFER),
        spec,
        status: None,
    }
}

pub(super) fn event_source(platform: &ValidatedPlatform) -> EventSource {
    // It tells receivers outside, which may be slow.
    let Pods {
        replicas,
        in_flight,
    } = outside(platform, 1, 1);
    let user = platform.has_users().then(|| User::Dispatch.name(platform));
    EventSource {
        metadata: meta(platform, "offers"),
        spec: EventSourceSpec {
            operation: Operation::default(),
            topic: part(platform, topics::HIRE_SCORES),
            action: Some(part(platform, MAKE_OFFER)),
            trigger: None,
            filter: None,
            batch: None,
            partial_failure: false,
            bisect: false,
            maximum_age_seconds: Some(LONGEST_SECONDS),
            group: Some(OFFERS_GROUP.into()),
            kafka_user: user,
            starting_position: StartingPosition::Earliest,
            attempts: 30,
            backoff: Backoff::default(),
            max_in_flight: in_flight,
            dead_letter_topic: Some(part(platform, topics::DEAD_LETTERS)),
            replicas,
            image: None,
            resources: Some(platform.sizes.dispatch.clone()),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::job::crd::StreamJob;

    fn made(offers: &Value) -> Result<(Action, EventSource, StreamJob), String> {
        let spec = json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "mongo": {}, "materialize": {},
            "warnings": {"channels": ["smtp"], "smtp": {"secretRef": {"name": "mail", "key": "url"},
                "from": "a@example.org", "to": ["b@example.org"]}},
            "offers": offers});
        let valid = validate(&platform(spec), live(None)).map_err(|e| e.to_string())?;
        let (resources, _) = build(&valid).map_err(|e| e.to_string())?;
        let action = resources.get("p-make-offer").ok_or("no action")?;
        let source = resources.get("p-offers").ok_or("no source")?;
        Ok((
            action,
            source,
            resources.get("p-materialize").ok_or("no job")?,
        ))
    }

    #[test]
    fn scores_become_offers_by_rules_that_are_checked() {
        let rule =
            json!({"leastScore": 90, "reward": {"percent": 10}, "text": {"en": "well done"}});
        let (action, source, job) =
            made(&json!({"rules": {"gold": rule}, "channels": ["smtp"]})).unwrap();
        assert_eq!(action.spec.parameters["smtp_from"], "a@example.org");
        let secrets: Vec<_> = action
            .spec
            .parameters_from
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(secrets[..2], ["notify_token", "smtp_url"]);
        assert!(secrets.contains(&"mongodb_uri"), "{secrets:?}");
        assert_eq!(source.spec.topic, "p-hire-scores");
        assert_eq!(job.spec.config["offerRules"]["gold"]["leastScore"], 90);
        let refused =
            made(&json!({"rules": {"gold": {"leastScore": 90, "reward": {}, "text": {}}}}));
        assert!(
            refused
                .unwrap_err()
                .starts_with("spec.offers.rules.gold.text")
        );
        let refused = made(&json!({"channels": ["webhook"]})).unwrap_err();
        assert!(
            refused.starts_with("spec.offers.channels: webhook"),
            "{refused}"
        );
    }
}
