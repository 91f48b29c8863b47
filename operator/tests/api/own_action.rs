//! `millrace action deploy`: a zip becomes an Action, and the Action an action of an OpenWhisk.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use millrace_operator::action::crd::Action;
use millrace_operator::remote::action::{Actions, Body, sha256};
use millrace_operator::remote::openwhisk::{Invocation, Invoked, WhiskClient};
use serde_json::{Value, json};

use crate::https_support::{Certificate, files};
use crate::links::openwhisk;
use crate::support::Scene;
use crate::whisk_support::{KEY, USER, answering, start, start_with, wanted, zip};

pub async fn a_zip_is_deployed_as_an_action(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let directory = tempfile::tempdir().unwrap();
    let zip = directory.path().join("greeter.zip");
    let zip = zip.to_str().unwrap();
    let deploy = ["action", "deploy", zip, "--openwhisk", "w"];
    for answer in [r#"{"answer":1}"#, r#"{"answer":2}"#] {
        let Body::Code {
            zip: code, digest, ..
        } = wanted("greeter", &answering(answer)).body
        else {
            panic!("it has code");
        };
        std::fs::write(zip, STANDARD.decode(code.unwrap()).unwrap()).unwrap();
        let (code, out, error) = scene.millrace(&deploy);
        assert_eq!(code, 0, "{error}");
        assert!(
            out.contains(&format!("Action/greeter: applied, sha256:{digest}")),
            "{out}"
        );
        // A second time changes nothing.
        let before = scene.api::<Action>().get("greeter").await.unwrap();
        let (code, _, error) = scene.millrace(&deploy);
        assert_eq!(code, 0, "{error}");
        let after = scene.api::<Action>().get("greeter").await.unwrap();
        assert_eq!(
            before.metadata.resource_version,
            after.metadata.resource_version
        );

        assert!(scene.look::<Actions>("greeter").await);
        let how = Invocation {
            blocking: true,
            timeout_ms: None,
        };
        let Invoked::Finished(record) = client.invoke("greeter", &json!({}), how).await.unwrap()
        else {
            panic!("it goes on");
        };
        assert_eq!(record.response.result.to_string(), answer);
    }
    let code = scene.api::<ConfigMap>().get("greeter-code").await.unwrap();
    assert!(code.binary_data.unwrap().contains_key("action.zip"));

    let (code, _, error) = scene.millrace(&["action", "deploy", zip]);
    assert_eq!(code, 1);
    assert!(
        error.contains("--api-host, --openwhisk: neither is given"),
        "{error}"
    );
}

/// Annotations are JSON: a switch makes an action one for the web, its text does not.
pub async fn an_action_for_the_web_is_made_of_a_resource(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let archive = zip("exec", answering(r#"{"hello":"web"}"#).as_bytes());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("page-code".into()),
            ..ObjectMeta::default()
        },
        binary_data: Some([("a.zip".to_owned(), ByteString(archive))].into()),
        ..ConfigMap::default()
    };
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let spec = |annotations: Value| {
        json!({"openwhisk": "w", "code": {"configMap": {"name": "page-code", "key": "a.zip"}},
            "annotations": annotations})
    };
    let namespace = "millrace";
    let url = format!("{}/api/v1/web/{namespace}/default/page.json", whisk.uri);
    let answer = async || {
        let answer = reqwest::Client::new().get(&url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (annotations, status) in [
        (json!({"web-export": "true"}), 404),
        (
            json!({"web-export": true, "web-custom-options": true, "owner": "fleet"}),
            200,
        ),
        (json!({"owner": "fleet"}), 404),
    ] {
        assert!(
            scene
                .make::<Actions>("page", spec(annotations.clone()))
                .await,
            "{annotations}"
        );
        let (got, text) = answer().await;
        assert_eq!(got, status, "{annotations}: {text}");
        if got == 200 {
            let result: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(result, json!({"hello": "web"}));
        }
        // It is as asked for: a second look changes nothing.
        let version = client.action("page", false).await.unwrap().unwrap().version;
        assert!(scene.look::<Actions>("page").await);
        let after = client.action("page", false).await.unwrap().unwrap().version;
        assert_eq!(version, after, "{annotations}");
    }
    assert!(
        !scene
            .make::<Actions>("page", spec(json!({"exec": "mine"})))
            .await
    );
    let (_, _, message) = scene.condition::<Action>("page", "Degraded").await;
    assert!(message.starts_with("spec.annotations[exec]: "), "{message}");
}

/// An image goes to the server as its name, digest and all.
pub async fn an_action_of_an_image_is_made_of_a_resource(scene: &Scene) {
    let kinds = json!({"runtimes": {"rust": [{"kind": "rust:default", "default": true}]},
        "blackboxes": [{"name": "any"}]});
    let Some(whisk) = start_with(Some(&kinds)) else {
        return;
    };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let image = |digit: &str| {
        let digest = digit.repeat(64);
        format!("registry.example.org/fleet/resize@sha256:{digest}")
    };
    let spec = |image: &str| json!({"openwhisk": "w", "code": {"image": image}, "limits": {"memoryMegabytes": 256}});
    let mut versions = Vec::new();
    for image in [image("a"), image("b")] {
        assert!(scene.make::<Actions>("resize", spec(&image)).await);
        let record = client.action("resize", true).await.unwrap().unwrap();
        assert_eq!(record.exec.kind, "blackbox");
        assert_eq!(record.exec.image.as_deref(), Some(image.as_str()));
        assert_eq!((record.exec.code, record.limits.memory), (None, 256));
        // A second look changes nothing.
        assert!(scene.look::<Actions>("resize").await);
        let after = client.action("resize", false).await.unwrap().unwrap();
        assert_eq!(after.version, record.version);
        versions.push(record.version);
    }
    assert_ne!(versions[0], versions[1]);
}

/// Code at an address: what comes is what the digest says, or what is installed stays.
pub async fn code_from_elsewhere_is_pinned(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let trust = Certificate::new();
    let archive = |answer: &str| zip("exec", answering(answer).as_bytes());
    let (one, two) = (archive(r#"{"answer":1}"#), archive(r#"{"answer":2}"#));
    let server = files(
        &trust,
        &[("/one.zip", one.clone()), ("/two.zip", two.clone())],
    );
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("authority".into()),
            ..ObjectMeta::default()
        },
        data: Some([("ca.crt".to_owned(), trust.pem.clone())].into()),
        ..ConfigMap::default()
    };
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let host = server.host();
    let spec = |path: &str, sha256: &str, timeout: i32| {
        json!({"openwhisk": "w", "code": {"url": {"url": format!("https://{host}{path}"), "sha256": sha256,
            "authority": {"name": "authority", "key": "ca.crt"}}}, "limits": {"timeoutMilliseconds": timeout}})
    };
    let answers = async || {
        let how = Invocation {
            blocking: true,
            timeout_ms: None,
        };
        match client.invoke("pinned", &json!({}), how).await.unwrap() {
            Invoked::Finished(record) => record.response.result["answer"].clone(),
            Invoked::Started(id) => panic!("{id} goes on"),
        }
    };
    assert!(
        scene
            .make::<Actions>("pinned", spec("/one.zip", &sha256(&one), 5000))
            .await
    );
    assert_eq!(answers().await, 1);
    // What the address gives has another digest.
    assert!(
        !scene
            .make::<Actions>("pinned", spec("/two.zip", &sha256(b"another"), 5000))
            .await
    );
    let (_, reason, message) = scene.condition::<Action>("pinned", "Degraded").await;
    assert_eq!(reason, "DigestDiffers", "{message}");
    assert!(message.contains(&sha256(&two)), "{message}");
    assert_eq!(answers().await, 1);
    assert!(
        scene
            .make::<Actions>("pinned", spec("/two.zip", &sha256(&two), 5000))
            .await
    );
    assert_eq!(answers().await, 2);
    // Nobody is asked for code that is there, whatever else changes.
    drop(server);
    assert!(
        scene
            .make::<Actions>("pinned", spec("/two.zip", &sha256(&two), 7000))
            .await
    );
    let record = client.action("pinned", false).await.unwrap().unwrap();
    assert_eq!(record.limits.timeout, 7000);
    // An action that somebody deleted comes back without it too: it was read lately.
    client.delete_action("pinned").await.unwrap();
    assert!(scene.look::<Actions>("pinned").await);
    assert_eq!(answers().await, 2);
    let gone = spec("/three.zip", &sha256(b"three"), 7000);
    assert!(!scene.make::<Actions>("pinned", gone).await);
    let (_, reason, message) = scene.condition::<Action>("pinned", "Degraded").await;
    assert_eq!(reason, "CodeUnreachable", "{message}");
}
