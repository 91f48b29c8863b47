//! The ConfigMaps with zones, read as detect will read them. What is wrong with them is told and holds nothing up: detect
//! keeps the zones that it had last.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::ConfigMap;
use millrace_analytics::Zones;
use millrace_contract::Invalid;

use super::crd::ZoneMap;
use crate::context::Context;
use crate::reconcile::{Error, Owner, fingerprint};

/// What one packed file may grow to: more than a ConfigMap can hold of text that packs well.
const UNPACKED_MAX: u64 = 64 * 1024 * 1024;

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
    let mut maps = Vec::new();
    for (index, zones) in wanted.iter().enumerate() {
        let found = api
            .get_opt(&zones.config_map)
            .await
            .map_err(Error::doing("reading a ConfigMap"))?;
        if let Some(map) = found {
            maps.push((index, zones.clone(), map));
        }
    }
    // Ten thousand zones take a while to index, and this thread has others to serve.
    let checked = tokio::task::spawn_blocking(move || check(&maps)).await;
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

/// Reads all files of these ConfigMaps as one set of zones.
fn check(maps: &[(usize, ZoneMap, ConfigMap)]) -> Result<(), Invalid> {
    let mut files = BTreeMap::new();
    for (index, zones, map) in maps {
        let before = files.len();
        for (key, text) in map.data.iter().flatten() {
            if zones.key.as_ref().is_none_or(|only| only == key) {
                files.insert(format!("{}/{key}", zones.config_map), text.clone());
            }
        }
        for (key, bytes) in map.binary_data.iter().flatten() {
            if zones.key.as_ref().is_none_or(|only| only == key) {
                let name = format!("{}/{key}", zones.config_map);
                let text = unpacked(&name, key, &bytes.0)?;
                files.insert(name, text);
            }
        }
        if let (Some(key), true) = (&zones.key, files.len() == before) {
            return Err(Invalid::new(
                format!("[{index}].key"),
                key,
                format!("the ConfigMap {} has no such key", zones.config_map),
                "correct the key, or leave it out to read all of them",
            ));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    Zones::from_geojson(&files).map(drop)
}

fn unpacked(name: &str, key: &str, bytes: &[u8]) -> Result<String, Invalid> {
    let refused = |problem: String, cure: &str| Err(Invalid::new(name, key, problem, cure));
    if !key.ends_with(".gz") {
        return match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => refused(
                format!("is not text: {error}"),
                "give GeoJSON in UTF-8, or pack it with gzip under a key that ends in .gz",
            ),
        };
    }
    let mut text = String::new();
    match GzDecoder::new(bytes)
        .take(UNPACKED_MAX + 1)
        .read_to_string(&mut text)
    {
        Ok(length) if length as u64 > UNPACKED_MAX => refused(
            "is more than 64 MiB when unpacked".to_owned(),
            "divide it into several ConfigMaps",
        ),
        Ok(_) => Ok(text),
        Err(error) => refused(
            format!("cannot be unpacked: {error}"),
            "pack GeoJSON in UTF-8 with gzip",
        ),
    }
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

    fn map(key: Option<&str>, data: &[(&str, &str)]) -> (usize, ZoneMap, ConfigMap) {
        let zones = serde_json::from_value(json!({"configMap": "m", "key": key})).unwrap();
        let data = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        let map = ConfigMap {
            data: Some(data.collect()),
            ..ConfigMap::default()
        };
        (0, zones, map)
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn zones_are_read_from_all_keys_or_one() {
        assert_eq!(check(&[map(None, &[("a", GOOD)])]), Ok(()));
        let bad = [("a", GOOD), ("b", "no json")];
        assert_eq!(check(&[map(Some("a"), &bad)]), Ok(()));
        let error = check(&[map(None, &bad)]).unwrap_err().to_string();
        assert!(error.contains("m/b"), "{error}");
        let error = check(&[map(Some("c"), &bad)]).unwrap_err().to_string();
        assert!(
            error.starts_with("[0].key: c: the ConfigMap m has no such key"),
            "{error}"
        );
    }

    #[test]
    fn packed_zones_are_unpacked() {
        let mut zones = map(None, &[]);
        let binary = |bytes| Some([("z.geojson.gz".to_owned(), ByteString(bytes))].into());
        zones.2.binary_data = binary(packed(GOOD));
        assert_eq!(check(std::slice::from_ref(&zones)), Ok(()));
        zones.2.binary_data = binary(GOOD.as_bytes().to_vec());
        let error = check(std::slice::from_ref(&zones)).unwrap_err().to_string();
        assert!(
            error.contains("m/z.geojson.gz") && error.contains("cannot be unpacked"),
            "{error}"
        );
        zones.2.binary_data = binary(packed(&" ".repeat(UNPACKED_MAX as usize + 1)));
        let error = check(&[zones]).unwrap_err().to_string();
        assert!(error.contains("64 MiB"), "{error}");
    }
}
