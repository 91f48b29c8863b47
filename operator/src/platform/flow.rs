//! What of a platform's flow is watched. Pure.

use std::sync::Arc;
use std::time::Duration;

use millrace_contract::topics;

use super::build::{dispatch_groups, gateway_url};
use super::crd::{PlatformFlow, PlatformGateway, StageName};
use super::stop::Level;
use super::validate::ValidatedPlatform;
use crate::flow::{GatewayAt, Token, Wanted, Watched};
use crate::job::documents;
use crate::remote::kafka::KafkaAdmin;

/// The consumer group of detect, unless the gateway is told of another.
const DETECT_GROUP: &str = "detect";

/// What the archive may take for a commit.
const COMMIT: Duration = Duration::from_secs(60);
/// Druid asks its tasks each 10 s how far they are. And no canary on its way to vehicles waits for analysts.
const ANSWERS: Duration = Duration::from_secs(10);

/// The consumer group of detect: the one that the gateway is told of, else its usual one.
#[must_use]
pub fn detect_group(gateway: &PlatformGateway) -> &str {
    let told = gateway.config.get("detectGroup");
    told.and_then(|group| group.as_str())
        .unwrap_or(DETECT_GROUP)
}

/// The stages that there are.
#[must_use]
pub fn stages(platform: &ValidatedPlatform) -> Vec<Watched> {
    let stage = |stage, topic: &str, group: Option<&str>, leads_to_vehicles| Watched {
        stage,
        topic: topic.to_owned(),
        group: group.map(str::to_owned),
        leads_to_vehicles,
        usual: Duration::ZERO,
    };
    let Some(gateway) = &platform.gateway else {
        return Vec::new();
    };
    let mut stages = vec![stage(StageName::Produced, topics::TELEMETRY, None, true)];
    if platform.detect.is_some() {
        stages.push(stage(
            StageName::Detected,
            topics::TELEMETRY,
            Some(detect_group(gateway)),
            true,
        ));
    }
    if let Some(archive) = &platform.archive {
        stages.push(Watched {
            usual: archive.config.roll_interval.0 + COMMIT,
            ..stage(
                StageName::Archived,
                &archive.config.topic,
                Some(&archive.config.group),
                false,
            )
        });
    }
    stages.extend(loaded(platform));
    if platform.druid.is_some() {
        // Its data source has the name of the topic.
        stages.push(Watched {
            usual: ANSWERS,
            ..stage(StageName::Served, topics::TELEMETRY, None, false)
        });
    }
    for (group, tells_vehicles) in platform.warnings.iter().flat_map(dispatch_groups) {
        let told = stage(StageName::Told, topics::ALERTS, Some(group), tells_vehicles);
        stages.push(told);
    }
    stages.push(stage(
        StageName::Notified,
        topics::NOTIFICATIONS,
        None,
        false,
    ));
    stages
}

/// The state of vehicles in MongoDB. The other documents are read by groups of their own, and written by the same pods into
/// the same MongoDB: what holds them up holds the canary up.
fn loaded(platform: &ValidatedPlatform) -> Option<Watched> {
    let given = &platform.materialize.as_ref()?.config;
    // It was checked before.
    let config = documents(given, "spec.materialize.config").ok()?;
    // A canary goes by no other topic.
    (config.topics.vehicles == topics::TELEMETRY).then(|| Watched {
        stage: StageName::Loaded,
        topic: config.topics.vehicles,
        group: Some(format!("{}-vehicles", config.group)),
        leads_to_vehicles: false,
        // So long records are gathered.
        usual: config.window.0,
    })
}

/// What is to be watched, by this client of Kafka.
#[must_use]
pub fn wanted(platform: &ValidatedPlatform, kafka: Arc<KafkaAdmin>) -> Wanted {
    Wanted {
        kafka,
        stages: stages(platform),
        gateway: gateway(platform),
        druid: platform.druid_at.clone().filter(|_| runs(platform)),
        canary_every: canary_every(&platform.flow),
        stuck_after: seconds(platform.flow.stuck_seconds),
    }
}

/// Its gateway, if it has one that runs, to be asked for the flow.
fn gateway(platform: &ValidatedPlatform) -> Option<GatewayAt> {
    gateway_by(platform, platform.gateway_token.as_ref(), None)
}

/// The same, to be told of changes.
#[must_use]
pub fn told_gateway(platform: &ValidatedPlatform) -> Option<GatewayAt> {
    let admin = platform.gateway_admin_token.as_ref();
    gateway_by(platform, platform.gateway_audit_token.as_ref(), admin)
}

fn gateway_by(
    platform: &ValidatedPlatform,
    token: Option<&Token>,
    admin: Option<&Token>,
) -> Option<GatewayAt> {
    platform.gateway.as_ref().filter(|_| runs(platform))?;
    Some(GatewayAt {
        url: gateway_url(platform),
        token: token?.clone(),
        admin_token: admin.cloned(),
    })
}

// One that is on its way out is not asked, and what is seen from then on is all that there will be.
fn runs(platform: &ValidatedPlatform) -> bool {
    platform.level == Level::Everything
}

/// Time between two canaries, if any are sent.
#[must_use]
pub fn canary_every(flow: &PlatformFlow) -> Option<Duration> {
    (flow.canary_seconds > 0).then(|| seconds(flow.canary_seconds))
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{live, platform};
    use super::super::validate::validate;
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value) -> Vec<String> {
        let valid = validate(&platform(spec), live(None)).unwrap();
        let text = |watched: Watched| {
            let group = watched.group.unwrap_or_default();
            format!("{} {} {group}", watched.stage.as_str(), watched.topic)
        };
        stages(&valid).into_iter().map(text).collect()
    }

    #[test]
    fn stages_follow_the_parts() {
        assert_eq!(of(json!({"kafka": {}})), [""; 0]);
        assert_eq!(
            of(json!({"kafka": {}, "gateway": {}})),
            ["produced telemetry ", "notified notifications "]
        );
        let archived =
            json!({"kafka": {}, "gateway": {}, "hdfs": {}, "archive": {"config": {"group": "a2"}}});
        assert_eq!(of(archived)[1], "archived telemetry a2");
        let documents = |config: Value| json!({"kafka": {}, "gateway": {}, "mongo": {}, "materialize": {"config": config}});
        assert_eq!(
            of(documents(json!({})))[1],
            "loaded telemetry materialize-vehicles"
        );
        assert_eq!(
            of(documents(json!({"group": "m2"})))[1],
            "loaded telemetry m2-vehicles"
        );
        let without = json!({"topics": {"vehicles": ""}});
        assert_eq!(of(documents(without))[1], "notified notifications ");
        let served = json!({"kafka": {}, "gateway": {}, "druid": {"segments": {"size": "1Gi"}}});
        assert_eq!(of(served)[1], "served telemetry ");
        let key = json!({"name": "s", "key": "k"});
        let all = json!({"kafka": {}, "gateway": {"config": {"detectGroup": "d2"}}, "detect": {}, "openwhisk": {},
            "warnings": {"channels": ["vehicle", "webhook"], "webhook": {"url": "https://example.org/h", "secretRef": key}}});
        assert_eq!(
            of(all),
            [
                "produced telemetry ",
                "detected telemetry d2",
                "told alerts dispatch-warnings",
                "told alerts dispatch-zones",
                "told alerts dispatch-webhook",
                "notified notifications "
            ]
        );
    }

    #[test]
    fn canaries_can_be_switched_off() {
        let flow = |spec: Value| serde_json::from_value::<PlatformFlow>(spec).unwrap();
        assert_eq!(canary_every(&flow(json!({}))), Some(seconds(60)));
        assert_eq!(canary_every(&flow(json!({"canarySeconds": 0}))), None);
    }
}
