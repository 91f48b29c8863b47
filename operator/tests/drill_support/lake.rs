//! The load of a drill of the lake: telemetry that Kafka acknowledges, and the proof that all of it lies in the lake, once.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::number;
use super::pods::Client;
use super::{LIMIT, Nodes};

/// The pod that reads the lake.
const READER: &str = "lake-reader";

/// Names of what a drill has founded.
pub struct Place {
    /// The KafkaCluster.
    pub kafka: &'static str,
    /// The topic, and the dataset.
    pub topic: &'static str,
    /// The HdfsCluster.
    pub hdfs: &'static str,
    /// The StreamJob.
    pub job: &'static str,
}

impl Place {
    fn kafka_binding(&self) -> String {
        format!("{}-binding", self.kafka)
    }
}

/// Events of simulated cars on their way into the topic.
pub struct Events<'a> {
    nodes: &'a Nodes,
    place: &'a Place,
    run: String,
    producers: u32,
    running: Option<String>,
    /// Events that Kafka acknowledged.
    pub acknowledged: u64,
    /// Events of which the producer was told that they were not acknowledged.
    pub failed: u64,
}

impl<'a> Events<'a> {
    /// Events a second.
    const RATE: &'static str = "200";

    /// Starts a producer.
    pub fn start(nodes: &'a Nodes, place: &'a Place, run: String) -> Self {
        let mut events = Self {
            nodes,
            place,
            run,
            producers: 0,
            running: None,
            acknowledged: 0,
            failed: 0,
        };
        events.resume();
        events
    }

    /// Starts a producer again after [`Events::pause`], and waits until it writes.
    pub fn resume(&mut self) {
        self.producers += 1;
        let run = format!("{}-{}", self.run, self.producers);
        let (name, binding) = (format!("events-{run}"), self.place.kafka_binding());
        let image = self.nodes.image("STREAM");
        let client = Client {
            name: &name,
            image: &image,
            command: &[
                "millrace-stream",
                "check-sequence",
                "produce",
                "--telemetry",
                "--topic",
                self.place.topic,
                "--run",
                &run,
                "--rate",
                Self::RATE,
            ],
            bindings: &[&binding],
            files: None,
            env: &[],
            memory: "192Mi",
        };
        self.nodes.apply(&client.pod());
        self.nodes.wait_for_log(&name, &["writing"]);
        self.running = Some(name);
    }

    /// Ends the producer, and counts what it was told.
    pub fn pause(&mut self) {
        if let Some(name) = self.running.take() {
            let produced = self.nodes.end(&name);
            self.acknowledged += number(&produced, "acknowledged");
            self.failed += number(&produced, "failed");
            self.nodes
                .kubectl(&["delete", "pod", &name, "--wait=false"]);
        }
    }
}

/// A pod that reads the lake as any client does, with the address and the user of the job.
pub struct Lake<'a> {
    nodes: &'a Nodes,
    place: &'a Place,
}

/// What `lake verify` said.
pub struct Proof {
    /// Rows that count.
    pub rows: u64,
    /// Their sum.
    pub sum: String,
    /// Commits that hold what Kafka has.
    pub commits: u64,
    /// What is wrong; nothing when the lake holds what Kafka has.
    pub wrong: Vec<String>,
}

impl<'a> Lake<'a> {
    /// Starts the pod, unless a run before left it with the same image.
    pub fn open(nodes: &'a Nodes, place: &'a Place) -> Self {
        let lake = Self { nodes, place };
        let image = nodes.image("STREAM");
        let before = nodes.get("pod", READER);
        let same = before.as_ref().is_some_and(|pod| {
            pod["spec"]["containers"][0]["image"] == image && pod["status"]["phase"] == "Running"
        });
        if same {
            return lake;
        }
        if before.is_some() {
            nodes.kubectl(&["delete", "pod", READER]);
        }
        let job = nodes.wait_get("deployment", place.job);
        let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
        let value = |name: &str| {
            let of = env
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["name"] == name);
            of.unwrap_or_else(|| panic!("no {name} in {env}"))["value"]
                .as_str()
                .unwrap()
        };
        let hdfs = format!("{}-binding", place.hdfs);
        let client = Client {
            name: READER,
            image: &image,
            // The first process of a pod heeds no signal that it does not wait for.
            command: &["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"],
            bindings: &[&hdfs],
            files: None,
            env: &[
                ("MILLRACE_LAKE", value("MILLRACE_LAKE")),
                ("HADOOP_USER_NAME", value("HADOOP_USER_NAME")),
            ],
            memory: "512Mi",
        };
        nodes.apply(&client.pod());
        nodes.wait(READER, LIMIT, || {
            (nodes.phase(READER)? == "Running").then_some(())
        });
        lake
    }

    fn run(&self, arguments: &[&str]) -> Result<Value, String> {
        let dataset = ["--json", "--dataset", self.place.topic];
        let program = ["exec", READER, "--", "millrace-stream", "lake"];
        let said = self
            .nodes
            .try_kubectl(&[&program, arguments, &dataset].concat())?;
        serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))
    }

    /// Rows by the records, while the lake can be read.
    pub fn rows(&self) -> Option<u64> {
        let said = self.run(&["ls"]).ok()?;
        let sources = said["sources"].as_object()?.values();
        Some(sources.map(|source| number(source, "rows")).sum())
    }

    /// Rows by the records; waits until the lake can be read.
    pub fn wait_rows(&self) -> u64 {
        let what = "a lake that can be read";
        self.nodes.wait(what, LIMIT, || self.rows())
    }

    /// Waits until there are so many rows; gives how long that took.
    pub fn wait_for(&self, rows: u64) -> Duration {
        let begin = Instant::now();
        self.nodes
            .wait(&format!("{rows} rows in the lake"), LIMIT, || {
                self.rows().filter(|there| *there >= rows)
            });
        begin.elapsed()
    }

    /// Waits until no more come for so long.
    pub fn wait_quiet(&self, quiet: Duration) {
        let mut last = (self.rows(), Instant::now());
        self.nodes.wait("a lake that is quiet", LIMIT, || {
            let now = self.rows();
            if now.is_none() || now != last.0 {
                last = (now, Instant::now());
            }
            (last.1.elapsed() > quiet).then_some(())
        });
    }

    /// Reads everything and compares it with its records and with Kafka.
    pub fn verify(&self) -> Proof {
        let servers = format!("{}-bootstrap:9092", self.place.kafka);
        match self.run(&["verify", "--bootstrap-servers", &servers]) {
            Ok(said) => Proof {
                rows: number(&said, "rows"),
                sum: said["sum"].to_string(),
                commits: number(&said, "comparedWithKafka"),
                wrong: Vec::new(),
            },
            Err(said) => Proof {
                rows: 0,
                sum: String::new(),
                commits: 0,
                wrong: vec![said],
            },
        }
    }
}
