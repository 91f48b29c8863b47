//! Everything that follows from the registry: CRDs, RBAC rules, the plain manifest, the reference. One command writes
//! it, and checks it.

mod crds;
mod manifest;
mod reference;
mod values;

use std::io;
use std::path::{Path, PathBuf};

use crate::registry::registry;

pub use crds::{all_crds, crd_json};

/// A file could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A definition cannot be written as JSON.
    #[error("a definition as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A definition cannot be written as YAML.
    #[error("a definition as YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A file cannot be read or written.
    #[error("{}: {source}; run it in the root of the source tree, or give --out", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A generated file: path below the root, and content.
type File = (PathBuf, String);

/// Writes all generated files below `root`, or only compares them. Returns those that differed.
///
/// # Errors
/// A file cannot be made, read or written.
pub fn write(root: &Path, check: bool) -> Result<Vec<PathBuf>, GenerateError> {
    let mut differing = Vec::new();
    for (path, text) in files()? {
        let at = root.join(&path);
        let failed = |source| GenerateError::File {
            path: at.clone(),
            source,
        };
        match std::fs::read_to_string(&at) {
            Ok(old) if old == text => continue,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if !check {
            // Only in a source tree, never in a directory that happens to be the current one.
            if !root.join("Cargo.toml").is_file() {
                return Err(failed(io::Error::new(
                    io::ErrorKind::NotFound,
                    "there is no Cargo.toml at the root",
                )));
            }
            if let Some(parent) = at.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::write(&at, text).map_err(failed)?;
        }
        differing.push(path);
    }
    Ok(differing)
}

fn files() -> Result<Vec<File>, GenerateError> {
    let mut files = Vec::new();
    let mut reference = Vec::new();
    for component in registry() {
        let crd = crd_json(&(component.crd)())?;
        let plural = crd["spec"]["names"]["plural"]
            .as_str()
            .unwrap_or(component.name)
            .to_owned();
        files.push((
            PathBuf::from(format!("manifests/crds/{plural}.yaml")),
            crds::plain(&crd)?,
        ));
        files.push((
            PathBuf::from(format!(
                "helm/millrace-operator/templates/crds/{plural}.yaml"
            )),
            crds::template(&crd)?,
        ));
        if crd["spec"]["names"]["kind"] == "Platform" {
            files.push((
                "helm/millrace-environment/values.schema.json".into(),
                values::schema(&crd)?,
            ));
        }
        reference.push(crd);
    }
    files.push(("docs/crds.md".into(), reference::page(&reference)));
    files.push(("docs/network.md".into(), crate::network::page()));
    files.extend(crate::monitoring::files()?);
    let rules = manifest::rules();
    files.push((
        "helm/millrace-operator/templates/clusterrole.yaml".into(),
        manifest::chart_role(&rules),
    ));
    files.push((
        "manifests/operator/operator.yaml".into(),
        manifest::operator(&rules),
    ));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_tree_is_what_would_be_generated() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let differing = write(&root, true).unwrap();
        assert!(
            differing.is_empty(),
            "run `cargo run -p millrace-operator -- generate`: {differing:?}"
        );
    }

    #[test]
    fn nothing_is_written_outside_a_source_tree() {
        let empty = tempfile::tempdir().unwrap();
        assert!(write(empty.path(), false).is_err());
        assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    }
}
