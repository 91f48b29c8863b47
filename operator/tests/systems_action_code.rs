//! Code of actions from elsewhere, by a real registry and a real file server over https: what comes is what its digest says, or it
//! is not taken. And an OpenWhisk that is reached over https.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod https_support;
mod whisk_support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use https_support::{Certificate, Front, files};
use k8s_openapi::api::core::v1::Secret;
use millrace_operator::pods::secret_data;
use millrace_operator::remote::action::sha256;
use millrace_operator::remote::code::{self, CodeError, LARGEST, Login, Reference, Source};
use millrace_operator::remote::openwhisk::WhiskClient;
use millrace_testkit::Registry;
use serde_json::{Value, json};
use whisk_support::{KEY, USER, start};

/// `tests:hidden`, by bcrypt.
const PASSWORDS: &str = "tests:$2b$05$xXHj4piawU7SNODs8PJHou2A5jiZa6Mo.gnwmVRCqKIROmOuYvm/2\n";

struct Pushed {
    reference: String,
    layer: String,
}

/// Pushes as the specification has it: the blobs, then the manifest.
fn push(registry: &Registry, trust: &Certificate, login: Option<&str>, layers: &[&[u8]]) -> Pushed {
    let agent = code::agent(&trust.roots(), Duration::from_secs(20));
    let base = format!("https://{}/v2/team/action", registry.host());
    let authorization = login.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
    let put = |url: String, kind: &str, bytes: &[u8]| {
        let mut request = agent.put(url).header("content-type", kind);
        if let Some(value) = &authorization {
            request = request.header("authorization", value);
        }
        let answer = request.send(bytes).unwrap();
        assert_eq!(answer.status(), 201, "{answer:?}");
    };
    let blob = |bytes: &[u8]| {
        let mut request = agent.post(format!("{base}/blobs/uploads/"));
        if let Some(value) = &authorization {
            request = request.header("authorization", value);
        }
        let answer = request.send_empty().unwrap();
        assert_eq!(answer.status(), 202, "{answer:?}");
        let place = answer.headers()["location"].to_str().unwrap();
        let place = match place.strip_prefix('/') {
            Some(path) => format!("https://{}/{path}", registry.host()),
            None => place.to_owned(),
        };
        let mark = if place.contains('?') { '&' } else { '?' };
        let digest = sha256(bytes);
        put(
            format!("{place}{mark}digest=sha256:{digest}"),
            "application/octet-stream",
            bytes,
        );
        json!({"mediaType": "application/zip", "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let config = blob(b"{}");
    let layers: Vec<Value> = layers.iter().map(|layer| blob(layer)).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers})
        .to_string();
    let digest = sha256(manifest.as_bytes());
    put(
        format!("{base}/manifests/sha256:{digest}"),
        "application/vnd.oci.image.manifest.v1+json",
        manifest.as_bytes(),
    );
    Pushed {
        reference: format!("{}/team/action:1@sha256:{digest}", registry.host()),
        layer: layers[0]["digest"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:")
            .to_owned(),
    }
}

fn source(pushed: &Pushed, trust: &Certificate, login: Option<Login>) -> Source {
    Source::Oci(Box::new(code::Registry {
        reference: Reference::parse(&pushed.reference).unwrap(),
        login,
        roots: trust.roots(),
    }))
}

fn login(host: &str, pair: &str, pushed: &Pushed) -> Login {
    let config = json!({"auths": {host: {"auth": STANDARD.encode(pair)}}}).to_string();
    let secret = Secret {
        data: Some(secret_data([(".dockerconfigjson", config)])),
        ..Secret::default()
    };
    let reference = Reference::parse(&pushed.reference).unwrap();
    Login::read("pull", Some(&secret), &reference).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn an_artifact_is_fetched_and_must_be_what_its_digest_says() {
    let trust = Certificate::new();
    let Some(mut registry) = Registry::start(&trust.pem, &trust.key, None).unwrap() else {
        return;
    };
    let zip = b"PK\x03\x04 one".to_vec();
    let pushed = push(&registry, &trust, None, &[&zip]);
    let there = source(&pushed, &trust, None);
    assert_eq!(there.digest().await.unwrap(), pushed.layer);
    assert_eq!(*there.fetch().await.unwrap(), zip);

    // It is kept by its digest: the registry may go away.
    let other = push(&registry, &trust, None, &[b"PK\x03\x04 two"]);
    let double = push(&registry, &trust, None, &[b"PK\x03\x04 a", b"PK\x03\x04 b"]);
    let data = registry.data();
    registry.kill();
    assert_eq!(*there.fetch().await.unwrap(), zip);
    let away = source(&other, &trust, None).fetch().await.unwrap_err();
    assert!(matches!(away, CodeError::Unreachable(_)), "{away}");

    // A registry that gives out something else under a digest is not believed.
    registry.start_again().unwrap();
    let blob = format!(
        "docker/registry/v2/blobs/sha256/{}/{}/data",
        &other.layer[..2],
        other.layer
    );
    std::fs::write(data.join(blob), b"PK\x03\x04 bad").unwrap();
    let differs = source(&other, &trust, None).fetch().await.unwrap_err();
    assert!(matches!(differs, CodeError::Differs(_)), "{differs}");
    assert!(
        differs
            .to_string()
            .contains("the code that is installed stays"),
        "{differs}"
    );

    let several = source(&double, &trust, None).fetch().await.unwrap_err();
    assert!(several.to_string().contains("has 2 layers"), "{several}");
    // A certificate of nobody whom one trusts.
    let stranger = source(&pushed, &Certificate::new(), None);
    let Source::Oci(mut stranger) = stranger else {
        panic!("no registry")
    };
    // Another tag and host, or it would be known.
    stranger.reference.host = registry.host().replace("127.0.0.1", "localhost");
    let refused = Source::Oci(stranger).fetch().await.unwrap_err();
    assert!(matches!(refused, CodeError::Unreachable(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_registry_that_asks_gets_the_pull_secret() {
    let trust = Certificate::new();
    let Some(registry) = Registry::start(&trust.pem, &trust.key, Some(PASSWORDS)).unwrap() else {
        return;
    };
    let zip = b"PK\x03\x04 closed".to_vec();
    let pushed = push(&registry, &trust, Some("tests:hidden"), &[&zip]);
    let nobody = source(&pushed, &trust, None).fetch().await.unwrap_err();
    assert!(matches!(nobody, CodeError::Refused(_)), "{nobody}");
    assert!(
        nobody
            .to_string()
            .ends_with("give a login that may read it"),
        "{nobody}"
    );
    let host = registry.host();
    let wrong = login(&host, "tests:wrong", &pushed);
    let wrong = source(&pushed, &trust, Some(wrong)).fetch().await;
    assert!(matches!(wrong, Err(CodeError::Refused(_))));
    let right = login(&host, "tests:hidden", &pushed);
    let code = source(&pushed, &trust, Some(right)).fetch().await.unwrap();
    assert_eq!(*code, zip);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_registry_with_a_token_service_is_asked_as_it_says() {
    let trust = Certificate::new();
    let zip = b"PK\x03\x04 by token".to_vec();
    let layer = sha256(&zip);
    let manifest = json!({"schemaVersion": 2, "layers": [
        {"mediaType": "application/zip", "digest": format!("sha256:{layer}"), "size": zip.len()}]})
    .to_string();
    let digest = sha256(manifest.as_bytes());
    // As registries with a service of their own for tokens answer, from the first question to the last.
    let front = Front::start(&trust, {
        let (zip, digest) = (zip.clone(), digest.clone());
        Arc::new(move |request: &https_support::Request| {
            let bearer = request.authorization.as_deref() == Some("Bearer t-1");
            match request.path.as_str() {
                "/token" => {
                    assert_eq!(
                        request.query,
                        "service=r&scope=repository%3Ateam%2Faction%3Apull"
                    );
                    let basic = format!("Basic {}", STANDARD.encode("u:p"));
                    assert_eq!(request.authorization.as_deref(), Some(basic.as_str()));
                    (200, Vec::new(), br#"{"token": "t-1"}"#.to_vec())
                }
                _ if !bearer => {
                    let realm = format!("https://{}/token", request.host);
                    let header = format!(
                        r#"Bearer realm="{realm}",service="r",scope="repository:team/action:pull""#
                    );
                    (401, vec![("www-authenticate", header)], Vec::new())
                }
                path if path.ends_with(&digest) => (200, Vec::new(), manifest.clone().into_bytes()),
                path if path.starts_with("/v2/team/action/blobs/") => {
                    (200, Vec::new(), zip.clone())
                }
                _ => (404, Vec::new(), Vec::new()),
            }
        })
    });
    let pushed = Pushed {
        reference: format!("{}/team/action@sha256:{digest}", front.host()),
        layer,
    };
    let right = login(&front.host(), "u:p", &pushed);
    let code = source(&pushed, &trust, Some(right)).fetch().await.unwrap();
    assert_eq!(*code, zip);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_file_is_fetched_and_must_be_what_its_digest_says() {
    let trust = Certificate::new();
    let zip = b"PK\x03\x04 at an address".to_vec();
    let front = files(
        &trust,
        &[
            ("/a.zip", zip.clone()),
            ("/large.zip", vec![0; usize::try_from(LARGEST).unwrap() + 1]),
        ],
    );
    let at = |path: &str, sha256: &str| Source::Url {
        url: format!("https://{}{path}", front.host()),
        sha256: sha256.to_owned(),
        roots: trust.roots(),
    };
    let wrong = "0".repeat(64);
    let differs = at("/a.zip?sig=key", &wrong).fetch().await.unwrap_err();
    assert!(matches!(differs, CodeError::Differs(_)), "{differs}");
    let told = differs.to_string();
    assert!(
        told.starts_with(&format!("spec.code.url.sha256: {wrong}: "))
            && told.contains(&sha256(&zip)),
        "{told}"
    );
    assert!(!told.contains("sig=key"), "{told}");
    assert_eq!(*at("/a.zip", &sha256(&zip)).fetch().await.unwrap(), zip);
    let gone = at("/b.zip", &wrong).fetch().await.unwrap_err();
    assert!(matches!(gone, CodeError::Refused(_)), "{gone}");
    let large = at("/large.zip", &wrong).fetch().await.unwrap_err();
    assert!(large.to_string().contains("more than"), "{large}");
    // Nobody is sent on to where it is not https.
    let plain = at("/plain", &wrong).fetch().await.unwrap_err();
    assert!(matches!(plain, CodeError::Unreachable(_)), "{plain}");
    assert!(plain.to_string().contains("not https"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn an_action_is_deployed_over_https() {
    let Some(whisk) = start() else { return };
    let trust = Certificate::new();
    let front = Front::before(&trust, &whisk.uri);
    let uri = format!("https://{}", front.host());
    let patience = Duration::from_secs(20);
    let client = WhiskClient::trusting(&uri, USER, KEY, patience, &trust.roots()).unwrap();
    assert!(client.action("absent", false).await.unwrap().is_none());
    let stranger = WhiskClient::trusting(&uri, USER, KEY, patience, &Certificate::new().roots());
    let error = stranger.unwrap().action("a", false).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (auth, authority) = (
        file("auth", &format!("{USER}:{KEY}")),
        file("ca.crt", &trust.pem),
    );
    // Any archive will do: it is sent, and not run.
    let zip = directory.path().join("sent.zip");
    std::fs::write(&zip, whisk_support::zip("exec", b"#!/bin/sh\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command
        .args(["action", "deploy"])
        .arg(&zip)
        .args(["--name", "sent", "--api-host", &uri])
        .args(["--auth-file", &auth, "--ca-file", &authority]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.contains("sent: created"), "{told}");
    let sent = client.action("sent", true).await.unwrap().unwrap();
    let code = STANDARD.decode(sent.exec.code.unwrap()).unwrap();
    assert_eq!(sha256(&code), sha256(&std::fs::read(&zip).unwrap()));
}
