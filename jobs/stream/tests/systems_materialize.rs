//! `materialize` against a real Kafka and a real server of MongoDB's wire protocol: both processes are killed while records
//! come in twice and out of order, and in the end each document says what the newest records say.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kafka_support::{Job, create_topics, read_all, send, send_alert, wait_until_read};
use millrace_contract::{DeadLetter, Telemetry};
use millrace_stream::connect::Producer;
use millrace_stream::gateway::notified::{Notified, Stage};
use millrace_testkit::{DocumentStore, Kafka, left_out};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Client, Database};

const LIMIT: Duration = Duration::from_secs(60);
const VEHICLES: u64 = 40;
const EVENTS: u64 = 60;

struct Place {
    kafka: Kafka,
    store: DocumentStore,
    directory: tempfile::TempDir,
    producer: Producer,
}

impl Place {
    async fn new() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let store = DocumentStore::start().unwrap()?;
        Some(Self::of(kafka, store).await)
    }

    async fn of(kafka: Kafka, store: DocumentStore) -> Self {
        let topics = [
            ("telemetry", 3, false),
            ("alerts", 3, false),
            ("notified", 3, true),
            ("hires", 3, true),
            ("drivers", 3, true),
            ("dead-letters", 1, false),
        ];
        create_topics(&kafka.bootstrap(), &topics).await;
        let producer = Producer::new(&kafka.bootstrap(), "test").unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self {
            kafka,
            store,
            directory,
            producer,
        }
    }

    fn job(&self, name: &str) -> Job {
        let config = self.directory.path().join("config.yaml");
        let text =
            "window: 200ms\nrecords: 97\nsessionTimeout: 6s\nlongestWait: 500ms\nkeep: 3650d\n";
        std::fs::write(&config, text).unwrap();
        let log = self.directory.path().join(format!("{name}.log"));
        let uri = self.store.uri();
        let more = ["--mongodb", &uri];
        Job::start("materialize", &self.kafka.bootstrap(), &config, &log, &more)
    }

    async fn database(&self) -> Database {
        let client = Client::with_uri_str(self.store.uri()).await.unwrap();
        client.database("millrace")
    }

    async fn documents(&self, collection: &str) -> BTreeMap<String, Document> {
        let found = self.database().await.collection::<Document>(collection);
        let all: Vec<Document> = found
            .find(doc! {})
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        all.into_iter()
            .map(|document| (document.get_str("_id").unwrap().to_owned(), document))
            .collect()
    }

    async fn wait_until_read(&self) {
        for (group, topic) in [
            ("materialize-vehicles", "telemetry"),
            ("materialize-alerts", "alerts"),
            ("materialize-deliveries", "notified"),
        ] {
            wait_until_read(&self.kafka.bootstrap(), group, topic, LIMIT).await;
        }
    }
}

fn start() -> Timestamp {
    "2026-11-01T08:00:00Z".parse().unwrap()
}

fn second(n: u64) -> Timestamp {
    start() + SignedDuration::from_secs(i64::try_from(n).unwrap())
}

/// What a vehicle measures in its n-th second: not everything each time.
fn event(vehicle: u64, n: u64) -> Telemetry {
    let mut event = Telemetry::new(format!("car-{vehicle}"), n, second(n));
    let value = |scale: u64| f64::from(u32::try_from(vehicle + n * scale).unwrap() % 100);
    event.speed = Some(value(1));
    event.fuel_level = (n % 7 == vehicle % 7).then(|| value(3));
    event.model = (n % 9 == vehicle % 9).then(|| format!("model-{n}"));
    if n % 4 == vehicle % 4 {
        (event.latitude, event.longitude) = (Some(value(2) / 2.0), Some(value(5)));
    }
    event.hire = Some(format!("hire-{}", n / 20));
    event
}

/// The events of all vehicles; each block of eight seconds comes backwards, and some come again much later.
fn disorder() -> Vec<(u64, u64)> {
    let mut order: Vec<u64> = (0..EVENTS).collect();
    for block in order.chunks_mut(8) {
        block.reverse();
    }
    let again: Vec<u64> = order.iter().copied().filter(|n| n % 5 == 0).collect();
    order.extend(again);
    let of_all = |n: &u64| {
        let n = *n;
        (0..VEHICLES).map(move |vehicle| (vehicle, n))
    };
    order.iter().flat_map(of_all).collect()
}

fn check_vehicles(found: &BTreeMap<String, Document>) {
    assert_eq!(found.len(), usize::try_from(VEHICLES).unwrap());
    for vehicle in 0..VEHICLES {
        let document = &found[&format!("car-{vehicle}")];
        let last = |told: &dyn Fn(&Telemetry) -> Option<f64>| {
            let newest = (0..EVENTS)
                .rev()
                .map(|n| event(vehicle, n))
                .find(|e| told(e).is_some());
            let newest = newest.unwrap();
            (
                told(&newest).unwrap(),
                DateTime::from_millis(newest.time.as_millisecond()),
            )
        };
        let signals = document.get_document("signals").unwrap();
        let known = |name: &str| {
            let signal = signals.get_document(name).unwrap();
            (
                signal.get_f64("value").unwrap(),
                *signal.get_datetime("time").unwrap(),
            )
        };
        assert_eq!(known("speed"), last(&|e| e.speed), "car-{vehicle}");
        assert_eq!(
            known("fuel_level"),
            last(&|e| e.fuel_level),
            "car-{vehicle}"
        );
        let newest = |tells: fn(&Telemetry) -> bool| {
            let mut events = (0..EVENTS).rev().map(|n| event(vehicle, n));
            events.find(tells).unwrap()
        };
        let model = newest(|e| e.model.is_some()).model;
        assert_eq!(document.get_str("model").ok(), model.as_deref());
        let located = newest(|e| e.latitude.is_some());
        let (latitude, longitude) = (located.latitude.unwrap(), located.longitude.unwrap());
        let position = doc! {"type": "Point", "coordinates": [longitude, latitude]};
        assert_eq!(document.get_document("position").unwrap(), &position);
        let hire = format!("hire-{}", (EVENTS - 1) / 20);
        assert_eq!(document.get_str("hire").unwrap(), hire);
    }
}

async fn misses_its_store(job: &Job) {
    let until = Instant::now() + LIMIT;
    // The group may be sharing its partitions out anew meanwhile, which is told as well.
    loop {
        let told = job.get("/readyz").unwrap_or_default();
        if told.0 != 200 && (told.1.contains("mongodb") || told.1.contains("vehicles:")) {
            break;
        }
        assert!(
            Instant::now() < until,
            "it does not miss its store: {told:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn the_newest_counts_whoever_is_killed() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let job = place.job("first");
    let other = place.job("second");
    job.wait_ready(LIMIT).await;
    let all = disorder();
    let (before, after) = all.split_at(all.len() / 2);
    for (n, (vehicle, second)) in before.iter().enumerate() {
        send(&place.producer, &event(*vehicle, *second)).await;
        if n == before.len() / 2 {
            // One process is killed amid its work, and the store under the other.
            drop(other.server);
            break;
        }
    }
    place.store.kill();
    for (vehicle, second) in before.iter().skip(before.len() / 2) {
        send(&place.producer, &event(*vehicle, *second)).await;
    }
    misses_its_store(&job).await;
    place.store.start_again().unwrap();
    let third = place.job("third");
    let mut killed = false;
    for (n, (vehicle, second)) in after.iter().enumerate() {
        send(&place.producer, &event(*vehicle, *second)).await;
        if !killed && n > after.len() / 2 {
            killed = true;
            place.store.kill();
            place.store.start_again().unwrap();
        }
    }
    for n in 0..50_u64 {
        let id = format!("car-{}/overheating/e{n}/warning", n % VEHICLES);
        let mut alert = kafka_support::alert(&format!("car-{}", n % VEHICLES), id.clone());
        alert.event_time = second(n);
        // Told again, by a detection that began anew, and once more as it was first.
        let newer = {
            let mut newer = alert.clone();
            newer.detected_at = alert.detected_at + SignedDuration::from_secs(5);
            newer.value = 111.0;
            newer
        };
        for told in [&alert, &newer, &alert] {
            send_alert(&place.producer, told).await;
        }
        let states = [
            (Stage::Accepted, 1),
            (Stage::Delivered, 2),
            (Stage::Accepted, 1),
        ];
        for (state, after) in states
            .into_iter()
            .filter(|(s, _)| n % 2 == 0 || *s == Stage::Accepted)
        {
            let notified = Notified {
                state,
                at: second(n + after),
                vehicle: alert.vehicle.clone(),
                expires_at: second(n + 900),
                spoken: true,
            };
            let value = serde_json::to_vec(&notified).unwrap();
            place
                .producer
                .send("notified", &id, &[], &value, None)
                .await
                .unwrap();
        }
    }
    for (topic, value) in [("alerts", "{}"), ("telemetry", "{\"vehicle\":\"x\"}")] {
        place
            .producer
            .send(topic, "x", &[], value.as_bytes(), None)
            .await
            .unwrap();
    }
    place.wait_until_read().await;
    third.terminate(LIMIT).await;
    // What is told as committed outlives the store.
    place.store.kill();
    place.store.start_again().unwrap();
    check_vehicles(&place.documents("vehicles").await);

    let alerts = place.documents("alerts").await;
    assert_eq!(alerts.len(), 50);
    assert!(
        alerts
            .values()
            .all(|alert| alert.get_f64("value").unwrap() > 110.0)
    );
    let seventh = &alerts["car-7/overheating/e7/warning"];
    let event_time = DateTime::from_millis(second(7).as_millisecond());
    assert_eq!(*seventh.get_datetime("event_time").unwrap(), event_time);
    let deliveries = place.documents("deliveries").await;
    assert_eq!(deliveries.len(), 50);
    let delivered = deliveries
        .values()
        .filter(|d| d.get_str("state").unwrap() == "delivered");
    assert_eq!(delivered.count(), 25);

    let letters = read_all(&place.kafka.bootstrap(), "dead-letters").await;
    let letters: Vec<DeadLetter> = letters
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    let topics: Vec<&str> = letters
        .iter()
        .map(|l| l.source_topic_or_channel.as_str())
        .collect();
    assert_eq!(
        (topics.len(), topics.contains(&"alerts")),
        (2, true),
        "{letters:?}"
    );
    job.terminate(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a document store"]
async fn what_is_old_is_removed() {
    let Some(place) = Place::new().await else {
        return;
    };
    let database = place.database().await;
    let alerts = database.collection::<Document>("alerts");
    let old = DateTime::from_millis(Timestamp::now().as_millisecond() - 3651 * 86_400_000);
    let documents = [
        doc! {"_id": "old", "event_time": old},
        doc! {"_id": "young", "event_time": DateTime::now()},
    ];
    alerts.insert_many(documents).await.unwrap();
    let job = place.job("job");
    let until = Instant::now() + LIMIT;
    while place.documents("alerts").await.len() > 1 {
        assert!(
            Instant::now() < until,
            "the old one is still there\n{}",
            job.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(place.documents("alerts").await.contains_key("young"));
    job.terminate(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka, a document store and root"]
async fn a_store_without_room_is_waited_for() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let store = match DocumentStore::start_on_volume(64) {
        Ok(Some(store)) => store,
        Ok(None) => return,
        Err(error) => {
            left_out("a document store without room", &format!("{error:#}")).unwrap();
            return;
        }
    };
    let mut place = Place::of(kafka, store).await;
    let job = place.job("job");
    job.wait_ready(LIMIT).await;
    let all = disorder();
    let (before, after) = all.split_at(all.len() / 3);
    for (vehicle, second) in before {
        send(&place.producer, &event(*vehicle, *second)).await;
    }
    place.wait_until_read().await;
    let known = place.documents("vehicles").await;

    place.store.volume().unwrap().fill().unwrap();
    for (vehicle, second) in after {
        send(&place.producer, &event(*vehicle, *second)).await;
    }
    // It tells nobody of a write that is not there, and ends: in a pod it is started again.
    let until = Instant::now() + LIMIT;
    while !place.store.has_ended() {
        assert!(Instant::now() < until, "it serves without its file");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    misses_its_store(&job).await;

    place.store.volume().unwrap().make_room().unwrap();
    place.store.start_again().unwrap();
    let found = place.documents("vehicles").await;
    assert!(known.keys().all(|vehicle| found.contains_key(vehicle)));
    place.wait_until_read().await;
    job.wait_ready(LIMIT).await;
    check_vehicles(&place.documents("vehicles").await);
    let letters = read_all(&place.kafka.bootstrap(), "dead-letters").await;
    assert!(letters.is_empty(), "{} were given up", letters.len());
    job.terminate(LIMIT).await;
}
