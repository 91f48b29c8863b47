//! The client.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::DruidError;
use super::model::{FailedTask, Newest, Sampled, Supervisor, SupervisorState};
use super::way::{Credentials, DruidAt, Way};
use crate::ingestion::NEWEST;
use crate::url::percent_encoded;

/// Failed tasks that are looked for among the last ones.
const LAST_TASKS: usize = 20;
/// Druid waits so long for Kafka in a trial run, and then says why.
const TRIAL: Duration = Duration::from_secs(10);

const SUPERVISORS: &str = "/druid/indexer/v1/supervisor";
const RULES: &str = "/druid/coordinator/v1/rules";
const COMPACTION: &str = "/druid/coordinator/v1/config/compaction";

/// A client of one Druid.
#[derive(Clone, Debug)]
pub struct DruidClient {
    way: Way,
    /// Of the process that is coordinator and overlord.
    coordinator: String,
    /// Of the broker.
    broker: String,
}

impl DruidClient {
    /// A client of the coordinator (which is the overlord too) and the broker, each `http://host:port`, of a Druid that asks
    /// nobody who he is. Both may be a router.
    ///
    /// # Errors
    /// [`DruidError::Address`].
    pub fn new(coordinator: &str, broker: &str, timeout: Duration) -> Result<Self, DruidError> {
        let at = DruidAt {
            coordinator: coordinator.to_owned(),
            broker: broker.to_owned(),
            credentials: Credentials::default(),
        };
        Self::at(&at, timeout)
    }

    /// A client of the Druid that is described so.
    ///
    /// # Errors
    /// [`DruidError::Address`].
    pub fn at(at: &DruidAt, timeout: Duration) -> Result<Self, DruidError> {
        let wrong = |value: &str, problem: String| DruidError::Address {
            value: value.to_owned(),
            problem,
        };
        let (scheme, coordinator) = base(&at.coordinator)?;
        let (of_broker, broker) = base(&at.broker)?;
        if of_broker != scheme {
            let problem =
                format!("the coordinator speaks {scheme}, and both are asked the same way");
            return Err(wrong(&at.broker, problem));
        }
        let way = Way::new(&scheme, &at.credentials, timeout)
            .map_err(|problem| wrong(&at.coordinator, problem))?;
        Ok(Self {
            way,
            coordinator,
            broker,
        })
    }

    /// A supervisor, or `None`.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn supervisor(&self, name: &str) -> Result<Option<Supervisor>, DruidError> {
        let path = format!("{SUPERVISORS}/{}", percent_encoded(name));
        let found = self.get(&path, &format!("read supervisor {name}")).await;
        absent(found).map(|spec| spec.map(|spec| Supervisor { spec }))
    }

    /// How a supervisor fares, or `None` when there is none.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn state(&self, name: &str) -> Result<Option<SupervisorState>, DruidError> {
        let asked = format!("read the state of supervisor {name}");
        let path = format!("{SUPERVISORS}/{}/status", percent_encoded(name));
        let found: Option<Value> = absent(self.get(&path, &asked).await)?;
        found
            .map(|value| {
                let payload = value.get("payload").cloned().unwrap_or_default();
                serde_json::from_value(payload).map_err(|error| unclear(&asked, &error))
            })
            .transpose()
    }

    /// Tries a specification of a supervisor on the first records of its topic. Nothing is stored, and what runs is not touched.
    ///
    /// # Errors
    /// [`DruidError`]; one that [`DruidError::is_invalid`] when the specification is not accepted, or Kafka not reached.
    pub async fn sample(&self, spec: &Value) -> Result<Sampled, DruidError> {
        let mut tried = spec.clone();
        let consumer = tried.pointer_mut("/spec/ioConfig/consumerProperties");
        if let Some(consumer) = consumer.and_then(Value::as_object_mut) {
            // Or a Kafka that does not answer is waited for longer than we wait for Druid.
            let limit = TRIAL.as_millis().to_string();
            consumer.insert("default.api.timeout.ms".into(), json!(limit));
            consumer.insert("request.timeout.ms".into(), json!(limit));
        }
        let body = json!({"type": spec.get("type"), "spec": tried,
            "samplerConfig": {"numRows": 20, "timeoutMs": 5000}});
        let asked = "try the specification";
        self.send(Method::POST, "/druid/indexer/v1/sampler", &body, asked)
            .await
    }

    /// Starts a supervisor, in place of the one of its name.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn submit(&self, spec: &Value) -> Result<(), DruidError> {
        let asked = "start the supervisor";
        let _: Value = self.send(Method::POST, SUPERVISORS, spec, asked).await?;
        Ok(())
    }

    /// Lets a supervisor read on, or stop reading after what it has read is stored.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn set_suspended(&self, name: &str, suspended: bool) -> Result<(), DruidError> {
        let verb = if suspended { "suspend" } else { "resume" };
        self.tell(name, verb).await.map(|_| ())
    }

    /// Ends a supervisor; `false` when there was none. Rows stay.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn terminate(&self, name: &str) -> Result<bool, DruidError> {
        absent(self.tell(name, "terminate").await).map(|told| told.is_some())
    }

    async fn tell(&self, name: &str, verb: &str) -> Result<Value, DruidError> {
        let path = format!("{SUPERVISORS}/{}/{verb}", percent_encoded(name));
        let asked = format!("{verb} supervisor {name}");
        self.send(Method::POST, &path, &Value::Null, &asked).await
    }

    /// The rules of how long rows of a data source are kept; empty where the cluster's own hold.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn rules(&self, source: &str) -> Result<Vec<Value>, DruidError> {
        let path = format!("{RULES}/{}", percent_encoded(source));
        self.get(&path, &format!("read the rules of {source}"))
            .await
    }

    /// Sets those rules.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn set_rules(&self, source: &str, rules: &[Value]) -> Result<(), DruidError> {
        let path = format!("{RULES}/{}", percent_encoded(source));
        let asked = format!("set the rules of {source}");
        let _: Value = self
            .send(Method::POST, &path, &json!(rules), &asked)
            .await?;
        Ok(())
    }

    /// How rows of a data source are merged, or `None` when they are not.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn compaction(&self, source: &str) -> Result<Option<Value>, DruidError> {
        let path = format!("{COMPACTION}/{}", percent_encoded(source));
        absent(
            self.get(&path, &format!("read the compaction of {source}"))
                .await,
        )
    }

    /// Sets that.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn set_compaction(&self, config: &Value) -> Result<(), DruidError> {
        let asked = "set the compaction";
        let _: Value = self.send(Method::POST, COMPACTION, config, asked).await?;
        Ok(())
    }

    /// Merges rows of a data source no more.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn remove_compaction(&self, source: &str) -> Result<(), DruidError> {
        let path = format!("{COMPACTION}/{}", percent_encoded(source));
        let asked = format!("remove the compaction of {source}");
        let told: Result<Value, _> = self.send(Method::DELETE, &path, &Value::Null, &asked).await;
        absent(told).map(|_| ())
    }

    /// The last tasks of a data source that ended badly, the latest first.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn failed_tasks(&self, source: &str) -> Result<Vec<FailedTask>, DruidError> {
        let path = format!(
            "/druid/indexer/v1/tasks?state=complete&max={LAST_TASKS}&datasource={}",
            percent_encoded(source)
        );
        let mut tasks: Vec<FailedTask> = self
            .get(&path, &format!("list the tasks of {source}"))
            .await?;
        tasks.retain(|task| task.status.as_deref() == Some("FAILED"));
        tasks.sort_by(|a, b| b.created.cmp(&a.created));
        Ok(tasks)
    }

    /// Rows of an answer to a question in SQL.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn sql(&self, query: &str) -> Result<Vec<Map<String, Value>>, DruidError> {
        let body = json!({"query": query});
        let url = format!("{}/druid/v2/sql", self.broker);
        self.call(Method::POST, &url, Some(&body), "ask in SQL")
            .await
    }

    /// The newest event that an answer counts, of all vehicles and of one, looked for from `since` on (milliseconds of the
    /// epoch). Where all are older, that of all is exact to the granularity of the rows only.
    ///
    /// # Errors
    /// [`DruidError`].
    pub async fn newest(
        &self,
        source: &str,
        vehicle: &str,
        since: i64,
    ) -> Result<Newest, DruidError> {
        let (table, vehicle) = (source.replace('"', "\"\""), vehicle.replace('\'', "''"));
        let query = format!(
            "SELECT MAX(\"{NEWEST}\") AS a, MAX(\"{NEWEST}\") FILTER (WHERE vehicle = '{vehicle}') AS o, COUNT(*) AS n \
             FROM \"{table}\" WHERE __time >= MILLIS_TO_TIMESTAMP({since})"
        );
        let number = |rows: &[Map<String, Value>], name: &str| rows.first()?.get(name)?.as_i64();
        let rows = self.sql(&query).await?;
        if number(&rows, "n").is_some_and(|rows| rows > 0) {
            // Rows of a time before there was that column have none, and the largest of none is no time.
            let time = |name| number(&rows, name).filter(|time| *time > 0);
            return Ok(Newest {
                of_all: time("a"),
                of_one: time("o"),
            });
        }
        let query = format!("SELECT MAX(__time) AS a FROM \"{table}\"");
        let rows = self.sql(&query).await?;
        let time = rows.first().and_then(|row| row.get("a")?.as_str());
        let time = time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Ok(Newest {
            // The largest of no rows is the least that there is.
            of_all: time.map(|time| time.as_millisecond()).filter(|ms| *ms > 0),
            of_one: None,
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, asked: &str) -> Result<T, DruidError> {
        let url = format!("{}{path}", self.coordinator);
        self.call(Method::GET, &url, None, asked).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        asked: &str,
    ) -> Result<T, DruidError> {
        let url = format!("{}{path}", self.coordinator);
        let body = Some(body).filter(|body| !body.is_null());
        self.call(method, &url, body, asked).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        asked: &str,
    ) -> Result<T, DruidError> {
        let body = body.map(|body| body.to_string().into_bytes());
        let sent = self.way.ask(method, url.to_owned(), body).await;
        let (status, bytes) = sent.map_err(|problem| DruidError::Unreachable {
            address: self.coordinator.clone(),
            asked: asked.to_owned(),
            problem,
        })?;
        if !status.is_success() {
            return Err(DruidError::refused(asked, status.as_u16(), &bytes));
        }
        // What changes something often answers with nothing.
        let bytes: &[u8] = if bytes.is_empty() || status == StatusCode::NO_CONTENT {
            b"null"
        } else {
            &bytes
        };
        serde_json::from_slice(bytes).map_err(|error| unclear(asked, &error))
    }
}

/// The scheme of an address, and the address without what ends it.
fn base(uri: &str) -> Result<(String, String), DruidError> {
    let wrong = |problem: String| DruidError::Address {
        value: uri.to_owned(),
        problem,
    };
    let base = uri.trim().trim_end_matches('/');
    let parsed = reqwest::Url::parse(base).map_err(|error| wrong(error.to_string()))?;
    match parsed.scheme() {
        scheme @ ("http" | "https") => Ok((scheme.to_owned(), base.to_owned())),
        other => Err(wrong(format!("scheme {other} is not spoken here"))),
    }
}

fn unclear(asked: &str, error: &serde_json::Error) -> DruidError {
    DruidError::Answer {
        asked: asked.to_owned(),
        problem: error.to_string(),
    }
}

fn absent<T>(found: Result<T, DruidError>) -> Result<Option<T>, DruidError> {
    match found {
        Err(error) if error.is_not_found() => Ok(None),
        found => found.map(Some),
    }
}
