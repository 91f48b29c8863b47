//! `millrace flow`: how records move through a platform.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::{Output, Place, reach, table};
use crate::types::{GROUP, VERSION};

/// Brings a terminal's cursor to its first place and clears what follows (ECMA-48: CUP, ED).
const REDRAW: &str = "\x1b[H\x1b[J";
const EVERY: Duration = Duration::from_secs(2);
const HEADINGS: [&str; 8] = [
    "STAGE",
    "TOPIC",
    "GROUP",
    "PRODUCED",
    "CONSUMED",
    "LAG",
    "LAG SECONDS",
    "CANARY SECONDS",
];

/// Shows how records move through the stages of a platform, and where they wait
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// The Platform; not needed where the namespace has only one
    #[arg(value_name = "PLATFORM")]
    name: Option<String>,
    /// Show it again whenever it has changed, until interrupted: in a terminal in the place of the former, else below it
    #[arg(long, short)]
    watch: bool,
}

/// Does it. Gives the exit code: 1 where the canary is stuck.
///
/// # Errors
/// Kubernetes refuses, or there is no such Platform.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let (client, namespace) = reach::client(place).await?;
    let wanted = command.name.as_deref().or(place.platform.as_deref());
    let name = reach::platform(&client, &namespace, wanted).await?;
    let kind = GroupVersionKind::gvk(GROUP, VERSION, "Platform");
    let resource = ApiResource::from_gvk_with_plural(&kind, "platforms");
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let redraws = command.watch && place.output == Output::Table && std::io::stdout().is_terminal();
    let mut shown = Value::Null;
    loop {
        let platform = api.get(&name).await?;
        let flow = &platform.data["status"]["flow"];
        if *flow != shown || shown.is_null() {
            if redraws {
                write!(out, "{REDRAW}")?;
            }
            tell(out, flow, place.output)?;
            out.flush()?;
            shown = flow.clone();
        }
        if !command.watch {
            return Ok(u8::from(!flow["canary"]["stuckAt"].is_null()));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(out: &mut impl Write, flow: &Value, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(flow)?)?;
        return Ok(());
    }
    let stages = flow["stages"].as_array().cloned().unwrap_or_default();
    if stages.is_empty() {
        writeln!(
            out,
            "Nothing is known of the flow yet: the operator looks once Kafka is available."
        )?;
        return Ok(());
    }
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        other => table::cell(other),
    };
    let rows: Vec<Vec<String>> = stages
        .iter()
        .map(|stage| {
            [
                "stage",
                "topic",
                "group",
                "endOffset",
                "committedOffset",
                "lagRecords",
                "lagSeconds",
                "canarySeconds",
            ]
            .iter()
            .map(|field| cell(&stage[*field]))
            .collect()
        })
        .collect();
    table::write(out, &HEADINGS, &rows)?;
    for stage in &stages {
        if let Some(message) = stage["message"].as_str() {
            writeln!(out, "{}: {message}", cell(&stage["stage"]))?;
        }
        if let Some(seconds) = stage["newestSeconds"].as_i64() {
            writeln!(
                out,
                "{}: the newest event that answers count was {seconds} s ago",
                cell(&stage["stage"])
            )?;
        }
    }
    let canary = &flow["canary"];
    if let Some(stage) = canary["stuckAt"].as_str() {
        writeln!(
            out,
            "canary {}, sent {}: stuck before {stage}",
            cell(&canary["id"]),
            cell(&canary["sent"])
        )?;
    } else if let Some(sent) = canary["sent"].as_str() {
        writeln!(out, "canary {}, sent {sent}", cell(&canary["id"]))?;
    }
    writeln!(out, "seen {}", cell(&flow["observed"]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stages_are_rows_and_what_is_not_known_is_a_dash() {
        let flow = json!({"observed": "t2", "canary": {"id": "c-1", "sent": "t1", "stuckAt": "detected"}, "stages": [
            {"stage": "produced", "topic": "telemetry", "endOffset": 10},
            {"stage": "served", "topic": "telemetry", "newestSeconds": 5},
            {"stage": "detected", "topic": "telemetry", "group": "detect", "endOffset": 10, "committedOffset": 7, "lagRecords": 2, "lagSeconds": 5, "message": "away"}]});
        let mut out = Vec::new();
        tell(&mut out, &flow, Output::Table).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            ["produced", "telemetry", "-", "10", "-", "-", "-", "-"]
        );
        assert_eq!(lines[2][0], "served");
        assert!(text.contains("served: the newest event that answers count was 5 s ago\n"));
        assert_eq!(
            lines[3],
            ["detected", "telemetry", "detect", "10", "7", "2", "5", "-"]
        );
        assert!(
            text.contains("detected: away\ncanary c-1, sent t1: stuck before detected\nseen t2\n"),
            "{text}"
        );
    }

    #[test]
    fn no_flow_is_said() {
        let mut out = Vec::new();
        tell(&mut out, &Value::Null, Output::Table).unwrap();
        assert!(
            String::from_utf8(out)
                .unwrap()
                .starts_with("Nothing is known")
        );
    }
}
