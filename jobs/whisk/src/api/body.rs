//! Bodies.

use axum::body::to_bytes;
use axum::http::header;
use serde_json::{Map, Value};

use crate::api::json_problem::describe;
use crate::api::{ApiError, Call};

/// Around the code of an action there is room for the rest of its document.
const SLACK: usize = 16 * 1024 * 1024;

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An entity; its parts have sizes of their own.
    Entity,
    /// The input of an invocation; there may be none.
    Input,
}

/// Reads a body that has to be a JSON object.
///
/// # Errors
/// [`ApiError`] for another type, malformed JSON, or too much of it.
pub async fn object(
    call: &mut Call<'_>,
    largest: usize,
    purpose: Purpose,
) -> Result<Map<String, Value>, ApiError> {
    let body = std::mem::take(&mut call.body);
    let declared = call
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    // Somewhat too large a body is read to its end: many a client sends all of it before it reads an answer.
    let bytes = match to_bytes(body, largest.saturating_add(SLACK)).await {
        Ok(bytes) => bytes,
        Err(_) => {
            let length = declared.unwrap_or(largest.saturating_add(SLACK));
            return Err(too_large(length, largest));
        }
    };
    if purpose == Purpose::Input {
        if bytes.is_empty() {
            return Ok(Map::new());
        }
        if bytes.len() > largest {
            return Err(too_large(bytes.len(), largest));
        }
    }
    check_type(call, bytes.is_empty())?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::malformed("JSON object expected")),
        Err(error) => Err(ApiError::malformed(describe(&bytes, &error))),
    }
}

/// The answer to too large a body.
pub fn too_large(length: usize, largest: usize) -> ApiError {
    ApiError::rejected(
        413,
        format!("Request larger than allowed: {length} > {largest} bytes."),
    )
}

fn check_type(call: &Call<'_>, empty: bool) -> Result<(), ApiError> {
    let given = call
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given.map(|value| {
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    });
    match essence.as_deref() {
        Some("application/json") => Ok(()),
        None if empty => Ok(()),
        other => Err(ApiError::route(
            415,
            format!(
                "The request's Content-Type [{}] is not supported. Expected:\napplication/json",
                other.unwrap_or("application/octet-stream")
            ),
        )),
    }
}
