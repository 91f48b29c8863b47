//! Who changed which resource, told to a gateway that is played.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use millrace_operator::flow::{GatewayAt, Token};
use millrace_operator::kafka::Kafka;
use millrace_operator::platform::Platforms;
use millrace_operator::remote::topic::Topics;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::Scene;

type Told = Arc<Mutex<Vec<Value>>>;

async fn take(
    State(told): State<Told>,
    headers: HeaderMap,
    Json(change): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    // One from before there was a token for changes.
    if headers["authorization"] != "Bearer admin" {
        return Err(StatusCode::UNAUTHORIZED);
    }
    told.lock().unwrap().push(change);
    Ok(Json(json!({"accepted": 1})))
}

async fn until(told: &Told, count: usize) -> Vec<String> {
    for _ in 0..120 {
        let changes = told.lock().unwrap().clone();
        if changes.len() >= count {
            let text = |change: &Value| {
                let word = |key: &str| change[key].as_str().unwrap_or("-").to_owned();
                format!(
                    "{} {} {} {} {} {}",
                    word("resource"),
                    word("name"),
                    word("operation"),
                    word("manager"),
                    word("user"),
                    change["generation"]
                )
            };
            return changes.iter().map(text).collect();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{count} changes are not told: {:?}", told.lock().unwrap());
}

pub async fn changes_of_specs_are_told_with_their_field_manager(scene: &Scene) {
    let told = Told::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = GatewayAt {
        url: format!("http://{}", listener.local_addr().unwrap()),
        token: Token("audit".into()),
        admin_token: Some(Token("admin".into())),
    };
    let routes = Router::new()
        .route("/v1/changes", post(take))
        .with_state(Arc::clone(&told));
    let served = tokio::spawn(async move { axum::serve(listener, routes).await });
    let context = Arc::clone(&scene.context);
    let telling = tokio::spawn(async move { context.changes.tell(&context.client).await });

    // What a Platform makes of itself was changed by nobody else.
    assert!(scene.make::<Platforms>("p", json!({"kafka": {}})).await);
    assert!(scene.look::<Kafka>("p-kafka").await);
    let topic =
        |partitions: i32| json!({"kafka": "k", "partitions": partitions, "schema": "telemetry"});
    scene.make::<Topics>("t", topic(1)).await;
    let changes = &scene.context.changes;
    changes.gateway(&scene.namespace, "played", Some(&at));
    let mut seen = until(&told, 2).await;
    seen.sort();
    assert_eq!(
        seen,
        ["kafkatopics t Apply user - 1", "platforms p Apply user - 1"]
    );

    // A look at what has not changed tells nothing.
    scene.look::<Topics>("t").await;
    scene.make::<Topics>("t", topic(2)).await;
    let seen = until(&told, 3).await;
    assert_eq!(seen[2..], ["kafkatopics t Apply user - 2"]);
    telling.abort();
    served.abort();
}
