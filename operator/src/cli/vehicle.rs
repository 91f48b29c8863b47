//! `millrace vehicle`: credentials of vehicles.

use std::io::Write;

use clap::Subcommand;
use serde_json::Value;

use super::gateway::Method;
use super::{Gateway, Output, table};
use crate::url::percent_encoded;

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
        Command::Revoke { id } => gateway.call(Method::Delete, &path(id), &[]).await?,
        Command::Show { id } => gateway.call(Method::Get, &path(id), &[]).await?,
        Command::List => gateway.call(Method::Get, "/v1/vehicles", &[]).await?,
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
