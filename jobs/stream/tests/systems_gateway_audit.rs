//! Who changed which resource, from the audit webhook of a real API server, with the settings of docs/gateway.md, through the
//! gateway into Kafka.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use millrace_contract::topics;
use millrace_testkit::{ApiServer, Kafka, repository_root};
use serde_json::{Value, json};
use support::tls::Made;
use support::{AUDIT, Gateway, all, create_topics};

const LIMIT: Duration = Duration::from_secs(60);

/// The policy and the webhook's configuration, as documented.
fn documented(gateway: &Gateway, authority: &Path) -> (String, String) {
    let text = std::fs::read_to_string(repository_root().join("docs/gateway.md")).unwrap();
    let (_, rest) = text.split_once("```yaml\n# --audit-policy-file\n").unwrap();
    let (settings, _) = rest.split_once("```").unwrap();
    let (policy, webhook) = settings
        .split_once("---\n# --audit-webhook-config-file\n")
        .unwrap();
    let address = format!("https://localhost:{}", gateway.https);
    let webhook = webhook
        .replace("https://ADDRESS-OF-THE-GATEWAY", &address)
        .replace("AUTHORITY.crt", &authority.display().to_string())
        .replace("AUDIT-TOKEN", AUDIT);
    assert!(webhook.contains(&address) && webhook.contains(AUDIT));
    (policy.to_owned(), webhook)
}

fn kubectl(api: &ApiServer, arguments: &[&str], input: &Value) {
    let mut command = api.kubectl();
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = input.to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn the_user_is_known_by_the_webhook_of_the_api_server() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path();
    Made::new().write(certificate);
    let gateway = Gateway::start_with(&bootstrap, "", Some(certificate)).await;
    let (policy, webhook) = documented(&gateway, &certificate.join("tls.crt"));
    let mut arguments = vec!["--audit-webhook-batch-max-wait=1s".to_owned()];
    for (flag, text) in [
        ("audit-policy-file", policy),
        ("audit-webhook-config-file", webhook),
    ] {
        let path = directory.path().join(flag);
        std::fs::write(&path, text).unwrap();
        arguments.push(format!("--{flag}={}", path.display()));
    }
    let Some(api) = ApiServer::start_with(&arguments).unwrap() else {
        return;
    };
    let none = Value::Null;
    let crd = repository_root().join("manifests/crds/kafkatopics.yaml");
    kubectl(
        &api,
        &["apply", "--server-side", "-f", crd.to_str().unwrap()],
        &none,
    );
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/kafkatopics.millrace.dev",
    ];
    kubectl(&api, &established, &none);
    for namespace in ["millrace", "other"] {
        kubectl(&api, &["create", "namespace", namespace], &none);
    }
    let topic = |namespace: &str, partitions: i32| {
        json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": "t", "namespace": namespace},
            "spec": {"kafka": "k", "partitions": partitions, "schema": "telemetry"}})
    };
    let apply = ["apply", "-f", "-"];
    kubectl(&api, &apply, &topic("other", 1));
    kubectl(&api, &apply, &topic("millrace", 1));
    kubectl(&api, &apply, &topic("millrace", 2));
    let status = r#"{"status": {"observedGeneration": 1}}"#;
    let of_status = [
        "-n",
        "millrace",
        "patch",
        "kafkatopic",
        "t",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ];
    kubectl(&api, &of_status, &none);
    kubectl(&api, &["-n", "millrace", "get", "kafkatopics"], &none);
    kubectl(
        &api,
        &["-n", "millrace", "delete", "kafkatopic", "t"],
        &none,
    );

    let begin = Instant::now();
    let told = loop {
        let records = all(&bootstrap, topics::AUDIT).await;
        let told: Vec<Value> = records
            .iter()
            .map(|record| serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap())
            .collect();
        if told.iter().any(|entry| entry["operation"] == "delete") {
            break told;
        }
        assert!(begin.elapsed() < LIMIT, "{told:#?} {}", gateway.log_text());
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let text = |entry: &Value| {
        let word = |key: &str| entry[key].as_str().unwrap().to_owned();
        [
            "action",
            "user",
            "operation",
            "resource",
            "namespace",
            "name",
        ]
        .map(word)
        .join(" ")
    };
    let mut told: Vec<String> = told.iter().map(text).collect();
    // Of one batch they are written side by side.
    told.sort();
    let expected = ["create", "delete", "patch"]
        .map(|verb| format!("change-resource tests {verb} kafkatopics millrace t"));
    assert_eq!(told, expected);
}
