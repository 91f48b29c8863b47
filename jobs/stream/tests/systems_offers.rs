//! From a driver's profile and a hire's score to an offer: a real gateway, a real Kafka, `materialize`, a real server of
//! MongoDB's wire protocol, and the action itself. Who has agreed and drove well enough gets one, once.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka_support;
mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kafka_support::{Job, wait_until_read};
use millrace_actions::Context;
use millrace_actions::offer::{Made, OfferInput, action};
use millrace_contract::driver::{HireScore, Offer};
use millrace_contract::topics;
use millrace_testkit::{DocumentStore, Kafka};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{ADMIN, DRIVERS, EVENTS, Gateway, NOTIFY, all, create_topics, event};

const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = r#"
window: 100ms
offerRules:
  silver: {leastScore: 80, reward: {percent: 5}, text: {en: "Good: {score}."}}
  gold: {leastScore: 90, leastDistanceKm: 50, reward: {percent: 10}, text: {en: "Well driven: {score}.", de: "Gut gefahren: {score}."}}
"#;

/// A receiver outside: takes each event, but refuses the first attempt at each as one that is starting does.
struct Receiver {
    url: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            let mut refused = BTreeSet::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut text = Vec::new();
                let mut buffer = [0; 4096];
                let body = loop {
                    let read = stream.read(&mut buffer).unwrap_or_default();
                    text.extend_from_slice(&buffer[..read]);
                    let whole = String::from_utf8_lossy(&text).into_owned();
                    if let Some((head, body)) = whole.split_once("\r\n\r\n") {
                        let length = head.to_lowercase().lines().find_map(|line| {
                            line.strip_prefix("content-length: ")?.parse::<usize>().ok()
                        });
                        if read == 0 || body.len() >= length.unwrap_or_default() {
                            break body.to_owned();
                        }
                    }
                    if read == 0 {
                        break String::new();
                    }
                };
                let Ok(event) = serde_json::from_str::<Value>(&body) else {
                    continue;
                };
                let id = event["data"]["id"].as_str().unwrap().to_owned();
                let status = if refused.insert(id) {
                    "503 Starting"
                } else {
                    "204 Taken"
                };
                if status.starts_with("204") {
                    kept.lock().unwrap().push(event);
                }
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
            }
        });
        Self { url, taken }
    }
}

struct Scene {
    kafka: Kafka,
    store: DocumentStore,
    gateway: Gateway,
    receiver: Receiver,
    materialize: Job,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let store = DocumentStore::start().unwrap()?;
        create_topics(&kafka.bootstrap()).await;
        let gateway = Gateway::start(&kafka.bootstrap(), "").await;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, RULES).unwrap();
        let log = directory.path().join("materialize.log");
        let uri = store.uri();
        let more = ["--mongodb", uri.as_str()];
        let materialize = Job::start("materialize", &kafka.bootstrap(), &config, &log, &more);
        materialize.wait_ready(LIMIT).await;
        Some(Self {
            kafka,
            store,
            gateway,
            receiver: Receiver::start(),
            materialize,
            _directory: directory,
        })
    }

    async fn agree(&self, driver: &str, language: &str, offers: bool) -> StatusCode {
        let profile = json!({"driver": driver, "language": language, "mail": "ann@example.com", "offers": offers});
        let request = self
            .gateway
            .client
            .put(self.gateway.url("/v1/driver-profiles"));
        let response = request
            .bearer_auth(DRIVERS)
            .body(profile.to_string())
            .send()
            .await
            .unwrap();
        response.status()
    }

    /// Drives a hire, so that the gateway knows who hides behind it. Gives its pseudonym.
    async fn drive(&self, vehicle: &str, driver: &str, hire: &str) -> String {
        let token = self.gateway.enrol(vehicle).await;
        let body = event(vehicle, 1, &json!({"driver": driver, "hire": hire}));
        let (status, answer) = self.gateway.post(vehicle, &token, body.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let records = all(&self.kafka.bootstrap(), topics::TELEMETRY).await;
        let own = records
            .iter()
            .rfind(|record| record.key_text() == Some(vehicle));
        let telemetry: Value =
            serde_json::from_slice(own.unwrap().payload.as_ref().unwrap()).unwrap();
        telemetry["hire"].as_str().unwrap().to_owned()
    }

    fn input(&self, hire: &str, score: f64, distance_km: f64) -> OfferInput {
        serde_json::from_value(json!({
            "event": {"hire": hire, "score": score, "distance_km": distance_km, "trips": 4,
                "first_day": "2026-11-01", "last_day": "2026-11-05", "scored_at": "2026-11-06T02:20:00Z"},
            "mongodb_uri": self.store.uri(), "gateway_url": self.gateway.url(""), "notify_token": NOTIFY,
            "channels": ["webhook"], "webhook_url": self.receiver.url,
            "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }))
        .unwrap()
    }

    async fn offer(&self, hire: &str, score: f64, distance_km: f64) -> Made {
        let input = self.input(hire, score, distance_km);
        let made = tokio::task::spawn_blocking(move || action(input, &Context::default()));
        made.await.unwrap().unwrap()
    }

    async fn count(&self, collection: &str) -> u64 {
        let client = Client::with_uri_str(self.store.uri()).await.unwrap();
        let collection = client
            .database("millrace-identity")
            .collection::<Document>(collection);
        collection.count_documents(doc! {}).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn who_agreed_and_drove_well_is_made_one_offer() {
    let Some(scene) = Scene::new().await else {
        return;
    };
    let bootstrap = scene.kafka.bootstrap();
    assert_eq!(scene.agree("D-Ann", "de-AT", true).await, StatusCode::OK);
    assert_eq!(scene.agree("D-Bob", "en", false).await, StatusCode::OK);
    assert_eq!(
        scene.agree("D-Eve", "en!", true).await,
        StatusCode::BAD_REQUEST
    );
    let ann = scene.drive("car-1", "D-Ann", "H-1").await;
    let ann_again = scene.drive("car-2", "D-Ann", "H-2").await;
    let bob = scene.drive("car-3", "D-Bob", "H-3").await;
    for (group, topic) in [
        ("materialize-hires", topics::HIRES),
        ("materialize-drivers", topics::DRIVERS),
    ] {
        wait_until_read(&bootstrap, group, topic, LIMIT).await;
    }
    // Who drives is nowhere by name.
    for (topic, _) in topics::ALL {
        for record in all(&bootstrap, topic).await {
            let text =
                String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned();
            assert!(
                !text.contains("D-Ann") && !text.contains("D-Bob"),
                "{topic}: {text}"
            );
        }
    }

    let reason = |made: Made| (made.offer, made.reason.unwrap());
    assert_eq!(
        reason(scene.offer(&ann, 79.9, 400.0).await).1,
        "the hire fulfils no rule"
    );
    assert_eq!(
        reason(scene.offer(&bob, 99.0, 400.0).await).1,
        "the driver has not agreed to offers"
    );
    let unknown = reason(scene.offer("nobody", 99.0, 400.0).await);
    assert_eq!(
        unknown,
        (None, "nobody is known to hide behind the hire".to_owned())
    );

    let made = scene.offer(&ann, 92.5, 400.0).await;
    assert_eq!(made.rule.as_deref(), Some("gold"));
    assert_eq!(made.delivered, ["offers", "webhook"]);
    let again = reason(scene.offer(&ann, 92.5, 400.0).await);
    assert_eq!(again, (made.offer.clone(), "it was told before".to_owned()));
    let second = reason(scene.offer(&ann_again, 97.0, 400.0).await);
    assert_eq!(second, (None, "the driver has an open offer".to_owned()));

    let taken = scene.receiver.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0]["type"].as_str(), taken[0]["data"]["text"].as_str()),
        (Some("driver.offer"), Some("Gut gefahren: 92."))
    );
    let offers: Vec<Offer> = all(&bootstrap, topics::OFFERS)
        .await
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].reward, json!({"percent": 10}));
    scene.materialize.terminate(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn of_many_at_once_one_is_made() {
    let Some(mut scene) = Scene::new().await else {
        return;
    };
    scene.agree("D-Ann", "en", true).await;
    let mut hires = Vec::new();
    for n in 0..6 {
        hires.push(
            scene
                .drive(&format!("car-{n}"), "D-Ann", &format!("H-{n}"))
                .await,
        );
    }
    let bootstrap = scene.kafka.bootstrap();
    for (group, topic) in [
        ("materialize-hires", topics::HIRES),
        ("materialize-drivers", topics::DRIVERS),
    ] {
        wait_until_read(&bootstrap, group, topic, LIMIT).await;
    }
    // Each hire twice, all at once.
    let runs: Vec<_> = hires
        .iter()
        .chain(&hires)
        .map(|hire| {
            let input = scene.input(hire, 95.0, 100.0);
            tokio::task::spawn_blocking(move || action(input, &Context::default()))
        })
        .collect();
    let mut offers = BTreeSet::new();
    for run in runs {
        offers.extend(run.await.unwrap().unwrap().offer);
    }
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(scene.count("offers").await, 1);

    // While the store is away the action fails and can be asked again.
    scene.store.kill();
    let input = scene.input(&hires[0], 95.0, 100.0);
    let failed = tokio::task::spawn_blocking(move || action(input, &Context::default()))
        .await
        .unwrap();
    let told = failed.unwrap_err().to_string();
    assert!(told.starts_with("mongodb: "), "{told}");
    scene.store.start_again().unwrap();
    let until = Instant::now() + LIMIT;
    loop {
        let input = scene.input(&hires[0], 95.0, 100.0);
        let made = tokio::task::spawn_blocking(move || action(input, &Context::default()));
        if made.await.unwrap().is_ok() {
            break;
        }
        assert!(Instant::now() < until, "it does not find its store again");
    }
    assert_eq!(scene.count("offers").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn scores_come_in_by_the_gateway_all_or_none() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    create_topics(&kafka.bootstrap()).await;
    let gateway = Gateway::start(&kafka.bootstrap(), "").await;
    let score = |score: f64| {
        json!({"hire": "h", "score": score, "distance_km": 12.5, "trips": 2, "first_day": "2026-11-01",
            "last_day": "2026-11-02", "scored_at": "2026-11-03T02:20:00Z"})
    };
    let path = "/v1/hire-scores";
    let body = json!([score(90.0), score(50.0)]).to_string();
    assert_eq!(
        gateway.post_to(path, NOTIFY, body.clone()).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, answer) = gateway.post_to(path, EVENTS, body).await;
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(2)));
    let wrong = json!([score(90.0), score(150.0)]).to_string();
    let (status, answer) = gateway.post_to(path, EVENTS, wrong).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("score"))
    );
    let records = all(&kafka.bootstrap(), topics::HIRE_SCORES).await;
    let scores: Vec<HireScore> = records
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(scores.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn an_erased_driver_is_not_known_any_more() {
    let Some(scene) = Scene::new().await else {
        return;
    };
    scene.agree("D-Ann", "en", true).await;
    scene.agree("D-Bob", "en", true).await;
    let first = scene.drive("car-1", "D-Ann", "H-1").await;
    let second = scene.drive("car-2", "D-Ann", "H-2").await;
    let other = scene.drive("car-3", "D-Bob", "H-3").await;
    let ask = async |path: &str, token: &str| {
        let body = json!({"driver": "D-Ann"}).to_string();
        scene.gateway.post_to(path, token, body).await
    };
    let (status, _) = ask("/v1/erasures/look-up", DRIVERS).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let hires: BTreeSet<&str> = found["hires"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_str().unwrap())
        .collect();
    assert_eq!(hires, BTreeSet::from([first.as_str(), second.as_str()]));
    let (status, finished) = ask("/v1/erasures/finish", ADMIN).await;
    assert_eq!((status, &finished["hires"]), (StatusCode::OK, &json!(2)));
    let bootstrap = scene.kafka.bootstrap();
    for (group, topic) in [
        ("materialize-hires", topics::HIRES),
        ("materialize-drivers", topics::DRIVERS),
    ] {
        wait_until_read(&bootstrap, group, topic, LIMIT).await;
    }
    assert_eq!(
        (scene.count("hires").await, scene.count("drivers").await),
        (1, 1)
    );
    let made = scene.offer(&first, 99.0, 400.0).await;
    assert_eq!(
        made.reason.as_deref(),
        Some("nobody is known to hide behind the hire")
    );
    assert!(scene.offer(&other, 99.0, 400.0).await.offer.is_some());
    let (_, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(found["hires"], json!([]));
    // Whoever drives again is known again.
    scene.drive("car-4", "D-Ann", "H-1").await;
    let (_, found) = ask("/v1/erasures/look-up", ADMIN).await;
    assert_eq!(found["hires"], json!([first]));
}
