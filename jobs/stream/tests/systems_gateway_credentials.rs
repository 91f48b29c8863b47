//! Credentials, roles and their records, with two replicas of the gateway.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use millrace_contract::topics;
use millrace_testkit::Kafka;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::five::Five;
use support::{
    ACTIVATIONS, ADMIN, AUDIT, Gateway, NOTIFY, OPERATIONS, VEHICLES, Vehicle, all, create_topics,
    event,
};

async fn rotate(gateway: &Gateway, vehicle: &str, query: &str) -> Value {
    let path = format!("/v1/vehicles/{vehicle}{query}");
    let (status, _, answer) = gateway.call(Method::PUT, &path, VEHICLES).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn credentials_on_every_replica() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let here = Gateway::start(&bootstrap, "").await;
    let there = Gateway::start(&bootstrap, "").await;

    roles(&here).await;
    revoked_sessions_are_cut(&here, &there).await;
    rotation_with_and_without_grace(&here, &there).await;
    listed_in_pages(&here).await;
    rotation_that_is_repeated(&here, &there).await;
    changes_and_runs(&here).await;
    recorded(&bootstrap).await;
}

async fn roles(gateway: &Gateway) {
    let cases = [
        (
            Method::PUT,
            "/v1/vehicles/r",
            "vehicles-token",
            [VEHICLES, NOTIFY, OPERATIONS],
        ),
        (
            Method::GET,
            "/v1/vehicles",
            "vehicles-token",
            [VEHICLES, NOTIFY, OPERATIONS],
        ),
        (
            Method::POST,
            "/v1/notifications",
            "notify-token",
            [NOTIFY, VEHICLES, OPERATIONS],
        ),
        (
            Method::GET,
            "/v1/flow",
            "operations-token",
            [OPERATIONS, NOTIFY, VEHICLES],
        ),
        (
            Method::POST,
            "/v1/canary",
            "operations-token",
            [OPERATIONS, NOTIFY, VEHICLES],
        ),
        (
            Method::POST,
            "/v1/changes",
            "audit-token",
            [AUDIT, OPERATIONS, ACTIVATIONS],
        ),
        (
            Method::POST,
            "/v1/kubernetes-audit",
            "audit-token",
            [AUDIT, OPERATIONS, ACTIVATIONS],
        ),
        (
            Method::POST,
            "/v1/activations",
            "activations-token",
            [ACTIVATIONS, OPERATIONS, AUDIT],
        ),
        (
            Method::GET,
            "/v1/dead-letters",
            "operations-token",
            [OPERATIONS, NOTIFY, VEHICLES],
        ),
        (
            Method::POST,
            "/v1/dead-letters/0-0/redrive",
            "operations-token",
            [OPERATIONS, NOTIFY, VEHICLES],
        ),
    ];
    for (method, path, named, [own, other, another]) in cases {
        for token in [own, ADMIN] {
            let (status, _, answer) = gateway.call(method.clone(), path, token).await;
            assert!(
                status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN,
                "{method} {path}: {answer}"
            );
        }
        for token in [other, another] {
            let (status, _, answer) = gateway.call(method.clone(), path, token).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}");
            let cure = answer["error"]["cure"].as_str().unwrap();
            assert!(cure.contains(named), "{cure}");
            assert!(!answer.to_string().contains(token), "{answer}");
        }
        let (status, _, answer) = gateway.call(method.clone(), path, "nobody's").await;
        assert_eq!(
            status,
            StatusCode::UNAUTHORIZED,
            "{method} {path}: {answer}"
        );
    }
}

/// As the operator tells of one, as the API server's audit webhook does, with what it does beside, and as an OpenWhisk tells of runs.
async fn changes_and_runs(gateway: &Gateway) {
    let told = json!({"time": "2026-11-29T14:00:00Z", "resource": "platforms", "namespace": "m", "name": "p",
        "operation": "Apply", "manager": "kubectl", "generation": 2});
    let event = |id: &str, verb: &str, group: &str, code: u16| {
        json!({"level": "Metadata", "auditID": id, "stage": "ResponseComplete", "verb": verb,
            "user": {"username": "ada"}, "responseStatus": {"code": code},
            "objectRef": {"resource": "kafkatopics", "namespace": "m", "name": "t", "apiGroup": group},
            "requestReceivedTimestamp": "2026-11-29T14:00:01.5Z"})
    };
    let group = "millrace.dev";
    let items = [
        event("a", "patch", group, 200),
        event("b", "get", group, 200),
        event("c", "delete", group, 403),
        event("d", "create", "apps", 201),
        event("e", "delete", group, 200),
    ];
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items});
    let run = json!({"time": "2026-11-29T14:00:02Z", "subject": "millrace", "action_name": "millrace/assess-vehicle",
        "activation": "a1", "status": "success", "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "params": {"driver": "Ada"}});
    let runs = json!({"activations": [run]});
    for (path, token, body, accepted) in [
        ("/v1/changes", AUDIT, told, 1),
        ("/v1/kubernetes-audit", AUDIT, list, 2),
        ("/v1/activations", ACTIVATIONS, runs, 1),
    ] {
        let answer = gateway
            .client
            .post(gateway.url(path))
            .bearer_auth(token)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["accepted"], accepted, "{path}");
    }
}

async fn revoked_sessions_are_cut(here: &Gateway, there: &Gateway) {
    let token = here.enrol("gone").await;
    let stays = here.enrol("stays").await;
    let mut gone = Five::connect(there, "gone", &token).await;
    let mut other = Vehicle::connect(there, "stays", &stays).await.unwrap();
    let since = Instant::now();
    let (status, _, _) = here
        .call(Method::DELETE, "/v1/vehicles/gone", VEHICLES)
        .await;
    assert_eq!(status, StatusCode::OK);
    let said = gone.ends().await;
    assert!(said.contains("NotAuthorized"), "{said}");
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    let body = event("gone", 1, &json!({})).to_string();
    for gateway in [here, there] {
        let (status, _) = gateway.post("gone", &token, body.clone()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    other
        .publish(&event("stays", 1, &json!({})).to_string())
        .await;
    // A revoked vehicle can be enrolled again.
    let token = here.enrol("gone").await;
    let (status, _) = here.post("gone", &token, body).await;
    assert_eq!(status, StatusCode::OK);
}

async fn rotation_with_and_without_grace(here: &Gateway, there: &Gateway) {
    let old = there.enrol("turn").await;
    let mut session = Five::connect(there, "turn", &old).await;
    let answer = rotate(here, "turn", "?grace_seconds=4").await;
    let rotated = Instant::now();
    let new = answer["token"].as_str().unwrap().to_owned();
    assert!(answer["grace_until"].is_string(), "{answer}");
    let body = event("turn", 1, &json!({})).to_string();
    for token in [&old, &new] {
        let (status, _) = here.post("turn", token, body.clone()).await;
        assert_eq!(status, StatusCode::OK, "both work");
    }
    let (_, shown) = here.get("/v1/vehicles/turn", VEHICLES).await;
    assert_eq!(shown["grace_until"], answer["grace_until"]);
    let said = session.ends().await;
    assert!(said.contains("AdministrativeAction"), "{said}");
    let lived = rotated.elapsed();
    assert!(
        lived > Duration::from_millis(3500) && lived < Duration::from_secs(8),
        "{lived:?}"
    );
    for gateway in [here, there] {
        let (status, _) = gateway.post("turn", &old, body.clone()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "the grace is over");
        let (status, _) = gateway.post("turn", &new, body.clone()).await;
        assert_eq!(status, StatusCode::OK);
    }

    // Without grace at once; a session of the new token is not touched by the end of an old grace.
    let mut session = Vehicle::connect(there, "turn", &new).await.unwrap();
    let since = Instant::now();
    rotate(here, "turn", "").await;
    session.ends().await;
    assert!(since.elapsed() < Duration::from_secs(3));
    let (status, _, answer) = here
        .call(Method::PUT, "/v1/vehicles/turn?grace_seconds=x", VEHICLES)
        .await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("grace_seconds"))
    );
}

async fn listed_in_pages(gateway: &Gateway) {
    for n in 0..5 {
        gateway.enrol(&format!("page-{n}")).await;
    }
    let mut path = "/v1/vehicles?limit=2".to_owned();
    let mut found = Vec::new();
    loop {
        let (status, link, answer) = gateway.call(Method::GET, &path, VEHICLES).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let page = answer["vehicles"].as_array().unwrap();
        assert!(page.len() <= 2 && page.iter().all(|v| v["since"].is_string()));
        found.extend(
            page.iter()
                .map(|v| v["vehicle"].as_str().unwrap().to_owned()),
        );
        match link {
            Some(link) => {
                path = link[1..].split_once('>').unwrap().0.to_owned();
            }
            None => break,
        }
    }
    assert_eq!(
        found,
        [
            "gone", "page-0", "page-1", "page-2", "page-3", "page-4", "r", "stays", "turn"
        ]
    );
}

async fn rotation_that_is_repeated(here: &Gateway, there: &Gateway) {
    let first = here.enrol("again").await;
    let mut session = Five::connect(here, "again", &first).await;
    let body = || event("again", 1, &json!({})).to_string();
    // The answers get lost: the vehicle never has another token than its first one.
    let mut newest = String::new();
    for gateway in [here, there, here, there, here, there, here, there] {
        let answer = rotate(gateway, "again", "?grace_seconds=600").await;
        newest = answer["token"].as_str().unwrap().to_owned();
    }
    let path = "/v1/vehicles/again?grace_seconds=600";
    let (status, _, answer) = here.call(Method::PUT, path, VEHICLES).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    // Let the other replica read the last one too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for gateway in [here, there] {
        for token in [&first, &newest] {
            let (status, answer) = gateway.post("again", token, body()).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
    }
    session.stays(Duration::from_millis(500)).await;
    // Without grace all of them end.
    let answer = rotate(there, "again", "").await;
    let said = session.ends().await;
    assert!(said.contains("AdministrativeAction"), "{said}");
    for token in [&first, &newest] {
        let (status, _) = there.post("again", token, body()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let token = answer["token"].as_str().unwrap();
    assert_eq!(there.post("again", token, body()).await.0, StatusCode::OK);
}

async fn recorded(bootstrap: &str) {
    let records = all(bootstrap, topics::AUDIT).await;
    let of = |vehicle: &str| {
        records
            .iter()
            .filter(|r| r.key_text() == Some(vehicle))
            .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
            .collect::<Vec<Value>>()
    };
    let told = |vehicle: &str| {
        of(vehicle)
            .iter()
            .map(|e| {
                format!(
                    "{} {}",
                    e["role"].as_str().unwrap(),
                    e["action"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told("gone"),
        ["admin enrol", "vehicles revoke", "admin enrol"]
    );
    assert_eq!(
        told("turn"),
        ["admin enrol", "vehicles rotate", "vehicles rotate"]
    );
    assert_eq!(told("r"), ["vehicles enrol", "admin rotate"]);
    assert_eq!(told("platforms/m/p"), ["audit change-resource"]);
    assert_eq!(of("platforms/m/p")[0]["manager"], "kubectl");
    let changes = of("kafkatopics/m/t");
    let by = |n: usize| (&changes[n]["user"], &changes[n]["audit_id"]);
    let ada = json!("ada");
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!([by(0), by(1)], [(&ada, &json!("a")), (&ada, &json!("e"))]);
    assert_eq!(
        of("millrace/assess-vehicle"),
        [
            json!({"time": "2026-11-29T14:00:02Z", "role": "activations", "action": "run-action", "subject": "millrace",
            "action_name": "millrace/assess-vehicle", "activation": "a1", "status": "success",
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736"})
        ]
    );
    let turned = &of("turn")[1];
    assert!(turned["grace_until"].is_string() && turned["time"].is_string());
    let record = records
        .iter()
        .find(|r| r.key_text() == Some("gone"))
        .unwrap();
    assert_eq!(record.header("ce_type"), Some("dev.millrace.audit.v1"));
    assert_eq!(record.header("ce_subject"), Some("gone"));
}
