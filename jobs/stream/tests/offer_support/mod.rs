//! What tests of offers share: a gateway, a Kafka, `materialize` with rules, a document store and a receiver outside.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_actions::notify::{self, Delivery, NotifyInput};
use millrace_actions::offer::{Made, OfferInput, action};
use millrace_actions::{AssessParams, Context, assess};
use millrace_contract::topics;
use millrace_testkit::{DocumentStore, Kafka};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::kafka_support::{Job, alert, wait_until_read};
use crate::support::{DRIVERS, Gateway, NOTIFY, all, create_topics, event};

pub const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = r#"
window: 100ms
offerRules:
  silver: {leastScore: 80, reward: {percent: 5}, text: {en: "Good: {score}."}}
  gold: {leastScore: 90, leastDistanceKm: 50, reward: {percent: 10}, text: {en: "Well driven: {score}.", de: "Gut gefahren: {score}."}}
"#;

/// A receiver outside: takes each event, but refuses the first attempt at each as one that is starting does.
pub struct Receiver {
    url: String,
    pub taken: Arc<Mutex<Vec<Value>>>,
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

pub struct Scene {
    pub kafka: Kafka,
    pub store: DocumentStore,
    pub gateway: Gateway,
    pub receiver: Receiver,
    pub materialize: Job,
    /// What follows the store's address: names the database.
    path: &'static str,
    _directory: tempfile::TempDir,
}

impl Scene {
    pub async fn new() -> Option<Self> {
        Self::at("").await
    }

    /// One whose documents are where the address of the store, followed by this path, says.
    pub async fn at(path: &'static str) -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let store = DocumentStore::start().unwrap()?;
        create_topics(&kafka.bootstrap()).await;
        let gateway = Gateway::start(&kafka.bootstrap(), "").await;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, RULES).unwrap();
        let log = directory.path().join("materialize.log");
        let uri = format!("{}{path}", store.uri());
        let more = ["--mongodb", uri.as_str()];
        let materialize = Job::start("materialize", &kafka.bootstrap(), &config, &log, &more);
        materialize.wait_ready(LIMIT).await;
        Some(Self {
            kafka,
            store,
            gateway,
            receiver: Receiver::start(),
            materialize,
            path,
            _directory: directory,
        })
    }

    pub fn uri(&self) -> String {
        format!("{}{}", self.store.uri(), self.path)
    }

    /// Waits until hires and profiles are in the store.
    pub async fn wait_until_known(&self) {
        for (group, topic) in [
            ("materialize-hires", topics::HIRES),
            ("materialize-drivers", topics::DRIVERS),
        ] {
            wait_until_read(&self.kafka.bootstrap(), group, topic, LIMIT).await;
        }
    }

    pub async fn agree(&self, driver: &str, language: &str, offers: bool) -> StatusCode {
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
    pub async fn drive(&self, vehicle: &str, driver: &str, hire: &str) -> String {
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

    pub fn input(&self, hire: &str, score: f64, distance_km: f64) -> OfferInput {
        let access = json!({"mongodb_uri": self.uri()});
        self.input_by(&access, hire, score, distance_km)
    }

    /// The input of an action that gets to the store by these parameters.
    pub fn input_by(&self, access: &Value, hire: &str, score: f64, distance_km: f64) -> OfferInput {
        let mut input = json!({
            "event": {"hire": hire, "score": score, "distance_km": distance_km, "trips": 4,
                "first_day": "2026-11-01", "last_day": "2026-11-05", "scored_at": "2026-11-06T02:20:00Z"},
            "gateway_url": self.gateway.url(""), "notify_token": NOTIFY,
            "channels": ["webhook"], "webhook_url": self.receiver.url,
            "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        });
        put(&mut input, access);
        serde_json::from_value(input).unwrap()
    }

    pub async fn offer(&self, hire: &str, score: f64, distance_km: f64) -> Made {
        made(self.input(hire, score, distance_km)).await
    }

    /// Warns whoever drives a hire, with a language for those of whom none is known.
    pub async fn warn(&self, vehicle: &str, hire: &str, language: &str) -> Delivery {
        let mut warning = alert(vehicle, format!("{vehicle}/overheating/{hire}/{language}"));
        warning.hire = Some(hire.to_owned());
        warning.detected_at = jiff::Timestamp::now();
        let params = AssessParams {
            language: Some(language.to_owned()),
            ..AssessParams::default()
        };
        let mut input = serde_json::to_value(assess(&warning, &params)).unwrap();
        let own = json!({"mongodb_uri": self.uri(), "gateway_url": self.gateway.url(""), "notify_token": NOTIFY,
            "channels": ["vehicle"]});
        put(&mut input, &own);
        let input: NotifyInput = serde_json::from_value(input).unwrap();
        let told = tokio::task::spawn_blocking(move || notify::action(input, &Context::default()));
        told.await.unwrap().unwrap()
    }

    /// A collection of what leads to persons, where the address names no database.
    pub async fn persons(&self, collection: &str) -> Collection<Document> {
        let client = Client::with_uri_str(self.store.uri()).await.unwrap();
        client.database("millrace-identity").collection(collection)
    }

    pub async fn count(&self, collection: &str) -> u64 {
        let collection = self.persons(collection).await;
        collection.count_documents(doc! {}).await.unwrap()
    }
}

/// What the action answers.
pub async fn made(input: OfferInput) -> Made {
    let made = tokio::task::spawn_blocking(move || action(input, &Context::default()));
    made.await.unwrap().unwrap()
}

fn put(input: &mut Value, parameters: &Value) {
    for (name, value) in parameters.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
}
