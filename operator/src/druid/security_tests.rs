//! Tests of [`super`].

use std::fmt::Write as _;

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::Value;

use super::super::build::build;
use super::super::files::files;
use super::super::validate::tests::{cluster, found, images, large, small};
use super::super::validate::{Found, ValidatedDruid, validate};
use super::*;

fn secured(mut spec: Value) -> Value {
    spec["image"] = json!("apache/druid:33.0.0");
    spec["security"] = json!({"authentication": "basic", "tls": true});
    spec
}

fn of(spec: Value, security: FoundSecurity) -> Result<ValidatedDruid, String> {
    let all = Found {
        security: FoundSecurity {
            now: "2026-11-28T00:00:00Z".parse().unwrap(),
            ..security
        },
        ..found()
    };
    validate(&cluster(spec), &all, &images()).map_err(|error| error.to_string())
}

fn first() -> ValidatedDruid {
    of(secured(small()), FoundSecurity::default()).unwrap()
}

/// The same cluster at the next look.
fn again(before: &ValidatedDruid) -> ValidatedDruid {
    let [authority, certificate] = before.security.certificate_secrets().unwrap().unwrap();
    let found = FoundSecurity {
        users: before.security.users(&before.owner).unwrap().data,
        authority,
        certificate,
        ..FoundSecurity::default()
    };
    of(secured(small()), found).unwrap()
}

#[test]
fn an_image_that_lacks_it_and_a_way_that_loses_passwords_are_refused() {
    let mut spec = secured(small());
    spec.as_object_mut().unwrap().remove("image");
    let told = of(spec, FoundSecurity::default()).unwrap_err();
    assert!(
        told.starts_with("spec.image: (absent): the operator's own image lacks"),
        "{told}"
    );
    let mut spec = secured(large());
    spec.as_object_mut().unwrap().remove("routers");
    let told = of(spec.clone(), FoundSecurity::default()).unwrap_err();
    assert!(told.starts_with("spec.routers: (absent)"), "{told}");
    spec["security"] = json!({"tls": true});
    let tls_alone = of(spec, FoundSecurity::default()).unwrap();
    assert!(tls_alone.security.passwords.is_none());
    assert!(tls_alone.security.certificates.is_some());
}

#[test]
fn passwords_are_made_once_and_belong_to_nobody() {
    let made = first();
    let secret = made.security.users(&made.owner).unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("d-users"));
    assert_eq!(secret.metadata.owner_references, None);
    let kept = again(&made);
    assert!(kept.security.users(&kept.owner).is_none());
    let told = |druid: &ValidatedDruid| druid.security.passwords.clone().unwrap().admin;
    assert_eq!(told(&kept), told(&made));
    assert!(!format!("{:?}", made.security).contains(&told(&made)));
    let lacking = FoundSecurity {
        users: Some(BTreeMap::new()),
        ..FoundSecurity::default()
    };
    let told = of(secured(small()), lacking).unwrap_err();
    assert!(
        told.starts_with(
            "spec.security.authentication: basic: the Secret d-users has no admin-password"
        ),
        "{told}"
    );
}

#[test]
fn certificates_stay_and_servers_are_not_restarted_for_nothing() {
    let made = first();
    let kept = again(&made);
    let both = [&made, &kept].map(|druid| build(druid).unwrap());
    for role in &made.roles {
        let [before, after] = both.each_ref().map(|all| {
            let set: StatefulSet = all.get(&role.set).unwrap();
            set.spec.unwrap().template
        });
        assert_eq!(before, after, "{}", role.set);
    }
    let stores = both.map(|all| all.get::<Secret>("d-certificate").unwrap().data);
    assert_eq!(stores[0], stores[1]);
    assert!(stores[0].as_ref().unwrap().contains_key(KEY_STORE));
}

#[test]
fn nothing_secret_is_in_files_or_pods() {
    let druid = first();
    let passwords = druid.security.passwords.clone().unwrap();
    let key = &druid.security.certificates.as_ref().unwrap().server.key;
    let line = key.lines().nth(1).unwrap();
    let built = build(&druid).unwrap();
    let mut text = String::new();
    for role in &druid.roles {
        let set: StatefulSet = built.get(&role.set).unwrap();
        let _ = write!(
            text,
            "{}{}",
            serde_json::to_string(&set).unwrap(),
            serde_json::to_string(&files(&druid, role)).unwrap()
        );
    }
    for secret in [passwords.admin.as_str(), &passwords.internal, line] {
        assert!(!text.contains(secret));
    }
}

#[test]
fn each_server_asks_and_only_coordinators_know_the_first_password() {
    let druid = first();
    for role in &druid.roles {
        let settings = files(&druid, role).remove("runtime.properties").unwrap();
        for line in [
            "druid.auth.authenticatorChain=[\"basic\"]",
            "druid.auth.authenticator.basic.authorizerName=basic",
            "druid.escalator.internalClientUsername=druid_system",
            "druid.escalator.internalClientPassword={\"type\":\"environment\",\"variable\":\"MILLRACE_INTERNAL_PASSWORD\"}",
            "druid.enablePlaintextPort=false",
            "druid.server.https.keyStorePath=/etc/druid-certificates/keystore.jks",
            "druid.server.https.keyStoreType=JKS",
            "druid.client.https.trustStorePath=/etc/druid-certificates/truststore.jks",
        ] {
            assert!(
                settings.lines().any(|one| one == line),
                "{line}: {settings}"
            );
        }
        let port = format!("druid.tlsPort={}", role.kind.port());
        assert!(settings.contains(&port) && !settings.contains("druid.plaintextPort"));
        for extension in ["\"druid-basic-security\"", "\"simple-client-sslcontext\""] {
            assert!(settings.contains(extension), "{settings}");
        }
        let knows = settings.contains("initialAdminPassword");
        assert_eq!(knows, role.kind == RoleKind::Coordinator, "{}", role.set);

        let set: StatefulSet = build(&druid).unwrap().get(&role.set).unwrap();
        let pod = set.spec.unwrap().template.spec.unwrap();
        let variables = pod.containers[0].env.as_ref().unwrap().iter();
        let given = variables.clone().any(|one| one.name == ADMIN_PASSWORD);
        assert_eq!(given, knows, "{}", role.set);
        assert!(variables.clone().any(|one| one.name == INTERNAL_PASSWORD));
        let probe = pod.containers[0].readiness_probe.clone().unwrap();
        let get = probe.http_get.unwrap();
        assert_eq!(get.scheme.as_deref(), Some("HTTPS"));
    }
}

#[test]
fn the_binding_says_as_whom_and_whom_to_trust() {
    let druid = first();
    let binding: Secret = build(&druid).unwrap().get("d-binding").unwrap();
    let data = binding.data.as_ref();
    let uri = text(data, "uri").unwrap();
    assert_eq!(uri, "https://d-coordinator.ns.svc:8081");
    let read = crate::remote::druid::Credentials::of(data);
    let asked = druid.credentials();
    assert_eq!(read.login, asked.login);
    let trusted = asked.authorities.unwrap();
    assert_eq!(read.authorities.as_deref(), Some(trusted.trim()));
    assert_eq!(druid.sql(), "https://d-broker.ns.svc:8082/druid/v2/sql");
}
