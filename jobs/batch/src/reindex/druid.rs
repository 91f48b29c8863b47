//! What Druid is asked for: a task that takes the place of a day, and how it fares.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::ToSpan as _;
use jiff::civil::Date;
use millrace_contract::reindex::ReindexConfig;
use millrace_settings::{Secret, SettingsError};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// Most of what Druid says that is told again.
const TOLD_CHARS: usize = 300;
const TASKS: &str = "/druid/indexer/v1/task";

/// The task that loads a day from `url`, in place of all rows that the data source has of it.
///
/// # Errors
/// The configuration's `dataSchema` has no granularity, or the day is the last that there is.
pub fn task(config: &ReindexConfig, day: Date, url: &str) -> anyhow::Result<Value> {
    let next = day.checked_add(1.day())?;
    let interval = format!("{day}T00:00:00.000Z/{next}T00:00:00.000Z");
    let mut schema = config.data_schema.clone();
    let granularity = schema
        .get_mut("granularitySpec")
        .and_then(Value::as_object_mut);
    let granularity =
        granularity.context("the configuration's dataSchema has no granularitySpec")?;
    granularity.insert("intervals".to_owned(), json!([interval]));
    Ok(json!({
        "type": "index_parallel",
        "spec": {
            "dataSchema": schema,
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "http", "uris": [url]},
                "inputFormat": config.input_format,
                "appendToExisting": false,
                "dropExisting": true,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic"},
                // As the supervisor's tasks do.
                "maxParseExceptions": 1000,
                "maxSavedParseExceptions": 5,
                "logParseExceptions": true,
            },
        },
    }))
}

/// How a task fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fares {
    /// It waits for a worker, or for a lock on the day; or it runs.
    GoesOn,
    /// Its rows have taken the place of those before.
    Succeeded,
    /// What was before is still there.
    Failed(String),
}

/// The overlord of a Druid.
#[derive(Debug, Clone)]
pub struct Overlord {
    http: reqwest::Client,
    base: String,
    login: Option<(Secret, Secret)>,
}

impl Overlord {
    /// That at `http://host:port`, of a coordinator that is the overlord too or of a router. `login`: a folder with the files
    /// `username` and `password`.
    ///
    /// # Errors
    /// The address is none, or a file cannot be read.
    pub fn new(uri: &str, login: Option<&Path>) -> anyhow::Result<Self> {
        anyhow::ensure!(
            uri.starts_with("http://"),
            "--druid: {uri}: is no http:// address; give that of a router or of a coordinator that is the overlord too"
        );
        let http = reqwest::Client::builder()
            // The server is in the cluster; a proxy of the environment does not know it.
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            http,
            base: uri.trim_end_matches('/').to_owned(),
            login: login.map(read).transpose()?,
        })
    }

    /// Hands a task in, and gives its id.
    ///
    /// # Errors
    /// Druid cannot be reached, or does not take it.
    pub async fn submit(&self, task: &Value) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Taken {
            task: String,
        }
        let bytes = self.call(Method::POST, TASKS, Some(task)).await?;
        let taken: Taken = serde_json::from_slice(&bytes)?;
        Ok(taken.task)
    }

    /// How a task fares.
    ///
    /// # Errors
    /// Druid cannot be reached, or does not know it.
    pub async fn fares(&self, id: &str) -> anyhow::Result<Fares> {
        let path = format!("{TASKS}/{id}/status");
        let bytes = self.call(Method::GET, &path, None).await?;
        Ok(fares(&serde_json::from_slice(&bytes)?))
    }

    /// Ends a task that cannot come to a good end.
    ///
    /// # Errors
    /// Druid cannot be reached, or does not know it.
    pub async fn end(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("{TASKS}/{id}/shutdown");
        self.call(Method::POST, &path, Some(&json!({}))).await?;
        Ok(())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<bytes::Bytes> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user.expose(), Some(password.expose()));
        }
        let answer = request.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        anyhow::ensure!(
            status == StatusCode::OK,
            "{url}: {status}: {}",
            told(&bytes)
        );
        Ok(bytes)
    }
}

fn read(folder: &Path) -> Result<(Secret, Secret), SettingsError> {
    let of = |name: &str| Secret::from_file(&folder.join(name));
    Ok((of("username")?, of("password")?))
}

fn told(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(TOLD_CHARS).collect()
}

fn fares(answer: &Value) -> Fares {
    let status = answer.get("status");
    let text = |name: &str| {
        let found = status.and_then(|status| status.get(name));
        found.and_then(Value::as_str)
    };
    match text("statusCode").or_else(|| text("status")) {
        Some("SUCCESS") => Fares::Succeeded,
        Some("FAILED") => {
            let why = text("errorMsg").unwrap_or("it does not say why; see the log of its worker");
            Fares::Failed(told(why.as_bytes()))
        }
        _ => Fares::GoesOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_takes_the_place_of_one_day_and_is_else_as_the_supervisor() {
        let schema = json!({"dataSource": "cars", "dimensionsSpec": {"dimensions": []}, "granularitySpec":
            {"segmentGranularity": "DAY", "queryGranularity": "MINUTE", "rollup": true}});
        let config = ReindexConfig {
            data_schema: schema.clone(),
            input_format: json!({"type": "json"}),
            ..ReindexConfig::default()
        };
        let day = "2026-12-31".parse().unwrap();
        let task = task(&config, day, "http://10.0.0.7:8085/t/2026-12-31").unwrap();
        let mut expected = schema;
        expected["granularitySpec"]["intervals"] =
            json!(["2026-12-31T00:00:00.000Z/2027-01-01T00:00:00.000Z"]);
        assert_eq!(task["spec"]["dataSchema"], expected);
        assert_eq!(
            task["spec"]["ioConfig"],
            json!({"type": "index_parallel", "appendToExisting": false, "dropExisting": true,
                "inputSource": {"type": "http", "uris": ["http://10.0.0.7:8085/t/2026-12-31"]},
                "inputFormat": {"type": "json"}})
        );
        assert_eq!(task["type"], "index_parallel");
        let told = super::task(&ReindexConfig::default(), day, "").unwrap_err();
        assert!(told.to_string().contains("granularitySpec"), "{told}");
    }

    #[test]
    fn what_druid_says_of_a_task() {
        let of = |status: Value| fares(&json!({"task": "t", "status": status}));
        assert_eq!(of(json!({"statusCode": "RUNNING"})), Fares::GoesOn);
        assert_eq!(of(json!(null)), Fares::GoesOn);
        assert_eq!(of(json!({"statusCode": "SUCCESS"})), Fares::Succeeded);
        let failed = of(json!({"statusCode": "FAILED", "errorMsg": "no such host"}));
        assert_eq!(failed, Fares::Failed("no such host".into()));
        assert!(
            matches!(of(json!({"status": "FAILED"})), Fares::Failed(why) if why.contains("log"))
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let told = Overlord::new("druid:8081", None).unwrap_err().to_string();
        assert!(told.starts_with("--druid: druid:8081: "), "{told}");
        Overlord::new("http://druid:8081/", None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let login = Some(folder.path());
        assert!(Overlord::new("http://druid:8081", login).is_err());
        std::fs::write(folder.path().join("username"), "admin").unwrap();
        std::fs::write(folder.path().join("password"), "hidden").unwrap();
        let shown = format!("{:?}", Overlord::new("http://druid:8081", login).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
