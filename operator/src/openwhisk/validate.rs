//! From what was asked for to what can be built. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use millrace_contract::Invalid;

use super::crd::{OpenWhisk, WhiskAudit};
use crate::context::Images;
use crate::reconcile::secrets::{self, Found};
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, Operation, PodResources, Quantity, Storage, StorageGrowth};

/// Memory of the pod when none is asked for.
const MEMORY: &str = "512Mi";
const MEBIBYTE: u64 = 1024 * 1024;
/// What the server itself needs of the pod's memory, in mebibytes; the rest is for actions.
const SERVER_MEBIBYTES: u64 = 96;
/// What an action may use unless it says so itself, in mebibytes.
const ACTION_MEBIBYTES: u64 = 128;
/// The key of the Secret that holds the credentials.
pub const AUTH_KEY: &str = "auth";

/// What was read of the objects of an OpenWhisk.
#[derive(Clone, Debug)]
pub struct Live {
    /// The claim template of the live StatefulSet.
    pub template: Option<PersistentVolumeClaim>,
    /// The Secret with the credentials.
    pub auth: Found,
    /// The credentials of a Secret that somebody else made.
    pub given_auth: Option<String>,
}

/// Actions of an image that the embedded server runs as pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValidatedImages {
    /// Memory of all of them together, in mebibytes.
    pub mebibytes: u64,
    /// The Secret with the login of their registry.
    pub pull_secret: Option<String>,
    /// How long a pod, or a process, that nobody asks for is kept, in seconds; the server's default when absent.
    pub idle_seconds: Option<i32>,
}

/// An OpenWhisk that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedWhisk {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// The OpenWhisk namespace of the actions.
    pub namespace: String,
    /// The volume asked for.
    pub storage: Storage,
    /// How far the volume grows by itself.
    pub storage_growth: Option<StorageGrowth>,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of the pod.
    pub resources: PodResources,
    /// Whether, and how, actions of an image are run.
    pub image_actions: Option<ValidatedImages>,
    /// Memory for all actions together, in mebibytes.
    pub action_mebibytes: u64,
    /// Disk for activation records, in mebibytes: half of the volume, the rest is for actions.
    pub record_mebibytes: u64,
    /// The credentials, `uuid:key`.
    pub auth: String,
    /// Whether the operator makes the Secret with the credentials.
    pub makes_auth: bool,
    /// Who is told which actions ran.
    pub audit: Option<WhiskAudit>,
    /// What becomes of the volume in the end.
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    pub operation: Operation,
}

/// Checks that nobody waits for runs that a server of another mode does not tell.
///
/// # Errors
/// Names `spec.audit` and the cure.
pub(super) fn no_audit(whisk: &OpenWhisk) -> Result<(), Invalid> {
    let Some(audit) = &whisk.spec.audit else {
        return Ok(());
    };
    Err(Invalid::new(
        "spec.audit",
        &audit.gateway_url,
        "only mode embedded tells which actions ran",
        "remove spec.audit, or take mode embedded",
    ))
}

/// How many actions of the usual size run at once in a pod of this memory.
#[must_use]
pub fn children(memory: &Quantity) -> u64 {
    action_mebibytes(memory.bytes().unwrap_or(0) / MEBIBYTE) / ACTION_MEBIBYTES
}

fn action_mebibytes(pod: u64) -> u64 {
    pod.saturating_sub(SERVER_MEBIBYTES).max(64)
}

/// Checks an OpenWhisk and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(whisk: &OpenWhisk, live: Live, images: &Images) -> Result<ValidatedWhisk, Error> {
    let spec = &whisk.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(whisk)?
    };
    let memory = spec
        .resources
        .as_ref()
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let mebibytes = memory.bytes().unwrap_or(0) / MEBIBYTE;
    if mebibytes < 256 {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "no action fits into so little",
            "give at least 256Mi",
        )
        .into());
    }
    let (auth, makes_auth) = credentials(&owner.name, &live)?;
    Ok(ValidatedWhisk {
        image: spec.image.clone().unwrap_or_else(|| images.whisk.clone()),
        namespace: spec.namespace.clone(),
        storage: spec.storage.clone(),
        storage_growth: spec.storage_growth.clone(),
        live_template: live.template,
        resources: PodResources {
            memory: Some(memory),
            cpu: spec.resources.as_ref().and_then(|r| r.cpu.clone()),
        },
        image_actions: spec.image_actions.as_ref().map(|images| ValidatedImages {
            mebibytes: images.memory.bytes().unwrap_or(0) / MEBIBYTE,
            pull_secret: images.pull_secret.clone(),
            idle_seconds: images.idle_seconds,
        }),
        record_mebibytes: (spec.storage.size.bytes().unwrap_or(0) / MEBIBYTE / 2).clamp(8, 512),
        action_mebibytes: action_mebibytes(mebibytes),
        auth,
        makes_auth,
        audit: spec.audit.clone(),
        deletion_policy: spec.deletion_policy,
        operation: spec.operation.clone(),
        owner,
    })
}

/// The credentials, and whether the operator makes their Secret: those that are there are kept.
///
/// # Errors
/// A Secret that somebody else made does not hold any.
pub(super) fn credentials(openwhisk: &str, live: &Live) -> Result<(String, bool), Error> {
    let (auth, makes_auth) =
        match secrets::complete(&live.auth, &[(AUTH_KEY, secrets::whisk_auth)])? {
            Some(data) => {
                let auth = secrets::text(Some(&data), AUTH_KEY).unwrap_or_default();
                (auth.to_owned(), true)
            }
            None => (live.given_auth.clone().unwrap_or_default(), false),
        };
    if auth
        .split_once(':')
        .is_none_or(|(id, key)| id.is_empty() || key.is_empty())
    {
        return Err(Error::Missing {
            reason: "CredentialsMissing",
            invalid: Invalid::new(
                format!("Secret {openwhisk}-auth, key {AUTH_KEY}"),
                "(not shown)",
                "is not of the form uuid:key",
                "correct the Secret, or delete it and the operator makes one",
            ),
        });
    }
    Ok((auth, makes_auth))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    pub(in crate::openwhisk) fn valid(
        spec: serde_json::Value,
        live: Live,
    ) -> Result<ValidatedWhisk, Error> {
        let whisk: OpenWhisk = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "OpenWhisk",
            "metadata": {"name": "w", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap();
        let images = Images::named(|name| format!("{name}:1"));
        validate(&whisk, live, &images)
    }

    pub(in crate::openwhisk) fn live(auth: Found) -> Live {
        Live {
            template: None,
            auth,
            given_auth: None,
        }
    }

    #[test]
    fn credentials_are_made_once() {
        let made = valid(json!({}), live(Found::Absent)).unwrap();
        assert!(made.makes_auth && made.auth.contains(':'));
        assert_eq!(made.action_mebibytes, 416);
        assert_eq!(made.record_mebibytes, 512);
        let small = json!({"storage": {"size": "64Mi"}});
        let small = valid(small, live(Found::Absent)).unwrap();
        assert_eq!(small.record_mebibytes, 32);
        let there = Found::Ours([(AUTH_KEY.to_owned(), ByteString(b"u:k\n".to_vec()))].into());
        assert_eq!(valid(json!({}), live(there)).unwrap().auth, "u:k");
        let given = Live {
            given_auth: Some("a:b".into()),
            ..live(Found::Given)
        };
        let given = valid(json!({}), given).unwrap();
        assert!(!given.makes_auth && given.auth == "a:b");
        assert!(matches!(
            valid(json!({}), live(Found::Given)),
            Err(Error::Missing {
                reason: "CredentialsMissing",
                ..
            })
        ));
    }

    #[test]
    fn too_little_memory_is_refused() {
        let error = valid(
            json!({"resources": {"memory": "32Mi"}}),
            live(Found::Absent),
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("spec.resources.memory: 32Mi: "),
            "{error}"
        );
    }
}
