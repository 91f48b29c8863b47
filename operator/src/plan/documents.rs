//! The documents that somebody would apply, and the dry run of that.

use std::io::Read;
use std::path::{Path, PathBuf};

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

/// Why a document cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not YAML or JSON.
    #[error("{path}: {problem}; give YAML or JSON documents of Kubernetes", path = .path.display())]
    Text {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A document says not what it is.
    #[error("{field}: absent; every document needs apiVersion, kind and metadata.name")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// Kubernetes does not know the kind.
    #[error("{api_version} {kind}: {source}; is its definition installed?")]
    Kind {
        /// apiVersion.
        api_version: String,
        /// kind.
        kind: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// Kubernetes refuses it.
    #[error("{0}")]
    Refused(String),
}

/// Reads the documents of a file, of all `.yaml`, `.yml` and `.json` files of a directory, or, as `-`, of standard input.
///
/// # Errors
/// [`DocumentError`].
pub fn read(path: &Path) -> Result<Vec<Value>, DocumentError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DocumentError::File { path, source }
    };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(failed(path))?;
        return parse(path, &text);
    }
    if !path.is_dir() {
        return parse(path, &std::fs::read_to_string(path).map_err(failed(path))?);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed(path))? {
        let file = entry.map_err(failed(path))?.path();
        let known = |ending: &str| ["yaml", "yml", "json"].contains(&ending);
        if file.is_file() && file.extension().and_then(|e| e.to_str()).is_some_and(known) {
            files.push(file);
        }
    }
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read(&file)?);
    }
    Ok(documents)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Value>, DocumentError> {
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| DocumentError::Text {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        match value {
            Value::Null => {}
            // A List holds documents itself.
            Value::Object(ref map) if map.get("kind").is_some_and(|kind| kind == "List") => {
                documents.extend(value["items"].as_array().cloned().unwrap_or_default());
            }
            other => documents.push(other),
        }
    }
    Ok(documents)
}

/// How the documents would be applied.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The namespace of documents that name none.
    pub namespace: String,
    /// The field manager of the one who would apply.
    pub manager: String,
    /// Whether fields of other managers would be taken over.
    pub force: bool,
}

impl Apply {
    /// The object as it is (null when it is not there) and as it would be.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn dry_run(
        &self,
        client: &Client,
        mut document: Value,
    ) -> Result<(Value, Value), DocumentError> {
        let text = |value: &Value, field: &'static str| match value.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(DocumentError::Field { field }),
        };
        let api_version = text(&document["apiVersion"], "apiVersion")?;
        let kind = text(&document["kind"], "kind")?;
        let name = text(&document["metadata"]["name"], "metadata.name")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = GroupVersionKind::gvk(group, version, &kind);
        let (resource, capabilities) =
            pinned_kind(client, &gvk)
                .await
                .map_err(|source| DocumentError::Kind {
                    api_version: api_version.clone(),
                    kind: kind.clone(),
                    source: Box::new(source),
                })?;
        let namespaced = capabilities.scope == Scope::Namespaced;
        if namespaced && document["metadata"]["namespace"].is_null() {
            document["metadata"]["namespace"] = json!(self.namespace);
        }
        let api = self.api(client, &resource, namespaced, &document);
        let refused = |error: kube::Error| {
            DocumentError::Refused(match error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            })
        };
        let live = api.get_opt(&name).await.map_err(refused)?;
        let mut params = PatchParams::apply(&self.manager).dry_run();
        params.force = self.force;
        let would = api
            .patch(&name, &params, &Patch::Apply(&document))
            .await
            .map_err(refused)?;
        debug_assert_eq!(would.name_any(), name);
        let body = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
        Ok((live.as_ref().map(body).unwrap_or_default(), body(&would)))
    }

    fn api(
        &self,
        client: &Client,
        resource: &ApiResource,
        namespaced: bool,
        document: &Value,
    ) -> Api<DynamicObject> {
        if !namespaced {
            return Api::all_with(client.clone(), resource);
        }
        let namespace = document["metadata"]["namespace"].as_str();
        Api::namespaced_with(
            client.clone(),
            namespace.unwrap_or(&self.namespace),
            resource,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_documents_lists_and_empty_ones() {
        let text = "---\nkind: A\n---\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n";
        let kinds: Vec<String> = parse(Path::new("f"), text)
            .unwrap()
            .iter()
            .map(|d| d["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        let wrong = parse(Path::new("f.yaml"), "a: [").unwrap_err().to_string();
        assert!(wrong.starts_with("f.yaml: "), "{wrong}");
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b.yaml", "kind: B"),
            ("a.json", "{\"kind\": \"A\"}"),
            ("c.txt", "no"),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let kinds: Vec<Value> = read(directory.path())
            .unwrap()
            .iter()
            .map(|d| d["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B"]);
    }
}
