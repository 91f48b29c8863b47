//! `detect` against a real Kafka: whatever is killed, every alert is committed once.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kafka_support::{Job, create_topics, read_alerts, read_all, send, trip, wait_until_read};
use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::{Alert, DeadLetter, Severity, Telemetry};
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;

const READY: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
const CONFIG: &str = "sessionTimeout: 6s\ntransactionTimeout: 5s\nflushInterval: 100ms\n";

struct Place {
    kafka: Kafka,
    bootstrap: String,
    directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let bootstrap = kafka.bootstrap();
        create_topics(
            &bootstrap,
            &[
                ("telemetry", PARTITIONS, false),
                ("detect-state", PARTITIONS, true),
                ("alerts", 2, false),
                ("dead-letters", 1, false),
            ],
        )
        .await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yaml"), CONFIG).unwrap();
        Some(Self {
            kafka,
            bootstrap,
            directory,
        })
    }

    fn detect(&self, instance: &str) -> Job {
        let config = self.directory.path().join("config.yaml");
        let log = self.directory.path().join(format!("{instance}.log"));
        Job::start(
            "detect",
            &self.bootstrap,
            &config,
            &log,
            &["--instance", instance],
        )
    }
}

/// What an uninterrupted run over the same events gives, with what is held at its end.
fn pure(events: &[Telemetry]) -> BTreeMap<String, Alert> {
    let detector = Detector::new(Rules::default(), Zones::default()).unwrap();
    let mut states: BTreeMap<String, VehicleState> = BTreeMap::new();
    let mut alerts = Vec::new();
    let now = Timestamp::now();
    for event in events {
        let state = states.entry(event.vehicle.clone()).or_default();
        alerts.extend(detector.observe(state, event, now));
    }
    let later = now + jiff::SignedDuration::from_hours(1);
    for state in states.values_mut() {
        alerts.extend(detector.release(state, later));
    }
    alerts.into_iter().map(|a| (a.id.clone(), a)).collect()
}

/// The vehicles' trips, one event of each in turn; every twentieth event comes twice.
fn fleet(vehicles: usize, samples: u64) -> Vec<Telemetry> {
    let trips: Vec<Vec<Telemetry>> = (0..vehicles)
        .map(|n| {
            let fault_at = if n % 3 == 2 {
                u64::MAX
            } else {
                100 + 37 * u64::try_from(n % 12).unwrap()
            };
            trip(&format!("car-{n}"), samples, fault_at, 6.0)
        })
        .collect();
    let mut events = Vec::new();
    for n in 0..usize::try_from(samples).unwrap() {
        for trip in &trips {
            events.push(trip[n].clone());
            if n % 20 == 0 {
                events.push(trip[n].clone());
            }
        }
    }
    events
}

fn assert_same(found: &BTreeMap<String, (usize, Alert)>, expected: &BTreeMap<String, Alert>) {
    let doubled: Vec<_> = found
        .iter()
        .filter(|(_, (n, _))| *n != 1)
        .map(|(id, (n, _))| (id, n))
        .collect();
    assert!(doubled.is_empty(), "told more than once: {doubled:?}");
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (id, (_, alert)) in found {
        let mut alert = alert.clone();
        alert.detected_at = expected[id].detected_at;
        assert_eq!(alert, expected[id]);
    }
}

async fn feed(bootstrap: String, events: Vec<Telemetry>, seconds: u64) {
    let producer = Producer::new(&bootstrap, "test").unwrap();
    let slice = Duration::from_millis(100);
    let per_slice = events
        .len()
        .div_ceil(usize::try_from(seconds).unwrap() * 10);
    for some in events.chunks(per_slice) {
        let started = std::time::Instant::now();
        futures::future::join_all(some.iter().map(|event| send(&producer, event))).await;
        tokio::time::sleep(slice.saturating_sub(started.elapsed())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn killed_again_and_again_it_tells_every_alert_once() {
    let Some(place) = Place::new().await else {
        return;
    };
    let events = fleet(12, 700);
    let expected = pure(&events);
    let warnings = expected
        .values()
        .filter(|a| a.severity == Severity::Warning)
        .count();
    assert!(
        warnings == 8,
        "the trips are to give one warning for each of the 8 faulty cars: {expected:?}"
    );

    // Something that nobody can read, in the middle of it all.
    let producer = Producer::new(&place.bootstrap, "test").unwrap();
    let feeding = tokio::spawn(feed(place.bootstrap.clone(), events, 45));
    tokio::time::sleep(Duration::from_secs(2)).await;
    producer
        .send("telemetry", "car-1", &[], b"{\"vehicle\": truncated", None)
        .await
        .unwrap();

    for (kill, wait) in [1500_u64, 300, 2200, 750].into_iter().enumerate() {
        let mut detect = place.detect("detect-0");
        detect.wait_ready(READY).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        detect.server.kill();
        eprintln!("killed {} times", kill + 1);
    }
    let detect = place.detect("detect-0");
    detect.wait_ready(READY).await;
    // A second process takes some partitions over, and dies too.
    let mut other = place.detect("detect-1");
    other.wait_ready(READY).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.server.kill();

    feeding.await.unwrap();
    wait_until_read(
        &place.bootstrap,
        "detect",
        "telemetry",
        Duration::from_secs(60),
    )
    .await;
    assert_same(&read_alerts(&place.bootstrap).await, &expected);
    let dead: Vec<DeadLetter> = read_all(&place.bootstrap, "dead-letters")
        .await
        .iter()
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].vehicle.as_deref(), Some("car-1"));
    let (_, metrics) = detect.get("/metrics").unwrap();
    assert!(
        metrics.contains("millrace_detect_transactions_total{outcome=\"committed\"}"),
        "{metrics}"
    );
    detect.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_restarted_broker_and_new_rules_are_taken_in_stride() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let detect = place.detect("detect-0");
    detect.wait_ready(READY).await;
    let events = fleet(6, 400);
    let expected = pure(&events);
    assert!(!expected.is_empty());
    let feeding = tokio::spawn(feed(place.bootstrap.clone(), events, 15));
    tokio::time::sleep(Duration::from_secs(5)).await;
    place.kafka.restart().unwrap();
    feeding.await.unwrap();
    wait_until_read(
        &place.bootstrap,
        "detect",
        "telemetry",
        Duration::from_secs(60),
    )
    .await;
    assert_same(&read_alerts(&place.bootstrap).await, &expected);

    // Zones of a directory are taken over, also compressed ones; bad ones are refused, and good ones cure that.
    let config = place.directory.path().join("config.yaml");
    let zones = place.directory.path().join("zones");
    std::fs::create_dir(&zones).unwrap();
    std::fs::write(zones.join("b.geojson.gz"), gzip(ZONE)).unwrap();
    let with_zones = format!("{CONFIG}zones: {{directories: [{}]}}\n", zones.display());
    std::fs::write(&config, &with_zones).unwrap();
    wait_for_metric(&detect, "millrace_detect_zones 1").await;
    std::fs::write(zones.join("bad.geojson"), "{").unwrap();
    wait_for_metric(&detect, "millrace_detect_rules_current 0").await;
    wait_for_metric(&detect, "millrace_detect_zones 1").await;
    std::fs::remove_file(zones.join("bad.geojson")).unwrap();
    wait_for_metric(&detect, "millrace_detect_rules_current 1").await;

    // Rules that cannot be used are refused and change nothing; good ones count from then on.
    std::fs::write(
        &config,
        format!("{CONFIG}rules: {{overheating: {{criticalAt: 1}}}}\n"),
    )
    .unwrap();
    wait_for_metric(&detect, "millrace_detect_rules_rejected_total 2").await;
    let colder =
        "rules: {overheating: {clearBelow: 60, trendFrom: 70, warningAt: 80, criticalAt: 120}}\n";
    std::fs::write(&config, format!("{CONFIG}{colder}")).unwrap();
    wait_for_metric(&detect, "millrace_detect_rules_current 1").await;
    feed(place.bootstrap.clone(), trip("cold", 120, u64::MAX, 0.0), 1).await;
    wait_until_read(
        &place.bootstrap,
        "detect",
        "telemetry",
        Duration::from_secs(30),
    )
    .await;
    let alerts = read_alerts(&place.bootstrap).await;
    assert_eq!(
        alerts.values().filter(|(_, a)| a.vehicle == "cold").count(),
        1,
        "{}",
        detect.server.tail()
    );
    assert_eq!(alerts.len(), expected.len() + 1);
    detect.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_process_that_was_taken_for_dead_does_no_harm_when_it_wakes() {
    let Some(place) = Place::new().await else {
        return;
    };
    let events = fleet(6, 600);
    let expected = pure(&events);
    let sleeper = place.detect("detect-0");
    sleeper.wait_ready(READY).await;
    let feeding = tokio::spawn(feed(place.bootstrap.clone(), events, 30));
    tokio::time::sleep(Duration::from_secs(4)).await;
    signal(&sleeper, "-STOP");
    // It takes everything over once the broker has given the sleeper up.
    let other = place.detect("detect-1");
    other.wait_ready(READY).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    signal(&sleeper, "-CONT");
    feeding.await.unwrap();
    wait_until_read(
        &place.bootstrap,
        "detect",
        "telemetry",
        Duration::from_secs(60),
    )
    .await;
    assert_same(&read_alerts(&place.bootstrap).await, &expected);
    sleeper.wait_ready(READY).await;
    sleeper.terminate(Duration::from_secs(20)).await;
    other.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn from_one_to_three_and_back_every_alert_is_told_once() {
    let Some(place) = Place::new().await else {
        return;
    };
    let events = fleet(24, 700);
    let expected = pure(&events);
    assert!(expected.len() >= 16, "{expected:?}");
    let feeding = tokio::spawn(feed(place.bootstrap.clone(), events, 60));
    let pause = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;
    let first = place.detect("detect-0");
    first.wait_ready(READY).await;
    pause(4).await;
    let mut second = place.detect("detect-1");
    let third = place.detect("detect-2");
    pause(1).await;
    for job in [&first, &second, &third] {
        job.wait_ready(READY).await;
    }
    pause(4).await;
    second.server.kill();
    pause(3).await;
    let second = place.detect("detect-1");
    second.wait_ready(READY).await;
    pause(4).await;
    for job in [second, third] {
        job.terminate(Duration::from_secs(20)).await;
        pause(2).await;
    }
    assert!(
        !feeding.is_finished(),
        "all of this was to happen under load"
    );
    feeding.await.unwrap();
    wait_until_read(
        &place.bootstrap,
        "detect",
        "telemetry",
        Duration::from_secs(60),
    )
    .await;
    assert_same(&read_alerts(&place.bootstrap).await, &expected);
    first.wait_ready(READY).await;
    first.terminate(Duration::from_secs(20)).await;
}

/// A trip up to the event that raises its first alert, without the one before: that event is held, and nothing
/// follows that would end the waiting.
fn with_a_gap_before_the_alert(vehicle: &str) -> Vec<Telemetry> {
    let mut events = trip(vehicle, 600, 60, 6.0);
    let last = (0..events.len())
        .find(|n| !pure(&events[..=*n]).is_empty())
        .unwrap();
    events.truncate(last + 1);
    events.remove(last - 1);
    events
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn what_is_held_for_missing_events_is_released_in_time_also_after_a_kill() {
    let Some(place) = Place::new().await else {
        return;
    };
    let mut detect = place.detect("detect-0");
    detect.wait_ready(READY).await;
    let events = with_a_gap_before_the_alert("gap-1");
    let mut expected = pure(&events);
    assert_eq!(expected.len(), 1, "{expected:?}");
    feed(place.bootstrap.clone(), events, 1).await;
    wait_for_metric(&detect, "millrace_detect_waiting_vehicles 1").await;
    assert!(read_alerts(&place.bootstrap).await.is_empty());
    wait_for_metric(&detect, "millrace_detect_released_total 1").await;
    wait_for_metric(&detect, "millrace_detect_waiting_vehicles 0").await;

    // Held and committed, then killed: the next one restores the state and waits on.
    let events = with_a_gap_before_the_alert("gap-2");
    expected.extend(pure(&events));
    feed(place.bootstrap.clone(), events, 1).await;
    wait_for_metric(&detect, "millrace_detect_waiting_vehicles 1").await;
    wait_until_read(&place.bootstrap, "detect", "telemetry", READY).await;
    detect.server.kill();
    assert_eq!(read_alerts(&place.bootstrap).await.len(), 1);

    // What was missing came while nobody was there, and later than it would have been waited for: it lies in
    // Kafka, so it counts.
    let mut whole = trip("late", 600, 60, 6.0);
    let mut last = with_a_gap_before_the_alert("late");
    whole.truncate(last.len() + 1);
    let missing = whole[whole.len() - 2].clone();
    expected.extend(pure(&whole));
    last.push(missing);
    feed(place.bootstrap.clone(), last[..last.len() - 1].to_vec(), 1).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    feed(place.bootstrap.clone(), last[last.len() - 1..].to_vec(), 1).await;

    let detect = place.detect("detect-0");
    detect.wait_ready(READY).await;
    wait_for_metric(&detect, "millrace_detect_released_total 1").await;
    wait_for_metric(&detect, "millrace_detect_waiting_vehicles 0").await;
    wait_until_read(&place.bootstrap, "detect", "telemetry", READY).await;
    assert_same(&read_alerts(&place.bootstrap).await, &expected);
    detect.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn what_is_held_is_released_in_time_while_others_keep_the_partition_busy() {
    let Some(place) = Place::new().await else {
        return;
    };
    let detect = place.detect("detect-0");
    detect.wait_ready(READY).await;
    let events = with_a_gap_before_the_alert("gap");
    let expected = pure(&events);
    let producer = Producer::new(&place.bootstrap, "test").unwrap();
    let mut partition = None;
    for event in &events {
        partition = Some(send(&producer, event).await);
    }
    // Vehicles of the same partition, healthy and whole: detect never sees the partition's end.
    let mut busy = Vec::new();
    for number in 0..64 {
        let trip = trip(&format!("busy-{number}"), 3_000, 3_000, 0.0);
        if Some(send(&producer, &trip[0]).await) == partition {
            busy.push(trip.into_iter().skip(1));
        }
    }
    assert!(
        busy.len() > 4,
        "{} vehicles share the partition",
        busy.len()
    );
    let until = std::time::Instant::now() + Duration::from_secs(30);
    let told = |metrics: &str| metrics.contains("millrace_detect_released_total 1");
    while !detect.get("/metrics").is_some_and(|(_, text)| told(&text)) {
        assert!(std::time::Instant::now() < until, "held for too long");
        for trip in &mut busy {
            send(&producer, &trip.next().unwrap()).await;
        }
    }
    assert_same(&read_alerts(&place.bootstrap).await, &expected);
    detect.terminate(Duration::from_secs(20)).await;
}

const ZONE: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature",
    "properties": {"id": "z", "name": "Z", "kind": "border"},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}]}"#;

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn signal(job: &Job, signal: &str) {
    let pid = job.server.pid().to_string();
    assert!(
        std::process::Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
}

async fn wait_for_metric(job: &Job, line: &str) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !job
        .get("/metrics")
        .is_some_and(|(_, text)| text.contains(line))
    {
        assert!(
            std::time::Instant::now() < until,
            "no {line} in {:?}",
            job.get("/metrics")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
