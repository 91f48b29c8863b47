//! What names hires and is on its way into a store when an erasure begins: it is waited for, or it would come in after the
//! Job, and nobody could find it any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use millrace_contract::topics;
use serde::Serialize;
use serde_json::{Value, json};

use super::stores::{Store, Stores};
use crate::cli::gateway::Method;
use crate::cli::{Gateway, GatewayError};
use crate::eventsource::crd::EventSource;
use crate::job;
use crate::job::crd::{Job, StreamJob};
use crate::platform::crd::Platform;
use crate::platform::detect_group;

/// Topics whose records name hires.
const NAMING: [&str; 5] = [
    topics::TELEMETRY,
    topics::VEHICLE_EVENTS,
    topics::ALERTS,
    topics::HIRE_SCORES,
    topics::OFFERS,
];
const EVERY: Duration = Duration::from_secs(2);
/// So long is waited beyond what an archive takes its time for.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A consumer group that takes in a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Reader {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Who it is, for people.
    #[serde(skip)]
    pub who: String,
}

/// Who has to have taken in what lies in the topics.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Readers {
    /// Those who write into topics themselves, which the others read: they come first.
    pub before: BTreeSet<Reader>,
    /// Those who write into stores.
    pub stores: BTreeSet<Reader>,
    /// How long all of them together may take.
    pub longest: Duration,
}

/// Those of a platform.
///
/// # Errors
/// Kubernetes refuses, or the configuration of a job cannot be read.
pub(super) async fn readers(
    client: &Client,
    namespace: &str,
    platform: &Platform,
    stores: &Stores,
) -> anyhow::Result<Readers> {
    let sources: Api<EventSource> = Api::namespaced(client.clone(), namespace);
    let sources = sources.list(&ListParams::default()).await?.items;
    of_platform(platform, stores, &sources)
}

fn of_platform(
    platform: &Platform,
    stores: &Stores,
    sources: &[EventSource],
) -> anyhow::Result<Readers> {
    let mut readers = Readers {
        before: BTreeSet::new(),
        stores: BTreeSet::new(),
        longest: PATIENCE,
    };
    for job in &stores.jobs {
        let (read, time) = of_job(job)?;
        readers.stores.extend(read);
        readers.longest = readers.longest.max(PATIENCE + time);
    }
    if readers
        .stores
        .iter()
        .any(|reader| reader.topic == topics::ALERTS)
        && platform.spec.detect.is_some()
        && let Some(gateway) = &platform.spec.gateway
    {
        readers.before.insert(Reader {
            group: detect_group(gateway).to_owned(),
            topic: topics::TELEMETRY.to_owned(),
            who: "detect".to_owned(),
        });
    }
    // Its action writes offers into MongoDB.
    let scores = format!("{}-{}", platform.name_any(), topics::HIRE_SCORES);
    let told = sources.iter().filter(|source| source.spec.topic == scores);
    if stores.wanted.contains(&Store::Mongodb) {
        readers.stores.extend(told.map(|source| Reader {
            group: source.group(),
            topic: topics::HIRE_SCORES.to_owned(),
            who: format!("EventSource {}", source.name_any()),
        }));
    }
    Ok(readers)
}

/// What a job reads that names hires, and how long it may hold that back.
fn of_job(job: &StreamJob) -> anyhow::Result<(Vec<Reader>, Duration)> {
    let who = format!("StreamJob {}", job.name_any());
    let reader = |group: String, topic: &str| Reader {
        group,
        topic: topic.to_owned(),
        who: who.clone(),
    };
    let (mut read, time) = match job.spec.job {
        Job::Archive => {
            let config = job::lake::config(&job.spec.config, "spec.config")?;
            let read = vec![reader(config.group, &config.topic)];
            (read, config.roll_interval.0)
        }
        Job::Materialize => {
            let config = job::documents(&job.spec.config, "spec.config")?;
            // Of its collections these name hires; those that lead from a hire to its driver follow the topic `hires`.
            let topics = [
                ("vehicles", &config.topics.vehicles),
                ("alerts", &config.topics.alerts),
            ];
            let read = topics
                .map(|(collection, topic)| reader(format!("{}-{collection}", config.group), topic));
            (read.to_vec(), config.window.0)
        }
        Job::Gateway | Job::Detect => (Vec::new(), Duration::ZERO),
    };
    read.retain(|reader| NAMING.contains(&reader.topic.as_str()));
    Ok((read, time))
}

impl Readers {
    /// Waits until all of them have taken in what lies in their topics now, and says for whom.
    ///
    /// # Errors
    /// The gateway refuses, or they do not come to the end in time: nothing is lost by that.
    pub(super) async fn wait(&self, gateway: &Gateway) -> anyhow::Result<()> {
        self.wait_every(gateway, EVERY).await
    }

    async fn wait_every(&self, gateway: &Gateway, every: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + self.longest;
        let mut ends = json!({});
        let mut told = String::new();
        for readers in [&self.before, &self.stores] {
            while !readers.is_empty() {
                let question = json!({"readers": readers, "ends": ends});
                let asked = gateway.send(Method::Post, "/v1/erasures/pending", &question);
                let problem = match asked.await {
                    Ok(answer) => {
                        ends = answer["ends"].clone();
                        let pending = answer["pending"].as_array();
                        waiting(
                            readers,
                            pending.context("the gateway's answer has no `pending`")?,
                        )
                    }
                    // Kafka is away for the moment.
                    Err(GatewayError::Refused { status: 503, said }) => Some(said),
                    Err(error) => return Err(error.into()),
                };
                let Some(problem) = problem else {
                    break;
                };
                if Instant::now() >= until {
                    bail!(
                        "{problem}: it did not end in {} min; nothing is lost, and the mapping was kept: see `millrace flow` and `millrace status`, and ask again",
                        self.longest.as_secs() / 60
                    );
                }
                if problem != told {
                    eprintln!("waiting: {problem}");
                    told = problem;
                }
                tokio::time::sleep(every).await;
            }
        }
        Ok(())
    }
}

/// For whom is waited, for people; none when nobody is.
fn waiting(readers: &BTreeSet<Reader>, pending: &[Value]) -> Option<String> {
    let is_pending = |reader: &&Reader| {
        pending.iter().any(|one| {
            one["group"] == reader.group.as_str() && one["topic"] == reader.topic.as_str()
        })
    };
    let waiting: Vec<String> = readers
        .iter()
        .filter(is_pending)
        .map(|Reader { group, topic, who }| {
            format!(
                "{who} (group {group}) has not taken in all of topic {topic} that may name a hire"
            )
        })
        .collect();
    (!waiting.is_empty()).then(|| waiting.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::stores::Content;
    use super::super::stores::tests::{platform, stream_job};
    use super::*;
    use crate::cli::gateway::tests::{Exchange, gateway};

    fn reader(group: &str, topic: &str, who: &str) -> Reader {
        let [group, topic, who] = [group, topic, who].map(str::to_owned);
        Reader { group, topic, who }
    }

    fn stores(wanted: &[Store], jobs: Vec<StreamJob>) -> Stores {
        Stores {
            wanted: wanted.to_vec(),
            template: None,
            jobs,
            content: Content::default(),
        }
    }

    #[test]
    fn whoever_writes_hires_into_a_store_is_waited_for() {
        let platform = platform(
            json!({"kafka": {}, "gateway": {"config": {"detectGroup": "d2"}}, "detect": {}}),
        );
        let archive =
            |config: Value| json!({"job": "archive", "lake": {"hdfs": "p-hdfs"}, "config": config});
        let jobs = vec![
            stream_job("p-archive", archive(json!({"rollInterval": "1h"})), None),
            stream_job(
                "mine",
                archive(json!({"topic": "offers", "group": "mine"})),
                None,
            ),
            stream_job(
                "other",
                archive(json!({"topic": "audit", "group": "other"})),
                None,
            ),
            stream_job("p-materialize", json!({"job": "materialize"}), None),
        ];
        let source = |name: &str, topic: &str| -> EventSource {
            let source = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "EventSource",
                "metadata": {"name": name}, "spec": {"topic": topic, "action": "a"}});
            serde_json::from_value(source).unwrap()
        };
        let sources = [
            source("p-offers", "p-hire-scores"),
            source("p-mail", "p-alerts"),
        ];
        let all = stores(&[Store::Lake, Store::Mongodb], jobs);
        let found = of_platform(&platform, &all, &sources).unwrap();
        let detect = reader("d2", "telemetry", "detect");
        assert_eq!(found.before, BTreeSet::from([detect]));
        let expected = [
            reader("archive", "telemetry", "StreamJob p-archive"),
            reader("mine", "offers", "StreamJob mine"),
            reader(
                "materialize-vehicles",
                "telemetry",
                "StreamJob p-materialize",
            ),
            reader("materialize-alerts", "alerts", "StreamJob p-materialize"),
            reader("dispatch-p-offers", "hire-scores", "EventSource p-offers"),
        ];
        assert_eq!(found.stores, BTreeSet::from(expected));
        assert_eq!(found.longest, PATIENCE + Duration::from_secs(3600));
        let nothing = of_platform(&platform, &stores(&[], Vec::new()), &sources).unwrap();
        assert!(nothing.before.is_empty() && nothing.stores.is_empty());
    }

    fn answers(answers: Vec<(&'static str, Value)>) -> Gateway {
        let exchanges = answers.into_iter().map(|(status, answer)| Exchange {
            asked: "POST /v1/erasures/pending",
            status,
            next: None,
            answer,
        });
        gateway(exchanges.collect())
    }

    fn archive(longest: Duration) -> Readers {
        Readers {
            before: BTreeSet::new(),
            stores: BTreeSet::from([reader("archive", "telemetry", "StreamJob p-archive")]),
            longest,
        }
    }

    #[tokio::test]
    async fn it_is_asked_until_nobody_waits() {
        let one = json!({"group": "archive", "topic": "telemetry", "offsets": 5});
        let ends = json!({"telemetry": {"0": 5}});
        let gateway = answers(vec![
            ("200 OK", json!({"pending": [one], "ends": ends})),
            (
                "503 Away",
                json!({"error": {"problem": "no broker", "cure": "wait"}}),
            ),
            ("200 OK", json!({"pending": [], "ends": ends})),
        ]);
        let readers = archive(Duration::from_secs(60));
        readers.wait_every(&gateway, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_come_to_the_end_is_named() {
        let one = json!({"group": "archive", "topic": "telemetry", "offsets": 5});
        let answer = json!({"pending": [one], "ends": {"telemetry": {"0": 5}}});
        let gateway = answers(vec![("200 OK", answer)]);
        let readers = archive(Duration::ZERO);
        let told = readers.wait_every(&gateway, Duration::ZERO).await;
        let told = told.unwrap_err().to_string();
        for part in [
            "StreamJob p-archive",
            "topic telemetry",
            "the mapping was kept",
        ] {
            assert!(told.contains(part), "{told}");
        }
        // What is refused for good is not asked again, and what is no answer does not count as one.
        let refused = json!({"error": {"problem": "no", "cure": "ask"}});
        for (status, answer, says) in [
            ("403 No", refused, "403"),
            ("200 OK", json!({}), "no `pending`"),
        ] {
            let gateway = answers(vec![(status, answer)]);
            let readers = archive(Duration::from_secs(60));
            let told = readers.wait_every(&gateway, Duration::ZERO).await;
            let told = told.unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
        }
    }
}
