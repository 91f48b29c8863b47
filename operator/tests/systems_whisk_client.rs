//! The OpenWhisk client and the action pipeline against the embedded server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod whisk_support;

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_operator::remote::action::{Body, RemoteAction, WantedAction, explain};
use millrace_operator::remote::openwhisk::{Class, Invocation, Invoked, WhiskClient};
use millrace_operator::remote::pipeline::converge;
use serde_json::json;
use whisk_support::{KEY, USER, answering, start, wanted};

async fn settle(
    client: &WhiskClient,
    wanted: &WantedAction,
    known: Option<&str>,
) -> (Vec<String>, String) {
    let remote = RemoteAction {
        client,
        wanted,
        known_version: known,
    };
    let outcome = converge(&remote).await.unwrap();
    let made = outcome.made.iter().map(ToString::to_string).collect();
    (made, outcome.observed.unwrap().record.version)
}

#[tokio::test]
#[ignore = "systems tier"]
async fn actions_are_written_once_corrected_and_removed() {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    assert!(client.actions().await.unwrap().is_empty());
    assert_eq!(client.action("assess", true).await.unwrap(), None);

    let mut assess = wanted("assess", &answering(r#"{"urgency":"now"}"#));
    let (made, first) = settle(&client, &assess, None).await;
    assert!(
        made[0].starts_with("create action assess: code "),
        "{made:?}"
    );
    // With and without knowing the version, the second look finds nothing to do.
    let nothing = (Vec::<String>::new(), first.clone());
    assert_eq!(settle(&client, &assess, Some(&first)).await, nothing);
    assert_eq!(settle(&client, &assess, None).await, nothing);

    // Each kind of change is made alone and then settled.
    assess
        .parameters
        .insert("extra".to_owned(), json!({"a": [1, 2]}));
    let (made, second) = settle(&client, &assess, Some(&first)).await;
    assert_eq!(made, ["action assess: parameter extra is bound"]);
    assert_ne!(second, first);
    assess.parameters.remove("extra");
    assess.limits.timeout = 20_000;
    assess.annotations = BTreeMap::from([("owner".to_owned(), "me".into())]);
    let (made, third) = settle(&client, &assess, Some(&second)).await;
    assert_eq!(
        made,
        [
            "action assess: parameter extra is removed",
            "action assess: limits: 10000 ms, 128 MB, 1 MB of logs → 20000 ms, 128 MB, 1 MB of logs",
            "action assess: annotation millrace.dev/annotations: description → owner",
            "action assess: annotation owner: (none) → me",
            "action assess: annotation description: a test → (none)",
        ]
    );
    assert_eq!(
        settle(&client, &assess, Some(&third)).await,
        (Vec::new(), third.clone())
    );

    // Somebody overwrites the code and leaves our annotation standing.
    let foreign = wanted("assess", &answering(r#"{"urgency":"never"}"#));
    let put = millrace_operator::remote::openwhisk::ActionPut {
        exec: millrace_operator::remote::action::put_for(
            &foreign,
            None,
            &millrace_operator::remote::action::diff(&foreign, None).changes,
        )
        .exec,
        ..Default::default()
    };
    client.put_action("assess", &put, true).await.unwrap();
    let (made, _) = settle(&client, &assess, Some(&third)).await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0].starts_with("action assess: code "), "{made:?}");

    sequences_wait_for_their_components(&client).await;
    invocations(&client).await;

    let names: Vec<String> = client
        .actions()
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.name)
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(client.delete_action("warn").await.unwrap());
    assert!(client.delete_action("assess").await.unwrap());
    assert!(!client.delete_action("assess").await.unwrap());
}

async fn sequences_wait_for_their_components(client: &WhiskClient) {
    let mut warn = WantedAction {
        body: Body::Sequence(vec!["assess".to_owned(), "nobody".to_owned()]),
        parameters: BTreeMap::new(),
        annotations: BTreeMap::new(),
        ..wanted("warn", "")
    };
    let remote = RemoteAction {
        client,
        wanted: &warn,
        known_version: None,
    };
    let error = converge(&remote).await.unwrap_err();
    assert_eq!(
        explain(&error, &warn).unwrap().field,
        "spec.sequence",
        "{error}"
    );
    warn.body = Body::Sequence(vec!["assess".to_owned(), "assess".to_owned()]);
    let (made, version) = settle(client, &warn, None).await;
    assert_eq!(made, ["create action warn: sequence assess, assess"]);
    assert_eq!(
        settle(client, &warn, Some(&version)).await,
        (Vec::new(), version)
    );
}

async fn invocations(client: &WhiskClient) {
    let how = Invocation {
        blocking: true,
        timeout_ms: None,
    };
    for name in ["assess", "warn"] {
        match client.invoke(name, &json!({"x": 1}), how).await.unwrap() {
            Invoked::Finished(record) => {
                assert!(record.response.success, "{record:?}");
                assert_eq!(record.response.result, json!({"urgency": "now"}));
            }
            other => panic!("{other:?}"),
        }
    }
    let Invoked::Started(id) = client
        .invoke("assess", &json!({}), Invocation::default())
        .await
        .unwrap()
    else {
        panic!("nobody waited, and yet there is an answer");
    };
    for _ in 0..100 {
        if let Some(record) = client.activation(&id).await.unwrap() {
            assert!(record.response.success);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("activation {id} never appeared");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn refusals_are_told_apart() {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    let stranger = WhiskClient::new(
        &whisk.uri,
        USER,
        "not-the-key-of-anybody",
        Duration::from_secs(10),
    )
    .unwrap();
    assert_eq!(
        stranger.actions().await.unwrap_err().class(),
        Some(Class::Unauthorized)
    );

    let mut odd = wanted("odd", &answering("{}"));
    odd.limits.memory = 1;
    let mut unknown = wanted("odd", &answering("{}"));
    if let Body::Code { kind, .. } = &mut unknown.body {
        *kind = "cobol:1".to_owned();
    }
    let remote = |wanted| RemoteAction {
        client: &client,
        wanted,
        known_version: None,
    };
    let error = converge(&remote(&odd)).await.unwrap_err();
    let told = explain(&error, &odd).unwrap().to_string();
    assert!(
        told.starts_with("spec.limits.memoryMegabytes: 1: OpenWhisk says: "),
        "{told}"
    );
    let error = converge(&remote(&unknown)).await.unwrap_err();
    assert_eq!(
        explain(&error, &unknown).unwrap().field,
        "spec.kind",
        "{error}"
    );
    let missing = client
        .invoke("nobody", &json!({}), Invocation::default())
        .await
        .unwrap_err();
    assert!(missing.is_not_found());
}
