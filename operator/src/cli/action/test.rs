//! `millrace action test`: the action in an embedded OpenWhisk of its own, for one activation.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use millrace_whisk::auth::{Subject, Subjects};
use millrace_whisk::kinds::Kinds;
use millrace_whisk::serve::Server;
use millrace_whisk::settings::{Bounds, Isolation, PoolSettings, Retention, Settings, Throttles};
use serde_json::{Value, json};

use super::super::Output;
use super::build::{Built, Code};
use super::object;
use crate::remote::openwhisk::{
    ActionPut, Activation, Exec, Invocation, Invoked, Limits, WhiskClient,
};

/// Builds the action and runs it once, isolated and bounded as a server does it; prints its log and its result
#[derive(Clone, Debug, Args)]
pub struct Command {
    #[command(flatten)]
    code: Code,
    /// Its input, a JSON object, or @FILE with one
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE")]
    params: String,
    #[command(flatten)]
    limits: LimitArguments,
    /// How it is kept from everything else; `none` where the kernel has no Landlock
    #[arg(long, default_value = "landlock")]
    isolation: Isolation,
}

/// Limits of an activation.
#[derive(Clone, Debug, Args)]
pub struct LimitArguments {
    /// How long it may take, in milliseconds (100 to 300000)
    #[arg(long, default_value_t = 60_000, value_name = "N", value_parser = clap::value_parser!(i64).range(100..=300_000))]
    timeout_milliseconds: i64,
    /// Its memory (128 to 512)
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(i64).range(128..=512))]
    memory_megabytes: i64,
    /// Its log (0 to 10)
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=10))]
    logs_megabytes: i64,
}

impl LimitArguments {
    /// As the API has them.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            timeout: self.timeout_milliseconds,
            memory: self.memory_megabytes,
            logs: self.logs_megabytes,
        }
    }
}

/// What is sent to make the action.
#[must_use]
pub fn put(built: &Built, kind: &str, limits: Limits) -> ActionPut {
    ActionPut {
        exec: Some(Exec {
            kind: kind.to_owned(),
            code: Some(STANDARD.encode(&built.zip)),
            binary: Some(true),
            ..Exec::default()
        }),
        limits: Some(limits),
        ..ActionPut::default()
    }
}

/// The name of the action while it is tried.
const NAME: &str = "tried";

/// Does it. Gives the exit code: 1 when the activation was no success.
///
/// # Errors
/// It cannot be built or started.
pub async fn run(command: &Command, output: Output, out: &mut impl Write) -> anyhow::Result<u8> {
    let params = Value::Object(object("--params", &command.params)?);
    let built = command.code.built()?;
    let directory = tempfile::tempdir().context("a folder for the action to run in")?;
    let (user, key) = (
        uuid::Uuid::new_v4().to_string(),
        uuid::Uuid::new_v4().simple(),
    );
    let credentials = format!("{user}:{key}{key}");
    let server =
        Server::start(settings(directory.path(), &credentials, command.isolation)?).await?;
    let uri = format!("http://{}", server.address);
    let client = WhiskClient::new(&uri, &user, &format!("{key}{key}"), Duration::from_secs(30))?;
    client
        .put_action(
            NAME,
            &put(&built, "native:default", command.limits.limits()),
            true,
        )
        .await?;
    let begun = Instant::now();
    let record = activation(&client, &params).await?;
    let took = begun.elapsed();
    server.stop().await;
    tell(&built, &record, took, output, out)?;
    Ok(u8::from(!record.response.success))
}

/// Its whole record, however long it takes: its own limit ends it.
async fn activation(client: &WhiskClient, params: &Value) -> anyhow::Result<Activation> {
    let how = Invocation {
        blocking: true,
        timeout_ms: None,
    };
    let id = match client.invoke(NAME, params, how).await? {
        Invoked::Finished(record) => record.id,
        Invoked::Started(id) => id,
    };
    // Three times what an activation may last at most.
    let end = Instant::now() + Duration::from_secs(900);
    while Instant::now() < end {
        // The answer has no log; the record has.
        if let Some(record) = client.activation(&id).await? {
            return Ok(record);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the activation {id} has no end");
}

fn tell(
    built: &Built,
    record: &Activation,
    took: Duration,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let response = &record.response;
    if output == Output::Json {
        let told = json!({
            "name": built.name, "sha256": built.sha256, "status": response.status, "success": response.success,
            "result": response.result, "logs": record.logs,
        });
        writeln!(out, "{told}")?;
        return Ok(());
    }
    for line in &record.logs {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", serde_json::to_string_pretty(&response.result)?)?;
    // Its start, which is the slower part, and one activation.
    let took = took.as_secs_f64() * 1000.0;
    writeln!(
        out,
        "{}: {} in {took:.1} ms from cold",
        built.name, response.status
    )?;
    Ok(())
}

fn settings(directory: &Path, credentials: &str, isolation: Isolation) -> anyhow::Result<Settings> {
    let many = 1_000_000;
    Ok(Settings {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        metrics: None,
        data: directory.to_owned(),
        run: directory.join("run"),
        subjects: Subjects::new(vec![Subject::new("millrace", credentials)?]),
        kinds: Kinds::default(),
        bounds: Bounds::default(),
        throttles: Throttles {
            invocations_per_minute: many,
            fires_per_minute: many,
            concurrent: many,
        },
        retention: Retention {
            count: 100,
            age: Duration::from_secs(3600),
            bytes: 1 << 26,
        },
        pool: PoolSettings {
            // This program, which is the action's launcher too: see `child`.
            launcher: std::env::current_exe().context("the program's own file")?,
            isolation,
            memory: 2048,
            instances: 1,
            idle: Duration::from_secs(600),
            processes: 32,
            wait: Duration::from_secs(60),
            prewarmed: 0,
            disk: 1024,
            reap: false,
        },
        pods: None,
        api_host: None,
        audit: None,
        grace: Duration::from_secs(1),
    })
}
