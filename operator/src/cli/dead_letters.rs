//! `millrace dead-letters`: what could not be processed.

use std::io::Write;

use clap::Subcommand;
use serde_json::Value;

use super::gateway::Method;
use super::{Gateway, Output, Role, table};
use crate::url::percent_encoded;

/// What can be done with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Lists them, the newest first
    List {
        /// How many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
        /// Only of this vehicle
        #[arg(long, value_name = "ID")]
        vehicle: Option<String>,
        /// Only those whose reason holds this text
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only from this topic or channel
        #[arg(long, value_name = "TOPIC")]
        topic: Option<String>,
    },
    /// Shows one with its payload
    Show {
        /// Its id, PARTITION-OFFSET
        id: String,
        /// Open what was sealed because it may name a driver; needs the administrator's token
        #[arg(long)]
        open: bool,
    },
    /// Sends them again to where they came from
    Redrive {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Also those that were sent again before
        #[arg(long)]
        again: bool,
    },
}

impl Command {
    /// The least role that may do it.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Show { open: true, .. } => Role::Administrator,
            _ => Role::Operations,
        }
    }
}

/// Does it.
///
/// # Errors
/// The gateway refuses, or the output is closed. Of several redrives the first failure ends it; what was sent before is
/// printed.
pub async fn run(
    gateway: &Gateway,
    command: Command,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match command {
        Command::List {
            limit,
            vehicle,
            reason,
            topic,
        } => {
            let mut query = vec![("limit", limit.to_string())];
            let given = [("vehicle", vehicle), ("reason", reason), ("topic", topic)];
            query.extend(given.into_iter().filter_map(|(k, v)| Some((k, v?))));
            let answer = gateway
                .call(Method::Get, "/v1/dead-letters", &query)
                .await?;
            match output {
                Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
                Output::Table => rows(out, letters(&answer))?,
            }
        }
        Command::Show { id, .. } => {
            let path = format!("/v1/dead-letters/{}", percent_encoded(&id));
            let answer = gateway.call(Method::Get, &path, &[]).await?;
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        }
        Command::Redrive { ids, again } => {
            let query: Vec<(&str, String)> = if again {
                vec![("again", "true".into())]
            } else {
                Vec::new()
            };
            for id in ids {
                let path = format!("/v1/dead-letters/{}/redrive", percent_encoded(&id));
                let answer = gateway
                    .call(Method::Post, &path, &query)
                    .await
                    .map_err(|e| anyhow::Error::new(e).context(id.clone()))?;
                match output {
                    Output::Json => writeln!(out, "{answer}")?,
                    Output::Table => writeln!(out, "{id} sent again")?,
                }
            }
        }
    }
    Ok(())
}

/// The list, whether bare or in a field.
fn letters(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[], Vec::as_slice)
}

fn rows(out: &mut impl Write, letters: &[Value]) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|l| {
            let field = table::cell(&l["reason"]["field"]);
            let problem = table::cell(&l["reason"]["problem"]);
            let reason = if field.is_empty() {
                problem
            } else {
                format!("{field}: {problem}")
            };
            vec![
                table::cell(&l["id"]),
                table::cell(&l["time"]),
                table::cell(&l["vehicle"]),
                table::cell(&l["source"]),
                table::cell(&l["attempts"]),
                reason,
            ]
        })
        .collect();
    table::write(
        out,
        &["ID", "TIME", "VEHICLE", "SOURCE", "ATTEMPTS", "REASON"],
        &rows,
    )
}
