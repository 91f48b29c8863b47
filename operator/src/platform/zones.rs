//! The ConfigMaps with zones, read as detect will read them. What is wrong with them is told and holds nothing up: detect
//! keeps the zones that it had last.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use millrace_analytics::zones::{Files, is_hidden};
use millrace_contract::Invalid;
use tokio::sync::Semaphore;

use super::crd::ZoneMap;
use crate::context::Context;
use crate::reconcile::{Error, Owner, fingerprint};

static CHECKS: Semaphore = Semaphore::const_new(1);

/// What became of the zones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// ConfigMaps that are not there.
    pub absent: Vec<String>,
    /// What is wrong with those that are.
    pub rejected: Option<String>,
}

/// Reads and checks the ConfigMaps; only when one has changed since the last look.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn look(context: &Context, owner: &Owner, wanted: &[ZoneMap]) -> Result<Verdict, Error> {
    let api = context.namespaced::<ConfigMap>(&owner.namespace);
    let mut verdict = Verdict::default();
    let mut versions = Vec::new();
    for zones in wanted {
        let found = api
            .get_metadata_opt(&zones.config_map)
            .await
            .map_err(Error::doing("reading a ConfigMap"))?;
        match found {
            Some(found) => versions.push((
                &zones.config_map,
                &zones.key,
                found.metadata.uid,
                found.metadata.resource_version,
            )),
            None => verdict.absent.push(zones.config_map.clone()),
        }
    }
    if versions.is_empty() {
        return Ok(verdict);
    }
    let seen = fingerprint(&versions);
    if let Some(rejected) = context.cache.seen(&owner.key(), &seen) {
        verdict.rejected = rejected;
        return Ok(verdict);
    }
    // One Platform at a time: to read zones takes many times their size, for a moment.
    let _permit = CHECKS.acquire().await;
    let mut files = Ok(Files::default());
    for (index, zones) in wanted.iter().enumerate() {
        let found = api
            .get_opt(&zones.config_map)
            .await
            .map_err(Error::doing("reading a ConfigMap"))?;
        // One map after the other, so that no more than one is in memory packed and unpacked.
        if let (Some(map), Ok(read)) = (found, &mut files)
            && let Err(invalid) = add(read, index, zones, map)
        {
            files = Err(invalid);
        }
    }
    // A hundred thousand zones take a while to index, and this thread has others to serve.
    let checked = tokio::task::spawn_blocking(move || files?.zones().map(drop)).await;
    verdict.rejected = match checked {
        Ok(checked) => checked.err().map(|invalid| {
            format!("spec.detect.zones: {invalid}; until then the zones that were read last stay in force")
        }),
        Err(error) => Some(format!("spec.detect.zones: could not be checked: {error}; report this as a fault")),
    };
    context
        .cache
        .set_seen(&owner.key(), seen, verdict.rejected.clone());
    Ok(verdict)
}

/// Adds the keys of a ConfigMap that detect would read.
fn add(files: &mut Files, index: usize, zones: &ZoneMap, map: ConfigMap) -> Result<(), Invalid> {
    let is_read = |key: &str| match &zones.key {
        Some(only) => only == key,
        None => !is_hidden(key),
    };
    let text = map.data.into_iter().flatten();
    let binary = map.binary_data.into_iter().flatten();
    let entries: BTreeMap<String, Vec<u8>> = text
        .map(|(key, text)| (key, text.into_bytes()))
        .chain(binary.map(|(key, bytes)| (key, bytes.0)))
        .filter(|(key, _)| is_read(key))
        .collect();
    if let (Some(key), true) = (&zones.key, entries.is_empty()) {
        return Err(Invalid::new(
            format!("[{index}].key"),
            key,
            format!("the ConfigMap {} has no such key", zones.config_map),
            "correct the key, or leave it out to read all of them",
        ));
    }
    for (key, content) in entries {
        files.add(&format!("{}/{key}", zones.config_map), content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use k8s_openapi::ByteString;
    use serde_json::json;
    use std::io::Write;

    const GOOD: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a",
        "properties": {"name": "A", "kind": "closed"}, "geometry": {"type": "Polygon",
        "coordinates": [[[8.0, 50.0], [8.1, 50.0], [8.1, 50.1], [8.0, 50.0]]]}}]}"#;

    fn check(key: Option<&str>, data: serde_json::Value) -> Result<(), Invalid> {
        let zones = serde_json::from_value(json!({"configMap": "m", "key": key})).unwrap();
        let map = serde_json::from_value(data).unwrap();
        let mut files = Files::default();
        add(&mut files, 0, &zones, map)?;
        files.zones().map(drop)
    }

    #[test]
    fn zones_are_read_from_all_keys_or_one() {
        let good = json!({"data": {"a": GOOD, ".b": "hidden from detect too"}});
        assert_eq!(check(None, good.clone()), Ok(()));
        let bad = json!({"data": {"a": GOOD, "b": "no json"}});
        assert_eq!(check(Some("a"), bad.clone()), Ok(()));
        for (key, data, says) in [
            (None, bad.clone(), "m/b"),
            (Some(".b"), good, "m/.b"),
            (
                Some("c"),
                bad,
                "[0].key: c: the ConfigMap m has no such key",
            ),
        ] {
            let error = check(key, data).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn packed_zones_are_unpacked_whatever_their_key() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(GOOD.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let binary = |bytes: &[u8]| json!({"binaryData": {"z": ByteString(bytes.to_vec())}});
        assert_eq!(check(None, binary(&packed)), Ok(()));
        assert_eq!(check(None, binary(GOOD.as_bytes())), Ok(()));
        let error = check(None, binary(&packed[..20])).unwrap_err().to_string();
        assert!(
            error.starts_with("m/z: ") && error.contains("cannot be unpacked"),
            "{error}"
        );
    }
}
