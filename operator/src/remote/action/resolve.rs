//! Where the code of an action comes from. Whatever is missing is told as field, value and
//! cure, and the action on the server stays as it is.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::change::{Body, DIGEST_ANNOTATION, KEYS_ANNOTATION, WantedAction, sha256};
use crate::action::crd::Action;
use crate::context::Context;
use crate::openwhisk::crd::Mode;
use crate::remote::code::{CodeError, Source, shown as shown_url};
use crate::remote::openwhisk::{EntityError, Limits, parameters};
use crate::remote::resident::KubernetesError;
use crate::types::{FreeForm, KeyRef};

/// How every zip archive starts.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// The server's limit on code, after base64.
const CODE_MAX: usize = 48 * 1024 * 1024;

/// The action that is asked for, with its code and the values of its secret parameters.
///
/// # Errors
/// [`EntityError::Invalid`] when something that is referred to is missing or wrong.
pub async fn resolve(context: &Context, action: &Action) -> Result<WantedAction, EntityError> {
    let namespace = action.namespace().unwrap_or_default();
    let spec = &action.spec;
    check_annotations(&spec.annotations).map_err(EntityError::Invalid)?;
    let body = match &spec.sequence {
        Some(names) => Body::Sequence(names.clone()),
        None => code(context, &namespace, action).await?,
    };
    if matches!(body, Body::Sequence(_)) && !spec.parameters.is_empty() {
        let keys: Vec<&str> = spec.parameters.keys().map(String::as_str).collect();
        return Err(EntityError::Invalid(Invalid::new(
            "spec.parameters",
            keys.join(", "),
            "OpenWhisk ignores the parameters of a sequence",
            "set them on the component actions",
        )));
    }
    let parameters =
        parameters(context, &namespace, &spec.parameters, &spec.parameters_from).await?;
    Ok(WantedAction {
        name: action.action_name().to_owned(),
        body,
        parameters,
        annotations: spec.annotations.clone().into_iter().collect(),
        limits: Limits {
            timeout: i64::from(spec.limits.timeout_milliseconds),
            memory: i64::from(spec.limits.memory_megabytes),
            logs: i64::from(spec.limits.logs_megabytes),
        },
    })
}

/// Checks that the image is run by the digest that it is asked for with.
///
/// # Errors
/// Apache OpenWhisk reads a digest and goes on without it (`ImageName.fromString` of its `ExecManifest`).
pub fn check_image(body: &Body, mode: Mode) -> Result<(), Invalid> {
    match (body, mode) {
        (Body::Image { image, .. }, Mode::Apache | Mode::Lean) => Err(Invalid::new(
            "spec.code.image",
            image,
            "Apache OpenWhisk leaves the digest out and runs what the image's tag is at the time",
            "name an OpenWhisk of mode embedded, or make the image a kind by its spec.apache.runtimes",
        )),
        _ => Ok(()),
    }
}

/// Whoever asked for one of these would never get it: it is written over.
fn check_annotations(annotations: &FreeForm) -> Result<(), Invalid> {
    for (key, whose) in [
        ("exec", "OpenWhisk itself"),
        (DIGEST_ANNOTATION, "the operator"),
        (KEYS_ANNOTATION, "the operator"),
    ] {
        if let Some(value) = annotations.get(key) {
            return Err(Invalid::new(
                format!("spec.annotations[{key}]"),
                value.to_string(),
                format!("{whose} writes this annotation"),
                "remove it, or give it another name",
            ));
        }
    }
    Ok(())
}

async fn code(context: &Context, namespace: &str, action: &Action) -> Result<Body, EntityError> {
    let spec = &action.spec;
    let from = spec.code.as_ref();
    if let Some(image) = from.and_then(|c| c.image.as_ref()) {
        return Ok(Body::Image {
            image: image.clone(),
            main: spec.main.clone(),
        });
    }
    let (field, name, zip) = if let Some(name) = from.and_then(|c| c.builtin.as_deref()) {
        let zip = builtin(&context.settings.actions_dir, name).await?;
        ("spec.code.builtin".to_owned(), name.to_owned(), zip)
    } else if let Some(reference) = from.and_then(|c| c.config_map.as_ref()) {
        let zip = config_map(context, namespace, reference).await?;
        let shown = format!("{}/{}", reference.name, reference.key);
        ("spec.code.configMap".to_owned(), shown, zip)
    } else if let Some(source) = source(context, action).await? {
        return Ok(Body::Code {
            kind: spec.kind.clone(),
            main: spec.main.clone(),
            digest: match known_digest(action) {
                Some(digest) => digest,
                None => source.digest().await?,
            },
            zip: None,
        });
    } else {
        return Err(EntityError::Invalid(Invalid::new(
            "spec.code",
            "absent",
            "action without code",
            "set one of spec.code.builtin, spec.code.configMap, spec.code.url, spec.code.oci and spec.code.image, or spec.sequence",
        )));
    };
    check_zip(&field, &name, &zip).map_err(EntityError::Invalid)?;
    Ok(Body::Code {
        kind: spec.kind.clone(),
        main: spec.main.clone(),
        digest: sha256(&zip),
        zip: Some(STANDARD.encode(&zip)),
    })
}

/// Where the code is, if it is elsewhere.
async fn source(context: &Context, action: &Action) -> Result<Option<Source>, EntityError> {
    let namespace = action.namespace().unwrap_or_default();
    let Some(from) = &action.spec.code else {
        return Ok(None);
    };
    Ok(match (&from.url, &from.oci) {
        (Some(url), _) => Some(Source::url(context, &namespace, url).await?),
        (None, Some(oci)) => Some(Source::oci(context, &namespace, oci).await?),
        (None, None) => None,
    })
}

/// What the zip of an artifact hashes to, where it is the one that is installed: the registry may be away.
fn known_digest(action: &Action) -> Option<String> {
    let asked = action.spec.code.as_ref()?.oci.as_ref()?;
    let status = action.status.as_ref()?;
    let from = status.code_from.as_ref();
    let digest = status.digest.clone().filter(|digest| !digest.is_empty());
    digest.filter(|_| from == Some(&asked.reference))
}

/// Fetches code from elsewhere, as it goes to the server.
///
/// # Errors
/// It cannot be had, or is not what its digest says, or no archive.
pub async fn fetch(context: &Context, action: &Action) -> Result<Option<String>, EntityError> {
    let Some(source) = source(context, action).await? else {
        return Ok(None);
    };
    let code = source.fetch().await?;
    let (field, shown) = match &source {
        Source::Url { url, .. } => ("spec.code.url.url", shown_url(url).to_owned()),
        Source::Oci(registry) => ("spec.code.oci.reference", registry.reference.to_string()),
    };
    check_zip(field, &shown, &code).map_err(CodeError::Unusable)?;
    Ok(Some(STANDARD.encode(code.as_slice())))
}

fn check_zip(field: &str, name: &str, zip: &[u8]) -> Result<(), Invalid> {
    if !zip.starts_with(ZIP_MAGIC) {
        return Err(Invalid::new(
            field,
            name,
            format!("its {} bytes are not a zip archive", zip.len()),
            "give a zip with the program as `exec` at its top",
        ));
    }
    if zip.len() / 3 * 4 > CODE_MAX {
        return Err(Invalid::new(
            field,
            name,
            format!("its {} bytes are more than OpenWhisk takes", zip.len()),
            "give at most 36 MiB",
        ));
    }
    Ok(())
}

async fn builtin(directory: &Path, name: &str) -> Result<Vec<u8>, EntityError> {
    let path = directory.join(format!("{name}.zip"));
    match tokio::fs::read(&path).await {
        Ok(zip) => Ok(zip),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let known = builtins(directory).await;
            let cure = if known.is_empty() {
                "this operator comes without actions: give spec.code.configMap instead".to_owned()
            } else {
                format!("give one of {}, or spec.code.configMap", known.join(", "))
            };
            Err(EntityError::Invalid(Invalid::new(
                "spec.code.builtin",
                name,
                "no action of that name comes with the operator",
                cure,
            )))
        }
        Err(source) => Err(EntityError::Builtin {
            name: name.to_owned(),
            source,
        }),
    }
}

/// The names of the actions that come with the operator, sorted.
pub async fn builtins(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(mut entries) = tokio::fs::read_dir(directory).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".zip").map(str::to_owned));
        }
    }
    names.sort();
    names
}

async fn config_map(
    context: &Context,
    namespace: &str,
    reference: &KeyRef,
) -> Result<Vec<u8>, EntityError> {
    let map = context
        .namespaced::<ConfigMap>(namespace)
        .get_opt(&reference.name)
        .await
        .map_err(KubernetesError::doing("read the ConfigMap with the code"))?;
    zip_in(map.as_ref(), reference).map_err(EntityError::Invalid)
}

fn zip_in(map: Option<&ConfigMap>, reference: &KeyRef) -> Result<Vec<u8>, Invalid> {
    let Some(map) = map else {
        return Err(Invalid::new(
            "spec.code.configMap.name",
            &reference.name,
            "there is no ConfigMap of that name in the namespace",
            "create it, for example with `kubectl create configmap NAME --from-file=KEY=FILE.zip`",
        ));
    };
    if let Some(zip) = map
        .binary_data
        .as_ref()
        .and_then(|data| data.get(&reference.key))
    {
        return Ok(zip.0.clone());
    }
    let in_data = map
        .data
        .as_ref()
        .is_some_and(|data| data.contains_key(&reference.key));
    let mut keys: Vec<&str> = map
        .binary_data
        .iter()
        .flat_map(|data| data.keys())
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    Err(Invalid::new(
        "spec.code.configMap.key",
        &reference.key,
        if in_data {
            format!(
                "in ConfigMap {} the key is text, not binaryData",
                reference.name
            )
        } else {
            format!(
                "ConfigMap {} has no such key in its binaryData",
                reference.name
            )
        },
        if keys.is_empty() {
            "put the zip into binaryData".to_owned()
        } else {
            format!("give one of {}", keys.join(", "))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn reference(name: &str, key: &str) -> KeyRef {
        KeyRef {
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn missing_code_is_named_with_a_cure() {
        let wanted = reference("code", "a.zip");
        assert!(zip_in(None, &wanted).unwrap_err().to_string().starts_with(
            "spec.code.configMap.name: code: there is no ConfigMap of that name in the namespace; create it"
        ));
        let mut map = ConfigMap {
            data: Some([("a.zip".to_owned(), "text".to_owned())].into()),
            ..ConfigMap::default()
        };
        assert_eq!(
            zip_in(Some(&map), &wanted).unwrap_err().to_string(),
            "spec.code.configMap.key: a.zip: in ConfigMap code the key is text, not binaryData; put the zip into binaryData"
        );
        map.data = None;
        map.binary_data = Some([("b.zip".to_owned(), ByteString(b"PK\x03\x04".to_vec()))].into());
        assert_eq!(
            zip_in(Some(&map), &wanted).unwrap_err().to_string(),
            "spec.code.configMap.key: a.zip: ConfigMap code has no such key in its binaryData; give one of b.zip"
        );
        assert!(zip_in(Some(&map), &reference("code", "b.zip")).is_ok());
    }

    #[test]
    fn annotations_that_are_written_over_are_refused() {
        let told = |annotations: serde_json::Value| {
            let annotations = annotations.as_object().unwrap().clone();
            check_annotations(&annotations).map_err(|invalid| invalid.to_string())
        };
        let web =
            serde_json::json!({"web-export": true, "raw-http": true, "provide-api-key": true});
        assert_eq!(told(web), Ok(()));
        assert_eq!(
            told(serde_json::json!({"exec": "go:1"})).unwrap_err(),
            "spec.annotations[exec]: \"go:1\": OpenWhisk itself writes this annotation; remove it, or give it another name"
        );
        assert!(told(serde_json::json!({ DIGEST_ANNOTATION: "" })).is_err());
    }

    #[test]
    fn an_image_is_not_given_to_who_drops_its_digest() {
        let body = Body::Image {
            image: "r.io/a@sha256:0".to_owned(),
            main: "main".to_owned(),
        };
        for mode in [Mode::Apache, Mode::Lean] {
            let refused = check_image(&body, mode).unwrap_err();
            assert_eq!(refused.field, "spec.code.image");
        }
        assert!(check_image(&body, Mode::Embedded).is_ok());
        assert!(check_image(&Body::Sequence(Vec::new()), Mode::Apache).is_ok());
    }

    #[tokio::test]
    async fn an_unknown_builtin_lists_the_known_ones() {
        let directory = tempfile::tempdir().unwrap();
        let missing = async |name: &str| match builtin(directory.path(), name).await {
            Err(EntityError::Invalid(invalid)) => invalid.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            missing("notify").await,
            "spec.code.builtin: notify: no action of that name comes with the operator; this operator comes without actions: give spec.code.configMap instead"
        );
        std::fs::write(directory.path().join("notify-driver.zip"), b"PK\x03\x04").unwrap();
        std::fs::write(directory.path().join("assess-vehicle.zip"), b"").unwrap();
        assert!(
            missing("notify")
                .await
                .ends_with("give one of assess-vehicle, notify-driver, or spec.code.configMap")
        );
        let zip = builtin(directory.path(), "notify-driver").await.unwrap();
        assert!(check_zip("f", "n", &zip).is_ok());
        assert!(
            check_zip("f", "n", b"#!/bin/sh")
                .unwrap_err()
                .problem
                .contains("not a zip")
        );
    }
}
