//! `millrace vehicle`: credentials of vehicles.

use std::io::Write;

use clap::Subcommand;
use serde_json::{Value, json};

use super::gateway::Method;
use super::{Gateway, Output, table};
use crate::url::percent_encoded;

const LARGEST_PAGE: u32 = 10_000;

/// What can be done with a vehicle's credentials.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Gives a vehicle its token; refused when it has one
    Enrol {
        /// The vehicle's id: 1 to 64 of A-Z a-z 0-9 . _ -
        id: String,
    },
    /// Gives an enrolled vehicle a new token
    Rotate {
        /// The vehicle's id
        id: String,
        /// How long the old token works on, in seconds; without it the open session is cut at once
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        grace: u32,
    },
    /// Takes the token away and cuts the open session
    Revoke {
        /// The vehicle's id
        id: String,
    },
    /// Says whether a vehicle is enrolled
    Show {
        /// The vehicle's id
        id: String,
    },
    /// Lists the enrolled vehicles
    List,
}

/// Does it.
///
/// # Errors
/// The gateway refuses, or the output is closed.
pub async fn run(
    gateway: &Gateway,
    command: Command,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let path = |id: &str| format!("/v1/vehicles/{}", percent_encoded(id));
    let answer = match &command {
        Command::Enrol { id } => {
            // Enrolling again would end the session of a vehicle that drives: that has to be asked for by its name.
            if known(gateway, &path(id)).await? {
                anyhow::bail!(
                    "{id}: enrolled already; give it a new token with `millrace vehicle rotate {id}`"
                );
            }
            gateway.call(Method::Put, &path(id), &[]).await?
        }
        Command::Rotate { id, grace } => {
            if !known(gateway, &path(id)).await? {
                anyhow::bail!("{id}: not enrolled; do so with `millrace vehicle enrol {id}`");
            }
            let query = [("grace_seconds", grace.to_string())];
            gateway.call(Method::Put, &path(id), &query).await?
        }
        Command::Revoke { id } => {
            // The gateway would call it done, and somebody would believe that a stolen vehicle is locked out.
            if !known(gateway, &path(id)).await? {
                anyhow::bail!(
                    "{id}: not enrolled, so nothing was revoked; `millrace vehicle list` shows the ids"
                );
            }
            gateway.call(Method::Delete, &path(id), &[]).await?
        }
        Command::Show { id } => gateway.call(Method::Get, &path(id), &[]).await?,
        Command::List => all(gateway).await?,
    };
    if output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(());
    }
    match command {
        // The token alone, so that it can be piped to where the vehicle is set up.
        Command::Enrol { .. } | Command::Rotate { .. } => {
            writeln!(out, "{}", table::cell(&answer["token"]))?;
        }
        Command::Revoke { id } => writeln!(out, "{id} revoked")?,
        Command::Show { .. } => rows(out, std::slice::from_ref(&answer))?,
        Command::List => {
            let empty = Vec::new();
            rows(out, answer["vehicles"].as_array().unwrap_or(&empty))?;
        }
    }
    Ok(())
}

async fn all(gateway: &Gateway) -> anyhow::Result<Value> {
    let limit = [("limit", LARGEST_PAGE.to_string())];
    let mut page = gateway.page("/v1/vehicles", &limit).await?;
    let mut vehicles = Vec::new();
    loop {
        if let Some(part) = page.answer["vehicles"].as_array_mut() {
            vehicles.append(part);
        }
        let Some(next) = page.next else {
            return Ok(json!({ "vehicles": vehicles }));
        };
        page = gateway.page(&next, &[]).await?;
    }
}

fn rows(out: &mut impl Write, vehicles: &[Value]) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = vehicles
        .iter()
        .map(|v| vec![table::cell(&v["vehicle"]), table::cell(&v["since"])])
        .collect();
    table::write(out, &["VEHICLE", "SINCE"], &rows)
}

async fn known(gateway: &Gateway, path: &str) -> anyhow::Result<bool> {
    match gateway.call(Method::Get, path, &[]).await {
        Ok(answer) => Ok(answer["enrolled"].as_bool().unwrap_or(false)),
        Err(super::GatewayError::Refused { status: 404, .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gateway::tests::{Exchange, gateway};
    use super::*;

    async fn written(gateway: &Gateway, command: Command) -> anyhow::Result<String> {
        let mut out = Vec::new();
        run(gateway, command, Output::Table, &mut out).await?;
        Ok(String::from_utf8(out)?)
    }

    #[tokio::test]
    async fn all_pages_are_listed() {
        let page = |ids: [&str; 2]| {
            let vehicles = ids.map(|id| json!({ "vehicle": id, "since": "2026-01-01T00:00:00Z" }));
            json!({ "vehicles": vehicles })
        };
        let gateway = gateway(vec![
            Exchange {
                asked: "GET /v1/vehicles?limit=10000",
                status: "200 OK",
                next: Some("/v1/vehicles?limit=10000&after=b"),
                answer: page(["a", "b"]),
            },
            Exchange {
                asked: "GET /v1/vehicles?limit=10000&after=b",
                status: "200 OK",
                next: None,
                answer: page(["c", "d"]),
            },
        ]);
        let text = written(&gateway, Command::List).await.unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.lines().last().unwrap().starts_with('d'), "{text}");
    }

    #[tokio::test]
    async fn who_is_not_enrolled_is_not_called_revoked() {
        let unknown = || Exchange {
            asked: "GET /v1/vehicles/car-x",
            status: "404 Not Found",
            next: None,
            answer: json!({}),
        };
        let id = || "car-x".to_owned();
        let error = written(&gateway(vec![unknown()]), Command::Revoke { id: id() })
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("car-x: not enrolled") && error.contains("vehicle list"),
            "{error}"
        );
        let enrolled = Exchange {
            status: "200 OK",
            answer: json!({ "enrolled": true }),
            ..unknown()
        };
        let gone = Exchange {
            asked: "DELETE /v1/vehicles/car-x",
            status: "200 OK",
            next: None,
            answer: json!({ "revoked": true }),
        };
        let gateway = gateway(vec![enrolled, gone]);
        let text = written(&gateway, Command::Revoke { id: id() }).await;
        assert_eq!(text.unwrap(), "car-x revoked\n");
    }
}
