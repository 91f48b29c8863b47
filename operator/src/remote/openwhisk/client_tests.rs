use super::super::error::Class;
use super::super::model::{Exec, KeyValue, Limits};
use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use reqwest::StatusCode;
use std::sync::{Arc, Mutex};

/// What a server would hear, and what it shall say.
#[derive(Default)]
struct Script {
    heard: Vec<String>,
    answers: Vec<(u16, String)>,
}

type Shared = Arc<Mutex<Script>>;

async fn answer(
    State(script): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut script = script.lock().unwrap();
    script.heard.push(format!(
        "{method} {uri} {} {}",
        headers["authorization"].to_str().unwrap(),
        String::from_utf8_lossy(&body)
    ));
    let (status, text) = script.answers.remove(0);
    (StatusCode::from_u16(status).unwrap(), text)
}

async fn server(answers: &[(u16, &str)]) -> (WhiskClient, Shared) {
    let script = Shared::default();
    script.lock().unwrap().answers = answers
        .iter()
        .map(|(status, text)| (*status, (*text).to_owned()))
        .collect();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = WhiskClient::new(&uri, "user", "key", Duration::from_secs(5)).unwrap();
    (client, script)
}

const RECORD: &str = r#"{"annotations":[{"key":"provide-api-key","value":false},{"key":"exec","value":"go:1.20"}],"exec":{"kind":"go:1.20","binary":false},"limits":{"concurrency":1,"instances":2,"logs":10,"memory":128,"timeout":10000},"name":"hello","namespace":"guest","parameters":[{"key":"a","value":2},{"key":"i","value":"v","init":true}],"publish":false,"updated":1795449489083,"version":"9.9.13"}"#;

#[tokio::test]
async fn an_action_is_read_as_the_real_server_tells_it() {
    let (client, script) = server(&[
        (200, RECORD),
        (
            404,
            r#"{"code":"x","error":"The requested resource does not exist."}"#,
        ),
    ])
    .await;
    let record = client.action("hello", false).await.unwrap().unwrap();
    assert_eq!(
        record.limits,
        Limits {
            timeout: 10_000,
            memory: 128,
            logs: 10
        }
    );
    assert_eq!(record.annotation("exec"), Some(&Value::from("go:1.20")));
    assert_eq!(client.action("pkg/a b", true).await.unwrap(), None);
    assert_eq!(
        script.lock().unwrap().heard,
        vec![
            "GET /api/v1/namespaces/_/actions/hello?code=false Basic dXNlcjprZXk= ",
            "GET /api/v1/namespaces/_/actions/pkg/a%20b?code=true Basic dXNlcjprZXk= ",
        ]
    );
}

#[tokio::test]
async fn an_update_sends_only_what_it_changes() {
    let (client, script) = server(&[
        (200, RECORD),
        (409, r#"{"code":"x","error":"resource already exists"}"#),
    ])
    .await;
    let put = ActionPut {
        annotations: Some(vec![KeyValue {
            key: "k".into(),
            value: "v".into(),
        }]),
        remove_annotations: vec!["old".into()],
        ..ActionPut::default()
    };
    assert_eq!(
        client
            .put_action("hello", &put, true)
            .await
            .unwrap()
            .version,
        "9.9.13"
    );
    let create = ActionPut {
        exec: Some(Exec {
            kind: "sequence".into(),
            components: Some(vec!["/_/a".into()]),
            ..Exec::default()
        }),
        ..ActionPut::default()
    };
    let error = client
        .put_action("hello", &create, false)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Some(Class::Conflict));
    let heard = &script.lock().unwrap().heard;
    assert!(
        heard[0].ends_with(r#"{"annotations":[{"key":"k","value":"v"}],"delAnnotations":["old"]}"#)
    );
    assert!(heard[1].ends_with(r#"{"exec":{"kind":"sequence","components":["/_/a"]}}"#));
}

#[tokio::test]
async fn invocations_finish_start_or_are_refused() {
    let failed = r#"{"activationId":"0d19","response":{"result":{"error":"stop"},"status":"application error","success":false}}"#;
    let (client, script) = server(&[
        (502, failed),
        (202, r#"{"activationId":"de01"}"#),
        (502, r#"{"error":"There was an internal server error.","code":"c"}"#),
        (429, r#"{"error":"Too many requests in the last minute (count: 5, allowed: 4).","code":"c"}"#),
    ])
    .await;
    let how = Invocation {
        blocking: true,
        timeout_ms: Some(1000),
    };
    let arguments = serde_json::json!({"x": 1});
    match client.invoke("seq", &arguments, how).await.unwrap() {
        Invoked::Finished(record) => assert_eq!(record.response.result["error"], "stop"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        client
            .invoke("seq", &arguments, Invocation::default())
            .await
            .unwrap(),
        Invoked::Started("de01".into())
    );
    for class in [Class::Server, Class::Throttled] {
        let error = client.invoke("seq", &arguments, how).await.unwrap_err();
        assert_eq!(error.class(), Some(class));
    }
    assert_eq!(
        script.lock().unwrap().heard[0],
        r#"POST /api/v1/namespaces/_/actions/seq?blocking=true&timeout=1000 Basic dXNlcjprZXk= {"x":1}"#
    );
}

#[tokio::test]
async fn long_lists_are_read_page_by_page() {
    let page = |count: usize| format!("[{}]", vec![RECORD; count].join(","));
    let (client, script) = server(&[(200, &page(200)), (200, &page(3))]).await;
    assert_eq!(client.actions().await.unwrap().len(), 203);
    assert!(script.lock().unwrap().heard[1].contains("limit=200&skip=200"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = WhiskClient::new(
        &format!("http://{closed}"),
        "u",
        "secret",
        Duration::from_secs(5),
    )
    .unwrap();
    let error = client.delete_action("a").await.unwrap_err();
    assert!(error.is_retriable());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach OpenWhisk at http://{closed} to delete action a: Connection refused (os error 111)"
        )
    );
    assert!(!format!("{client:?}").contains("secret"));
}

#[test]
fn addresses_that_cannot_be_called_are_refused() {
    for uri in ["", "kafka:9092", "ftp://w:3233"] {
        let error = WhiskClient::new(uri, "u", "k", Duration::from_secs(1)).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("; give http://host:port or https://host:port"),
            "{error}"
        );
    }
}

/// Lists and results as the real server tells them.
#[tokio::test]
async fn what_became_of_activations_is_read_without_what_they_answered() {
    let run = r#"{"activationId":"5ef7","annotations":[{"key":"path","value":"guest/echo"}],"duration":2,"end":1795449497248,"name":"echo","namespace":"guest","publish":false,"start":1795449497246,"statusCode":1,"version":"0.0.1"}"#;
    let fire = r#"{"activationId":"d83a","annotations":[],"logs":["{\"statusCode\":0}"],"name":"t","namespace":"guest","publish":false,"response":{"result":{"x":9},"status":"success","success":true},"start":1795449498454,"subject":"guest","version":"0.0.2"}"#;
    let boom =
        r#"{"result":{"error":"boom"},"size":17,"status":"application error","success":false}"#;
    let (client, script) = server(&[
        (200, &format!("[{run}]")),
        (200, &format!("[{fire}]")),
        (200, boom),
        (
            404,
            r#"{"code":"x","error":"The requested resource does not exist."}"#,
        ),
    ])
    .await;
    let run = client.last_activations("p1/in ner", 100).await.unwrap();
    assert_eq!((run[0].status_code, run[0].duration), (1, Some(2)));
    let fire = client.last_fires("t", 20).await.unwrap();
    assert_eq!((fire[0].duration, fire[0].logs.len()), (None, 1));
    let response = client.activation_response("5ef7").await.unwrap().unwrap();
    assert_eq!(response.result["error"], "boom");
    assert_eq!(client.activation_response("5ef8").await.unwrap(), None);
    let heard = &script.lock().unwrap().heard;
    let paths: Vec<&str> = heard.iter().filter_map(|h| h.split(' ').nth(1)).collect();
    assert_eq!(
        paths,
        [
            "/api/v1/namespaces/_/activations?name=p1%2Fin%20ner&limit=100&docs=false",
            "/api/v1/namespaces/_/activations?name=t&limit=20&docs=true",
            "/api/v1/namespaces/_/activations/5ef7/result",
            "/api/v1/namespaces/_/activations/5ef8/result",
        ]
    );
}
