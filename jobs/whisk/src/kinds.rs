//! The kinds of actions that a server runs.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::pool::MOST_PREWARMED;

/// The kind for actions that are made of other actions.
pub const SEQUENCE: &str = "sequence";

/// The kind for actions that bring an image.
pub const BLACKBOX: &str = "blackbox";

/// A runtimes manifest could not be used.
#[derive(Debug, thiserror::Error)]
#[error("runtimes manifest: {0}; give a file in the form of OpenWhisk's runtimes.json")]
pub struct ManifestError(String);

/// One kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The family, the part before the colon: `rust`.
    pub family: String,
    /// The full name: `rust:default`.
    pub kind: String,
    /// Whether `<family>:default` means this one.
    pub default: bool,
    /// Whether new actions of it are refused.
    pub deprecated: bool,
    /// Whether an action has to name its entry point.
    pub require_main: bool,
    /// The image that runs it elsewhere, for information.
    pub image: Option<String>,
    /// So many launchers stand ready on its account.
    pub prewarmed: usize,
}

/// All kinds of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    kinds: Vec<Kind>,
    /// Whether image actions are accepted.
    pub blackbox: bool,
}

#[derive(Deserialize)]
struct Manifest {
    runtimes: BTreeMap<String, Vec<ManifestKind>>,
    #[serde(default)]
    blackboxes: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestKind {
    kind: String,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    deprecated: bool,
    #[serde(default)]
    require_main: bool,
    image: Option<ManifestImage>,
    #[serde(default)]
    stem_cells: Vec<StemCell>,
}

/// Memory and the times at which there are more (`reactive`) say nothing here: a launcher is of no size until it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StemCell {
    initial_count: usize,
}

#[derive(Deserialize)]
struct ManifestImage {
    prefix: Option<String>,
    name: String,
    tag: Option<String>,
}

impl Default for Kinds {
    /// The kinds that need no manifest: executables that speak ActionLoop.
    fn default() -> Self {
        let kind = |family: &str| Kind {
            family: family.to_owned(),
            kind: format!("{family}:default"),
            default: true,
            deprecated: false,
            require_main: false,
            image: None,
            prewarmed: 1,
        };
        Self {
            kinds: vec![kind("native"), kind("rust")],
            blackbox: false,
        }
    }
}

impl Kinds {
    /// Reads a manifest in the form of OpenWhisk's `runtimes.json`. Every kind in it runs here as an
    /// executable that speaks ActionLoop, a script or an ELF file.
    ///
    /// # Errors
    /// [`ManifestError`] when it is none.
    pub fn from_manifest(text: &str) -> Result<Self, ManifestError> {
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|error| ManifestError(error.to_string()))?;
        let kinds = manifest
            .runtimes
            .into_iter()
            .flat_map(|(family, kinds)| kinds.into_iter().map(move |kind| (family.clone(), kind)))
            .map(|(family, kind)| Kind {
                family,
                kind: kind.kind,
                default: kind.default,
                deprecated: kind.deprecated,
                require_main: kind.require_main,
                image: kind.image.map(|image| {
                    let prefix = image
                        .prefix
                        .map(|prefix| format!("{prefix}/"))
                        .unwrap_or_default();
                    format!(
                        "{prefix}{}:{}",
                        image.name,
                        image.tag.as_deref().unwrap_or("latest")
                    )
                }),
                prewarmed: kind
                    .stem_cells
                    .iter()
                    .fold(0, |sum, cell| cell.initial_count.saturating_add(sum)),
            })
            .collect();
        let kinds = Self {
            kinds,
            blackbox: !manifest.blackboxes.is_empty(),
        };
        match kinds.prewarmed() {
            0..=MOST_PREWARMED => Ok(kinds),
            sum => Err(ManifestError(format!(
                "stemCells: their initialCount is {sum} in all; ask for {MOST_PREWARMED} at most"
            ))),
        }
    }

    /// How many launchers stand ready on account of all kinds: one is of no kind until it is used.
    pub fn prewarmed(&self) -> usize {
        self.kinds
            .iter()
            .fold(0, |sum, kind| kind.prewarmed.saturating_add(sum))
    }

    /// Finds a kind; `<family>:default` means the family's default.
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.kinds
            .iter()
            .find(|kind| kind.kind == name)
            .or_else(|| {
                let family = name.strip_suffix(":default")?;
                self.kinds
                    .iter()
                    .find(|kind| kind.family == family && kind.default)
            })
    }

    /// What an action may name as its kind, for messages.
    pub fn names(&self) -> Vec<&str> {
        let mut names = vec![SEQUENCE];
        names.extend(self.blackbox.then_some(BLACKBOX));
        names.extend(self.kinds.iter().map(|kind| kind.kind.as_str()));
        names
    }

    /// The `runtimes` of the server's description.
    pub fn describe(&self) -> Value {
        let mut families: Map<String, Value> = Map::new();
        for kind in &self.kinds {
            let described = json!({
                "kind": kind.kind,
                "default": kind.default,
                "deprecated": kind.deprecated,
                "requireMain": kind.require_main,
                "attached": true,
                "image": kind.image.as_deref().unwrap_or_default(),
            });
            if let Value::Array(list) = families
                .entry(kind.family.clone())
                .or_insert_with(|| json!([]))
            {
                list.push(described);
            }
        }
        Value::Object(families)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_resolve_within_their_family() {
        let kinds = Kinds::default();
        assert_eq!(
            kinds.find("rust:default").map(|kind| kind.kind.as_str()),
            Some("rust:default")
        );
        assert!(kinds.find("nodejs:20").is_none());
        let manifest = r#"{"runtimes":{"go":[{"kind":"go:1.20","default":true,
            "image":{"prefix":"openwhisk","name":"go","tag":"x"}},{"kind":"go:1.19"}]}}"#;
        let kinds = Kinds::from_manifest(manifest).unwrap();
        assert_eq!(
            kinds.find("go:default").map(|kind| kind.kind.as_str()),
            Some("go:1.20")
        );
        assert_eq!(
            kinds.find("go:1.20").and_then(|kind| kind.image.as_deref()),
            Some("openwhisk/go:x")
        );
        assert!(!kinds.blackbox);
        assert!(Kinds::from_manifest("{}").is_err());
    }

    #[test]
    fn stem_cells_of_all_kinds_stand_ready() {
        assert_eq!(Kinds::default().prewarmed(), 2);
        let manifest = |count: &str| {
            format!(
                r#"{{"runtimes":{{"go":[{{"kind":"go:1.20","stemCells":[{{"initialCount":2,"memory":"256 MB",
                "reactive":{{"minCount":1}}}},{{"initialCount":{count},"memory":"512 MB"}}]}},{{"kind":"go:1.19"}}],
                "rust":[{{"kind":"rust:1","stemCells":[{{"initialCount":1,"memory":"256 MB"}}]}}]}}}}"#
            )
        };
        let prewarmed = |count| Kinds::from_manifest(&manifest(count)).map(|k| k.prewarmed());
        assert_eq!(prewarmed("3").unwrap(), 6);
        let error = prewarmed("62").unwrap_err().to_string();
        assert!(error.contains("initialCount is 65 in all"), "{error}");
        assert!(prewarmed("18446744073709551615").is_err());
        assert!(prewarmed("-1").is_err());
    }
}
