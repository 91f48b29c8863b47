//! The lake of the platform: how a day gets there, and a copy of its files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use millrace_contract::topics;
use serde_json::{Value, json};

use super::scan::rows;
use super::{LIMIT, Scene};

/// Its datasets.
pub const DATASETS: [&str; 3] = [topics::TELEMETRY, topics::VEHICLE_EVENTS, topics::ALERTS];

/// The files that count, copied.
pub struct Lake {
    _folder: tempfile::TempDir,
    /// By dataset.
    pub files: BTreeMap<&'static str, Vec<PathBuf>>,
    /// The file of roads.
    pub roads: PathBuf,
}

impl Lake {
    /// Sends the whole day, waits until all of it is in the lake, and copies that.
    pub async fn of_day(scene: &Scene) -> Self {
        for drive in &scene.day.drives {
            scene.gateway.drive(drive).await;
        }
        scene.gateway.tell_events(&scene.day.events).await;
        scene.put_roads().await;
        let drives = scene.day.drives.iter();
        let sent: usize = drives.map(|drive| drive.samples.len()).sum();
        let telemetry = Self::taken(scene, topics::TELEMETRY, sent).await;
        let told = scene.day.events.len();
        let events = Self::taken(scene, topics::VEHICLE_EVENTS, told).await;
        // Alerts are raised by detection: once it has read all of it, they are there.
        scene.wait_read("detect", topics::TELEMETRY).await;
        let alerts = scene.broker().await.records_of(topics::ALERTS).await;
        let texts = alerts.iter().filter_map(|alert| alert.value.as_deref());
        let punctures = texts.filter(|alert| alert.contains("\"slow-puncture\""));
        assert!(punctures.count() >= 3, "of {} alerts", alerts.len());
        scene.wait_archived(topics::ALERTS, alerts.len());
        let started = Instant::now();
        loop {
            let lake = Self::copy(scene).await;
            // What is committed last may not lie under its own name yet.
            let held = DATASETS.map(|dataset| lake.rows(scene, dataset, "vehicle").len());
            if held == [telemetry, events, alerts.len()] {
                return lake;
            }
            assert!(started.elapsed() < LIMIT, "{held:?} of {DATASETS:?}");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// Waits until the lake holds all that a topic does; gives how much that is: what was sent, and at most what the gateway may
    /// have taken twice.
    async fn taken(scene: &Scene, topic: &str, sent: usize) -> usize {
        let taken = scene.broker().await.records_of(topic).await.len();
        let most = sent + scene.gateway.again();
        assert!((sent..=most).contains(&taken), "{topic}: {taken} of {sent}");
        scene.wait_archived(topic, taken);
        taken
    }

    async fn copy(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = BTreeMap::new();
        for dataset in DATASETS {
            files.insert(dataset, scene.hdfs.fetch(dataset, folder.path()).await);
        }
        let roads = folder.path().join("roads.csv");
        std::fs::write(&roads, &scene.day.roads).unwrap();
        Self {
            _folder: folder,
            files,
            roads,
        }
    }

    fn rows(&self, scene: &Scene, dataset: &str, columns: &str) -> Vec<String> {
        let settings = json!({"files": self.files[dataset], "columns": columns});
        let rows = rows(&scene.python, &settings);
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort();
        rows
    }

    /// Each event lies there as often as it was sent, or once more for each time that its body may have been taken again; and no
    /// other does.
    pub fn holds_what_was_sent(&self, scene: &Scene) {
        let samples = scene.day.drives.iter().flat_map(|drive| &drive.samples);
        let sent = samples.map(|sample| json!([sample.vehicle, sample.sequence]).to_string());
        let held = self.rows(scene, topics::TELEMETRY, "vehicle, sequence");
        same(sent.collect(), held, scene.gateway.again());
        let events = scene.day.events.iter().map(|inbound| &inbound.event);
        let sent = events.map(|event| json!([event.vehicle, event.id]).to_string());
        let held = self.rows(scene, topics::VEHICLE_EVENTS, "vehicle, id");
        same(sent.collect(), held, scene.gateway.again());
    }
}

/// Fails unless each of `sent` is in `held` as often, but for `more` that may be there beside; none of these is a new one.
fn same(sent: Vec<String>, held: Vec<String>, more: usize) {
    let numbers = format!("{} sent, {} held", sent.len(), held.len());
    let counted = |all: Vec<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for one in all {
            *counts.entry(one).or_default() += 1;
        }
        counts
    };
    let (sent, held) = (counted(sent), counted(held));
    assert!(sent.keys().eq(held.keys()), "others than sent: {numbers}");
    let mut beside = 0;
    for (one, count) in &sent {
        assert!(held[one] >= *count, "{one}: lost; {numbers}");
        beside += held[one] - count;
    }
    assert!(beside <= more, "{beside} twice, {more} at most; {numbers}");
}
