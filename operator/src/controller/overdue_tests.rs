use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::context::{Images, Settings};
use crate::controller::{Component, Kept, reconcile, reconcile_one};
use crate::remote::topic::{self, Topics};
use crate::remote::trigger::{self, Triggers};
use crate::remote::user::{self, Users};
use crate::topic::crd::KafkaTopic;
use crate::types::moment;

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// Method, path and body of each request.
pub(in crate::controller) type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A context whose API server has this object, and beside it only objects that nobody can read.
pub(in crate::controller) fn context(object: Value) -> (Arc<Context>, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (noted, object) = (Arc::clone(&noted), object.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let what = format!("{} {}", parts.method, parts.uri.path());
            let (status, said) = if what.starts_with("PATCH ") {
                (200, object)
            } else if what.starts_with("GET ") {
                (200, json!({"metadata": {}, "spec": 7}))
            } else {
                (404, json!({}))
            };
            noted.lock().unwrap().push((what, body));
            let said = Body::from(said.to_string().into_bytes());
            let response = Response::builder().status(status).body(said);
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let settings = Settings {
        images: Images::named(str::to_owned),
        namespaces: Vec::new(),
        actions_dir: "/nonexistent".into(),
        build: "1".into(),
        network: None,
    };
    let client = Client::new(service, "n");
    (Arc::new(Context::new(client, settings)), asked)
}

fn object<C: Component>(deleted: &str, finalizer: &str, spec: &Value) -> Value {
    json!({"apiVersion": "millrace.dev/v1alpha1", "kind": C::Kind::kind(&()),
        "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 1,
            "deletionTimestamp": deleted, "finalizers": ["example.org/theirs", finalizer]},
        "spec": spec})
}

/// The finalizers that were written, if any were.
fn left<C: Component>(asked: &Asked) -> Option<Value> {
    let plural = C::Kind::plural(&());
    let path = format!("PATCH /apis/millrace.dev/v1alpha1/namespaces/n/{plural}/x");
    let asked = asked.lock().unwrap();
    let (_, body) = asked.iter().find(|(what, _)| *what == path)?;
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    Some(body["metadata"]["finalizers"].clone())
}

fn told(asked: &Asked, what: &str) -> bool {
    let asked = asked.lock().unwrap();
    let mut notes = asked.iter().filter_map(|(_, body)| body["note"].as_str());
    notes.any(|note| note.contains("let go") && note.contains(what))
}

#[test]
fn only_our_own_finalizer_is_looked_at_and_only_for_so_long() {
    let now: Timestamp = "2026-03-01T00:02:00Z".parse().unwrap();
    let meta = |asked: Option<&str>, finalizers: &[&str]| ObjectMeta {
        deletion_timestamp: asked.map(|asked| Time(asked.parse().unwrap())),
        finalizers: Some(finalizers.iter().map(|&f| f.to_owned()).collect()),
        ..ObjectMeta::default()
    };
    let ours = ["a.org/b", "millrace.dev/kafka-topic"];
    assert_eq!(held(&meta(None, &ours), now), None);
    let theirs = ["a.org/b", "millrace.device/c"];
    assert_eq!(
        held(&meta(Some("2026-03-01T00:00:00Z"), &theirs), now),
        None
    );
    for (asked, left) in [
        ("2026-03-01T00:00:00Z", 0),
        ("2026-03-01T00:01:50Z", 50),
        ("2026-03-01T00:09:00Z", 60),
    ] {
        let meta = meta(Some(asked), &ours);
        let expected = ("millrace.dev/kafka-topic", Duration::from_secs(left));
        assert_eq!(held(&meta, now), Some(expected), "{asked}");
    }
}

#[tokio::test]
async fn a_resource_that_cannot_be_read_is_let_go_after_the_limit() {
    let of = |deleted: &str| object::<Topics>(deleted, topic::FINALIZER, &json!(7));
    let kept = |object: &Value| {
        let kept: Kept<KafkaTopic> = serde_json::from_value(object.clone()).unwrap();
        assert!(kept.read().is_err());
        Arc::new(kept)
    };
    let just_now = of(&moment(Timestamp::now()));
    let (early, asked) = context(just_now.clone());
    let retry = reconcile::<Topics>(kept(&just_now), early).await;
    assert!(retry.unwrap_err().retry_after <= TIME_LIMIT);
    assert_eq!(left::<Topics>(&asked), None);

    let overdue = of(LONG_AGO);
    let (late, asked) = context(overdue.clone());
    reconcile::<Topics>(kept(&overdue), late).await.unwrap();
    assert_eq!(left::<Topics>(&asked), Some(json!(["example.org/theirs"])));
    assert!(told(&asked, "KafkaTopic x"));
}

async fn is_let_go<C: Component>(finalizer: &str, spec: &Value, home: &str) {
    let body = object::<C>(LONG_AGO, finalizer, spec);
    let (context, asked) = context(body.clone());
    let object: C::Kind = serde_json::from_value(body).unwrap();
    let again = reconcile_one::<C>(&context, &object).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(left::<C>(&asked), Some(json!(["example.org/theirs"])));
    assert!(told(&asked, home), "{asked:?}");
}

#[tokio::test]
async fn a_resource_whose_home_cannot_be_read_is_let_go_after_the_limit() {
    let kafka = json!({"kafka": "k", "partitions": 1, "schema": "alert"});
    is_let_go::<Topics>(topic::FINALIZER, &kafka, "KafkaCluster").await;
    is_let_go::<Users>(user::FINALIZER, &json!({"kafka": "k"}), "KafkaCluster").await;
    let whisk = json!({"openwhisk": "w"});
    is_let_go::<Triggers>(trigger::FINALIZER, &whisk, "OpenWhisk").await;
}
