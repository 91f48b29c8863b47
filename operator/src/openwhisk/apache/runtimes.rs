//! The runtimes manifest: which image runs which kind of action. Pure.

use std::collections::BTreeMap;

use millrace_contract::Invalid;
use serde_json::{Value, json};

use crate::openwhisk::crd::apache::RuntimeKind;

/// The controller finds out by an action of this family whether an invoker works, and does not start without one. The tag is
/// that of upstream's own manifest: no other of it is published.
const NODE: &str = "docker.io/openwhisk/action-nodejs-v20:nightly";
/// The hosts whose names have no dot and no port.
const LOCALHOST: &str = "localhost";

/// Kinds that are always there: those of the embedded server, in its own image, so that the same actions run as they do there,
/// and the controller's own.
fn own(embedded: &str) -> [RuntimeKind; 3] {
    [
        ("rust:default", embedded),
        ("native:default", embedded),
        ("nodejs:20", NODE),
    ]
    .map(|(kind, image)| RuntimeKind {
        kind: kind.to_owned(),
        image: image.to_owned(),
        default: false,
    })
}

/// The manifest, as JSON on one line. `embedded` is the image of the embedded server, which runs an action as it does when it
/// is started without arguments.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn manifest(asked: &[RuntimeKind], embedded: &str) -> Result<String, Invalid> {
    let mut kinds: Vec<RuntimeKind> = own(embedded)
        .into_iter()
        .filter(|own| asked.iter().all(|kind| kind.kind != own.kind))
        .collect();
    // Those that are asked for come first: they are what their family means.
    kinds.splice(0..0, asked.iter().cloned());
    let mut families: BTreeMap<&str, Vec<&RuntimeKind>> = BTreeMap::new();
    for kind in &kinds {
        let family = kind.kind.split(':').next().unwrap_or_default();
        families.entry(family).or_default().push(kind);
    }
    let mut runtimes = BTreeMap::new();
    for (family, kinds) in families {
        let flagged: Vec<&str> = kinds
            .iter()
            .filter(|kind| kind.default)
            .map(|kind| kind.kind.as_str())
            .collect();
        if flagged.len() > 1 {
            return Err(Invalid::new(
                "spec.apache.runtimes.default",
                flagged.join(", "),
                format!("several kinds are to be {family}:default"),
                "leave default at one of them",
            ));
        }
        // A kind of this name is what the family means, or nobody could ask for it.
        let named = format!("{family}:default");
        let default = flagged
            .first()
            .copied()
            .or_else(|| kinds.iter().map(|k| k.kind.as_str()).find(|k| *k == named))
            .or_else(|| kinds.first().map(|kind| kind.kind.as_str()));
        let entries: Vec<Value> = kinds
            .iter()
            .map(|kind| entry(kind, default == Some(kind.kind.as_str())))
            .collect::<Result<_, _>>()?;
        runtimes.insert(family, entries);
    }
    Ok(json!({"runtimes": runtimes, "blackboxes": []}).to_string())
}

fn entry(kind: &RuntimeKind, default: bool) -> Result<Value, Invalid> {
    Ok(json!({
        "kind": kind.kind,
        "default": default,
        "deprecated": false,
        "image": image(kind)?,
        // Code stands beside the action's document, which MongoDB bounds at 16 MiB.
        "attached": {"attachmentName": "codefile", "attachmentType": "text/plain"},
    }))
}

/// An image in the parts that OpenWhisk puts together again.
fn image(kind: &RuntimeKind) -> Result<Value, Invalid> {
    let wrong = |problem: &str| {
        Err(Invalid::new(
            format!("spec.apache.runtimes[{}].image", kind.kind),
            &kind.image,
            problem,
            "write it like registry.example/team/action-python:1.2",
        ))
    };
    let (path, last) = match kind.image.rsplit_once('/') {
        Some((path, last)) => (path, last),
        None => ("", kind.image.as_str()),
    };
    let Some((name, tag)) = last.split_once(':') else {
        return wrong("has no tag");
    };
    if name.is_empty() || name.contains('@') || tag.is_empty() || tag.contains('/') {
        return wrong("has no tag, which OpenWhisk asks for even where there is a digest");
    }
    let (host, prefix) = path.split_once('/').unwrap_or((path, ""));
    let is_host = host.contains(['.', ':']) || host == LOCALHOST;
    let (registry, prefix) = if is_host { (host, prefix) } else { ("", path) };
    let mut image = json!({"name": name, "tag": tag});
    for (key, value) in [("registry", registry), ("prefix", prefix)] {
        if !value.is_empty() {
            image[key] = value.into();
        }
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(kind: &str, image: &str, default: bool) -> RuntimeKind {
        RuntimeKind {
            kind: kind.into(),
            image: image.into(),
            default,
        }
    }

    const EMBEDDED: &str = "r.io/millrace/millrace-whisk:1";

    fn made(asked: &[RuntimeKind]) -> Value {
        serde_json::from_str(&manifest(asked, EMBEDDED).unwrap()).unwrap()
    }

    fn defaults(manifest: &Value, family: &str) -> Vec<String> {
        let kinds = manifest["runtimes"][family].as_array().unwrap().iter();
        kinds
            .filter(|kind| kind["default"] == true)
            .map(|kind| kind["kind"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_kinds_of_the_embedded_server_and_that_of_the_controller_are_there() {
        let made = made(&[]);
        for family in ["rust", "native"] {
            assert_eq!(
                made["runtimes"][family][0]["image"],
                json!({"registry": "r.io", "prefix": "millrace", "name": "millrace-whisk", "tag": "1"})
            );
        }
        assert_eq!(defaults(&made, "rust"), ["rust:default"]);
        assert_eq!(defaults(&made, "native"), ["native:default"]);
        assert_eq!(defaults(&made, "nodejs"), ["nodejs:20"]);
        // What the embedded server reads as a manifest this is too.
        assert!(millrace_whisk::kinds::Kinds::from_manifest(&made.to_string()).is_ok());
    }

    #[test]
    fn each_family_has_one_default() {
        let asked = [
            kind("python:3", "r.io:5000/t/u/py:3@sha256:ab", false),
            kind("python:4", "py4:1", true),
            kind("rust:default", "localhost/mine:2", false),
            kind("rust:fast", "fast:1", false),
            kind("nodejs:22", "node:22", false),
        ];
        let made = made(&asked);
        assert_eq!(defaults(&made, "python"), ["python:4"]);
        assert_eq!(defaults(&made, "rust"), ["rust:default"]);
        assert_eq!(defaults(&made, "nodejs"), ["nodejs:22"]);
        let image = |family: &str, at: usize| &made["runtimes"][family][at]["image"];
        assert_eq!(
            *image("python", 0),
            json!({"registry": "r.io:5000", "prefix": "t/u", "name": "py", "tag": "3@sha256:ab"})
        );
        assert_eq!(*image("python", 1), json!({"name": "py4", "tag": "1"}));
        assert_eq!(
            *image("rust", 0),
            json!({"registry": "localhost", "name": "mine", "tag": "2"})
        );
    }

    #[test]
    fn what_openwhisk_would_not_take_is_refused() {
        let told = |asked: &[RuntimeKind]| manifest(asked, EMBEDDED).unwrap_err().to_string();
        let two = [kind("a:1", "x:1", true), kind("a:2", "x:2", true)];
        assert!(told(&two).starts_with("spec.apache.runtimes.default: a:1, a:2: "));
        for image in ["x", "r.io:5000/x", "x@sha256:ab"] {
            let told = told(&[kind("a:1", image, false)]);
            assert!(
                told.starts_with(&format!(
                    "spec.apache.runtimes[a:1].image: {image}: has no tag"
                )),
                "{told}"
            );
        }
    }
}
