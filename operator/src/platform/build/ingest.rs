//! Whether the gateway takes telemetry in: a file that it looks at, so that no disk of Kafka runs full. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{meta, part};
use crate::job::CONFIG_DIR;
use crate::job::crd::JobFiles;
use crate::platform::validate::ValidatedPlatform;

/// The file's name, as the gateway knows it.
const FILE: &str = "ingest.yaml";
/// After how many seconds vehicles may try again: volumes do not empty at once.
const RETRY_SECONDS: u32 = 60;

fn is_watched(platform: &ValidatedPlatform) -> bool {
    // Nobody knows the disks of what somebody else runs.
    let inside = |kafka: &super::PlatformKafka| kafka.external.is_none();
    platform.gateway.is_some() && platform.kafka.as_ref().is_some_and(inside)
}

/// The order, in a ConfigMap.
pub(super) fn order(platform: &ValidatedPlatform) -> Option<ConfigMap> {
    let text = if platform.kafka_full {
        format!("accept: none\nretryAfterSeconds: {RETRY_SECONDS}\n")
    } else {
        "accept: all\n".to_owned()
    };
    is_watched(platform).then(|| ConfigMap {
        metadata: meta(platform, "ingest"),
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    })
}

/// Where the gateway finds it.
pub(super) fn files(platform: &ValidatedPlatform) -> Option<JobFiles> {
    is_watched(platform).then(|| JobFiles {
        config_map: part(platform, "ingest"),
        directory: format!("{CONFIG_DIR}/ingest"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::{Live, validate};
    use super::*;
    use serde_json::{Value, json};

    fn text(kafka: Value, kafka_full: bool) -> Option<String> {
        let spec = json!({"kafka": kafka, "gateway": {}});
        let live = Live {
            kafka_full,
            ..live(None)
        };
        let valid = validate(&platform(spec), live).unwrap();
        assert_eq!(files(&valid).is_some(), order(&valid).is_some());
        order(&valid)?.data?.remove(FILE)
    }

    #[test]
    fn nothing_is_taken_in_while_a_volume_is_full() {
        assert_eq!(text(json!({}), false).unwrap(), "accept: all\n");
        let none = text(json!({}), true).unwrap();
        assert_eq!(none, "accept: none\nretryAfterSeconds: 60\n");
        let outside = json!({"external": {"bindingSecret": "s"}});
        assert_eq!(text(outside, false), None);
    }
}
