//! A topic, a lake, and what is the same wherever the lake lies.
#![allow(dead_code)] // each test binary uses its own part

pub mod job;
pub mod scenarios;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec};
use millrace_lake::Storage as _;
use millrace_stream::connect::Producer;
use millrace_stream::lake::LakeArgs;
use millrace_stream::settings::Bindings;
use millrace_testkit::Kafka;
use serde_json::Value;

use crate::kafka_support::{Job, create_topics, read_all, wait_until_read};

const PARTITIONS: i32 = 3;
/// The events' time, and some hours before and after on the same day.
const START: &str = "2026-11-01T08:30:00Z";
/// An hour of which all events come late, and the next one.
const LATE: [&str; 2] = ["2026-11-01T04", "2026-11-01T05"];
/// One in so many is no event.
const UNREADABLE: u64 = 50;
pub const LIMIT: Duration = Duration::from_secs(90);
const CONFIG: &str = "rollInterval: 1s\nsessionTimeout: 3s\ndrainTimeout: 10s\nlongestWait: 1s\nstorageTimeout: 5s\n\
                      aheadBytes: 1048576\n";

/// A topic and a lake of its own.
pub struct Place {
    kafka: Arc<Kafka>,
    bootstrap: String,
    pub directory: tempfile::TempDir,
    lake: LakeArgs,
    sent: u64,
}

impl Place {
    /// With the lake in a local folder.
    pub async fn local() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let lake = LakeArgs {
            lake: Some(format!(
                "file://{}",
                directory.path().join("lake").display()
            )),
            ..LakeArgs::default()
        };
        Self::new(directory, lake).await
    }

    /// With the lake in HDFS, under a root of its own.
    pub async fn hdfs(uri: &str, settings: &Path, root: &str) -> Option<Self> {
        let lake = LakeArgs {
            lake: Some(format!("{uri}/{root}")),
            hadoop_conf_dir: Some(settings.to_path_buf()),
            hdfs_user: Some("hdfs".to_owned()),
        };
        Self::new(tempfile::tempdir().unwrap(), lake).await
    }

    async fn new(directory: tempfile::TempDir, lake: LakeArgs) -> Option<Self> {
        let kafka = tokio::task::spawn_blocking(Kafka::start);
        let kafka = Arc::new(kafka.await.unwrap().unwrap()?);
        create_topics(&kafka.bootstrap(), &[("telemetry", PARTITIONS, false)]).await;
        Some(Self::of(kafka, directory, lake, 0))
    }

    fn of(kafka: Arc<Kafka>, directory: tempfile::TempDir, lake: LakeArgs, sent: u64) -> Self {
        std::fs::write(directory.path().join("config.yaml"), CONFIG).unwrap();
        Self {
            bootstrap: kafka.bootstrap(),
            kafka,
            directory,
            lake,
            sent,
        }
    }

    /// An empty lake beside this one, under another root. The topic is the same: what was sent so far comes there, too.
    pub fn beside(&self, root: &str) -> Self {
        let mut lake = self.lake.clone();
        let (uri, _) = lake.lake.as_deref().unwrap().rsplit_once('/').unwrap();
        lake.lake = Some(format!("{uri}/{root}"));
        let directory = tempfile::tempdir().unwrap();
        Self::of(Arc::clone(&self.kafka), directory, lake, self.sent)
    }

    /// The same as another user, in a lake of its own.
    pub fn of_user(&self, user: &str, root: &str) -> Self {
        let mut place = self.beside(root);
        place.lake.hdfs_user = Some(user.to_owned());
        place
    }

    /// Events sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let args = &self.lake;
        let folder = args
            .hadoop_conf_dir
            .as_ref()
            .map(|f| f.display().to_string());
        for (flag, value) in [
            ("--lake", &args.lake),
            ("--hadoop-conf-dir", &folder),
            ("--hdfs-user", &args.hdfs_user),
        ] {
            if let Some(value) = value {
                flags.extend([flag.to_owned(), value.clone()]);
            }
        }
        flags
    }

    pub fn archive(&self, name: &str, more: &[&str]) -> Job {
        let config = self.directory.path().join("config.yaml");
        self.start(name, &config, more)
    }

    /// A job of a group of its own: it owns all partitions beside those that [`Place::archive`] starts.
    pub fn rival(&self, name: &str, more: &[&str]) -> Job {
        let config = self.directory.path().join("rival.yaml");
        std::fs::write(&config, format!("{CONFIG}group: rival\n")).unwrap();
        self.start(name, &config, more)
    }

    fn start(&self, name: &str, config: &Path, more: &[&str]) -> Job {
        let own = self.flags();
        let mut flags: Vec<&str> = own.iter().map(String::as_str).collect();
        flags.extend(more);
        Job::start("archive", &self.bootstrap, config, &self.log(name), &flags)
    }

    /// Events of ten vehicles over three hours, some of them late, one in fifty that no column can hold.
    pub async fn send(&mut self, events: u64) {
        let producer = Producer::new(&self.bootstrap, "test").unwrap();
        let start: jiff::Timestamp = START.parse().unwrap();
        let mut sends = Vec::new();
        for n in self.sent..self.sent + events {
            let vehicle = format!("car-{}", n % 10);
            let late = if n % 7 == 0 { 5 * 3600 } else { 0 };
            let seconds = i64::try_from(n * 20 % 10_800).unwrap() - late;
            let mut event = Telemetry::new(
                &vehicle,
                n,
                start + jiff::SignedDuration::from_secs(seconds),
            );
            event.speed = Some(50.5);
            event.dtc_list = (n % 11 == 0).then(|| vec!["P0217".to_owned()]);
            let value = if n % UNREADABLE == 0 {
                format!("{{\"vehicle\":\"{vehicle}\",\"sequence\":{n},\"mood\":\"fine\"")
                    .into_bytes()
            } else {
                codec::encode(&event)
            };
            let headers = CloudEvent::of_telemetry(&event, "/test").headers();
            let producer = producer.clone();
            sends.push(async move {
                producer
                    .send("telemetry", &vehicle, &headers, &value, None)
                    .await
                    .unwrap();
            });
        }
        futures::future::join_all(sends).await;
        self.sent += events;
    }

    pub fn lake_command(&self, arguments: &[&str]) -> (bool, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .arg("lake")
            .args(arguments)
            .args(self.flags())
            .output()
            .unwrap();
        eprint!("{}", String::from_utf8_lossy(&out.stderr));
        (out.status.success(), String::from_utf8(out.stdout).unwrap())
    }

    /// How many records the lake's commits hold.
    pub fn archived(&self) -> u64 {
        let (ok, text) = self.lake_command(&["ls", "--json"]);
        assert!(ok);
        let listing: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(listing["findings"], serde_json::json!([]));
        let sources = listing["sources"].as_object().unwrap().values();
        sources.map(|source| source["rows"].as_u64().unwrap()).sum()
    }

    pub async fn wait_until_archived(&self) {
        let until = Instant::now() + LIMIT;
        loop {
            let archived = self.archived();
            assert!(archived <= self.sent, "{archived} of {}", self.sent);
            if archived == self.sent {
                return;
            }
            assert!(
                Instant::now() < until,
                "{archived} of {} are archived",
                self.sent
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn wait_until_settled(&self) {
        let until = Instant::now() + LIMIT;
        loop {
            let left = self.staging().await;
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left over: {left:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether `lake verify` finds that the lake holds what Kafka has, and its report.
    pub fn verify(&self) -> (bool, String) {
        self.lake_command(&["verify", "--json", "--bootstrap-servers", &self.bootstrap])
    }

    /// What lies in the lake is what lies in Kafka: by count, hash and record.
    pub async fn check(&self) {
        let (ok, text) = self.verify();
        assert!(ok, "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["findings"], serde_json::json!([]));
        assert_eq!(report["rows"].as_u64(), Some(self.sent));
        assert_eq!(report["noLongerInKafka"].as_u64(), Some(0));
        assert_eq!(report["notYetArchived"].as_u64(), Some(0));
        let found = self.rows(&[]);
        let records = read_all(&self.bootstrap, "telemetry").await;
        assert_eq!(found.len(), records.len());
        let mut late = BTreeSet::new();
        for record in records {
            let at = (i64::from(record.partition), record.offset);
            let row = &found[&at];
            assert_eq!(row["kafka_key"].as_str(), record.key_text());
            assert_eq!(row["source"], "/test");
            let value = record.payload.unwrap();
            match codec::decode(&value) {
                Ok(event) => {
                    assert_eq!(row["vehicle"], event.vehicle);
                    assert_eq!(row["sequence"].as_u64(), Some(event.sequence));
                    assert_eq!(row["time"].as_str(), Some(event.time.to_string().as_str()));
                    assert_eq!(row["speed"].as_f64(), event.speed);
                    assert_eq!(row.get("dtc_list").is_some(), event.dtc_list.is_some());
                    assert_eq!(row.get("raw"), None);
                    if event.time.to_string().starts_with(LATE[0]) {
                        late.insert(at);
                    }
                }
                Err(_) => assert_eq!(row["raw"].as_str().unwrap().as_bytes(), value),
            }
        }
        // An event lies in the hour of its time, however late it came.
        let [hour, next] = LATE;
        let of_hour = self.rows(&["--from", hour, "--to", next]);
        assert_eq!(of_hour.into_keys().collect::<BTreeSet<_>>(), late);
        assert!(self.sent < 300 || !late.is_empty());
        let stray = self.staging().await;
        assert!(stray.is_empty(), "left over: {stray:?}");
    }

    /// What `lake cat` shows, by partition and offset.
    fn rows(&self, arguments: &[&str]) -> BTreeMap<(i64, i64), Value> {
        let (ok, text) = self.lake_command(&[&["cat"][..], arguments].concat());
        assert!(ok);
        let mut rows = BTreeMap::new();
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let at = (
                row["kafka_partition"].as_i64().unwrap(),
                row["kafka_offset"].as_i64().unwrap(),
            );
            assert!(rows.insert(at, row).is_none(), "{at:?} is there twice");
        }
        rows
    }

    /// Waits until the group's offsets, by which the flow of a platform is told, have come to the end of the topic.
    pub async fn wait_until_told(&self) {
        wait_until_read(&self.bootstrap, "archive", "telemetry", LIMIT).await;
    }

    /// Files in staging.
    async fn staging(&self) -> Vec<String> {
        let mut files = self.files("telemetry/_staging").await;
        files.extend(self.files("telemetry/_coded").await);
        files.into_iter().map(|(path, _)| path).collect()
    }

    /// Files below a folder of the lake with their replication, as the storage itself lists them.
    pub async fn files(&self, folder: &str) -> Vec<(String, Option<u32>)> {
        let storage = self.lake.open(&Bindings::default(), None, None).unwrap();
        let mut folders = vec![folder.to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in storage.list(&folder).await.unwrap() {
                let path = format!("{folder}/{}", entry.name);
                if entry.folder {
                    folders.push(path);
                } else {
                    files.push((path, entry.replication));
                }
            }
        }
        files
    }

    /// Files of the hours of [`START`], in the same way.
    pub async fn old_files(&self) -> Vec<(String, Option<u32>)> {
        let mut files = self.files("telemetry").await;
        files.retain(|(path, _)| path.starts_with(&format!("telemetry/date={}/", &START[..10])));
        files
    }

    /// How many events lie in other hours: those without a time lie where Kafka took them.
    pub fn young(&self) -> u64 {
        self.sent.div_ceil(UNREADABLE)
    }

    /// What `lake verify` reports, which must find nothing.
    pub fn report(&self) -> Value {
        let (ok, text) = self.lake_command(&["verify", "--json"]);
        assert!(ok, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Starts a compaction, and kills it with -9 where it stands still after a step.
    pub async fn compaction_killed(&self, step: &str) {
        let log = self.log(&format!("compact-{step}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .args(["lake", "compact", "--at-least", "2", "--halt-after", step])
            .args(self.flags())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        job::wait_for_line(&log, "standing still").await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts `lake` and kills it with -9 after a while.
    pub async fn lake_command_killed(&self, arguments: &[&str], after: Duration) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .arg("lake")
            .args(arguments)
            .args(self.flags())
            .spawn()
            .unwrap();
        tokio::time::sleep(after).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
