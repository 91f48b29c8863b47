//! Detect of a platform. Pure.

use serde_json::{Value, json};

use super::kafka::kafka_binding;
use super::meta;
use super::users::User;
use crate::job::CONFIG_DIR;
use crate::job::crd::{Job, JobFiles, StreamJob, StreamJobSpec};
use crate::platform::crd::{PlatformDetect, ZoneMap};
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;
use crate::types::{FreeForm, Operation};

/// Where the keys of a ConfigMap with zones appear.
fn directory(zones: &ZoneMap) -> String {
    format!("{CONFIG_DIR}/zones/{}", zones.config_map)
}

/// What detect is told of the zones: directories, and single files where a key is named.
fn zones(detect: &PlatformDetect) -> Value {
    let directories: Vec<String> = detect
        .zones
        .iter()
        .filter(|zones| zones.key.is_none())
        .map(directory)
        .collect();
    let files: Vec<String> = detect
        .zones
        .iter()
        .filter_map(|zones| Some(format!("{}/{}", directory(zones), zones.key.as_ref()?)))
        .collect();
    let mut told = FreeForm::new();
    for (key, list) in [("directories", directories), ("files", files)] {
        if !list.is_empty() {
            told.insert(key.into(), json!(list));
        }
    }
    Value::Object(told)
}

pub(super) fn detect_job(platform: &ValidatedPlatform, detect: &PlatformDetect) -> StreamJob {
    let mut config = FreeForm::new();
    if !detect.rules.is_empty() {
        config.insert("rules".into(), Value::Object(detect.rules.clone()));
    }
    if !detect.zones.is_empty() {
        config.insert("zones".into(), zones(detect));
    }
    let files = detect.zones.iter().map(|zones| JobFiles {
        config_map: zones.config_map.clone(),
        directory: directory(zones),
    });
    StreamJob {
        metadata: meta(platform, "detect"),
        spec: StreamJobSpec {
            operation: Operation::default(),
            job: Job::Detect,
            image: detect.image.clone(),
            replicas: detect.replicas.unwrap_or(platform.sizes.detect_replicas),
            bindings: vec![kafka_binding(platform, User::Detect)],
            config,
            files: files.collect(),
            tls: None,
            lake: None,
            service: None,
            resources: Some(or_profile(
                detect.resources.as_ref(),
                &platform.sizes.detect,
            )),
            paused: false,
        },
        status: None,
    }
}
