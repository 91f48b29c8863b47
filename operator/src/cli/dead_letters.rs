//! `millrace dead-letters`: what could not be processed.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::Value;

use super::gateway::Method;
use super::{Gateway, Output, Role, table};
use crate::url::percent_encoded;

const LARGEST_PAGE: usize = 500;
/// After that long the list is given as far as it is, with a word on how to go on.
const LONGEST_SEARCH: Duration = Duration::from_secs(60);

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
        /// Go on where an earlier list ended, as that one said
        #[arg(long, value_name = "CURSOR")]
        before: Option<String>,
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
            before,
        } => {
            let given = [("vehicle", vehicle), ("reason", reason), ("topic", topic)];
            let filter: Vec<(&str, String)> = given
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let (found, more) = search(gateway, limit, &filter, before).await?;
            match output {
                Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
                Output::Table | Output::Yaml => rows(out, &found)?,
            }
            if let Some(cursor) = more {
                // Not among the answers, which may be read by a program.
                eprintln!("older letters were not looked at; go on with --before {cursor}");
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
                    Output::Table | Output::Yaml => writeln!(out, "{id} sent again")?,
                }
            }
        }
    }
    Ok(())
}

// One call of the gateway looks at so many letters only, and may find none among them. Gives what was found and,
// when not all was looked at, where to go on.
async fn search(
    gateway: &Gateway,
    limit: u32,
    filter: &[(&str, String)],
    before: Option<String>,
) -> anyhow::Result<(Vec<Value>, Option<String>)> {
    let since = Instant::now();
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut found, mut before): (Vec<Value>, _) = (Vec::new(), before);
    loop {
        let left = wanted.saturating_sub(found.len()).min(LARGEST_PAGE);
        let mut query = vec![("limit", left.to_string())];
        query.extend(filter.iter().cloned());
        query.extend(before.take().map(|cursor| ("before", cursor)));
        let mut page = gateway.page("/v1/dead-letters", &query).await?;
        before = page.next_parameter("before").map(str::to_owned);
        if let Some(part) = page.answer.as_array_mut() {
            found.append(part);
        }
        if before.is_none() || found.len() >= wanted || since.elapsed() > LONGEST_SEARCH {
            return Ok((found, before));
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::gateway::tests::{Exchange, gateway};
    use super::*;

    #[tokio::test]
    async fn what_lies_beyond_one_call_is_found() {
        let filter = [("vehicle", "car".to_owned())];
        let one = |id: &str| json!([{ "id": id }]);
        let first = || Exchange {
            asked: "GET /v1/dead-letters?limit=2&vehicle=car",
            status: "200 OK",
            next: Some("/v1/dead-letters?limit=2&vehicle=car&before=0-900"),
            answer: json!([]),
        };
        let second = |next| Exchange {
            asked: "GET /v1/dead-letters?limit=2&vehicle=car&before=0-900",
            status: "200 OK",
            next,
            answer: one("0-5"),
        };
        let all = gateway(vec![first(), second(None)]);
        let (found, more) = search(&all, 2, &filter, None).await.unwrap();
        assert_eq!((json!(found), more), (one("0-5"), None));

        let older = "/v1/dead-letters?limit=2&vehicle=car&before=0-5";
        let third = Exchange {
            asked: "GET /v1/dead-letters?limit=1&vehicle=car&before=0-5",
            status: "200 OK",
            next: Some("/v1/dead-letters?limit=1&vehicle=car&before=0-3"),
            answer: one("0-3"),
        };
        let full = gateway(vec![first(), second(Some(older)), third]);
        let (found, more) = search(&full, 2, &filter, None).await.unwrap();
        assert_eq!((found.len(), more.as_deref()), (2, Some("0-3")));
    }
}
