//! From an action's result to an HTTP answer, by the extension that was asked for. Pure.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::media::Media;
use crate::api::pretty::pretty;
use crate::api::{ApiError, Reply};
use crate::put::is_binary;

/// What of a result is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Status, headers and body as the result says.
    Http,
    /// The result itself.
    Json,
    /// Its field `html` or `body`.
    Html,
    /// Its field `svg` or `body`.
    Svg,
    /// Its field `text` or `body`.
    Text,
}

impl Extension {
    /// Splits `name.extension`; without one of the known extensions it is `.http`.
    pub fn split(name: &str) -> (&str, Self) {
        for (end, extension) in [
            (".http", Self::Http),
            (".json", Self::Json),
            (".html", Self::Html),
            (".svg", Self::Svg),
            (".text", Self::Text),
        ] {
            if let Some(name) = name.strip_suffix(end) {
                return (name, extension);
            }
        }
        (name, Self::Http)
    }

    /// The answer.
    ///
    /// # Errors
    /// [`ApiError`] when the result has not what the extension asks for.
    pub fn render(self, result: &Value) -> Result<Reply, ApiError> {
        match self {
            Self::Http => http(result),
            Self::Json if result.is_object() || result.is_array() => {
                Ok(Reply::bare_json(200, result.clone()))
            }
            Self::Json => Err(invalid("application/json")),
            Self::Html => page(result, "html", "text/html"),
            Self::Svg => page(result, "svg", "image/svg+xml"),
            Self::Text => text(result),
        }
    }
}

fn invalid(media: &str) -> ApiError {
    ApiError::rejected(400, format!("Response is not valid '{media}'."))
}

fn mismatch() -> ApiError {
    ApiError::rejected(
        400,
        "Response type in header did not match generated content type.",
    )
}

/// The part of a result that a page is made of.
fn part<'a>(result: &'a Value, field: &str) -> Option<&'a Value> {
    match result {
        Value::Object(fields) => fields.get("body").or_else(|| fields.get(field)),
        other => Some(other),
    }
}

fn page(result: &Value, field: &str, media: &str) -> Result<Reply, ApiError> {
    match part(result, field) {
        Some(Value::String(page)) => typed(StatusCode::OK, media, page.as_bytes().to_vec()),
        _ => Err(invalid(media)),
    }
}

fn text(result: &Value) -> Result<Reply, ApiError> {
    let text = match part(result, "text") {
        None => {
            return Err(ApiError::rejected(
                404,
                "Response does not include requested property.",
            ));
        }
        Some(Value::String(text)) => text.clone(),
        Some(value) => pretty(value),
    };
    typed(StatusCode::OK, "text/plain", text.into_bytes())
}

/// Bytes of a type that is known to be one.
fn typed(status: StatusCode, media: &str, bytes: Vec<u8>) -> Result<Reply, ApiError> {
    let header = Media::parse(media)
        .and_then(|media| HeaderValue::from_str(&media.header()).ok())
        .ok_or_else(unknown_type)?;
    Ok(Reply::bytes(status, header, bytes))
}

fn unknown_type() -> ApiError {
    ApiError::rejected(400, "Response did not specify a known content-type.")
}

/// `{statusCode, headers, body}`.
fn http(result: &Value) -> Result<Reply, ApiError> {
    let problem = || invalid("message/http");
    let fields = result.as_object().ok_or_else(problem)?;
    let headers = headers(fields).ok_or_else(problem)?;
    let status = match fields.get("statusCode") {
        None => None,
        Some(code) => Some(status(code).ok_or_else(problem)?),
    };
    let media = headers
        .iter()
        .rev()
        .find(|(name, _)| name == header::CONTENT_TYPE)
        .map(|(_, value)| value.to_str().ok().and_then(Media::parse));
    let ok = status.unwrap_or(StatusCode::OK);
    let reply = match fields.get("body") {
        None | Some(Value::Null) => Reply::empty(status.unwrap_or(StatusCode::NO_CONTENT)),
        Some(Value::String(body)) if body.is_empty() => {
            Reply::empty(status.unwrap_or(StatusCode::NO_CONTENT))
        }
        Some(Value::String(body)) => words(ok, media, body)?,
        Some(body) => value(ok, media, body)?,
    };
    // The type follows from the body; about the connection the server decides.
    let own = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::DATE,
    ];
    Ok(headers
        .into_iter()
        .filter(|(name, _)| !own.contains(name))
        .fold(reply, |reply, (name, value)| {
            reply.with_further(name, value)
        }))
}

/// A body of text: as it is, or decoded when its type is not one of text.
fn words(status: StatusCode, media: Option<Option<Media>>, body: &str) -> Result<Reply, ApiError> {
    let media = match media {
        Some(media) => media.ok_or_else(unknown_type)?,
        None => return typed(status, "text/html", body.as_bytes().to_vec()),
    };
    let plain = match media.is_json() {
        true => !is_binary(body),
        false => media.is_text(),
    };
    let bytes = match plain {
        true => body.as_bytes().to_vec(),
        false => STANDARD.decode(body).map_err(|_| mismatch())?,
    };
    let header = HeaderValue::from_str(&media.header()).map_err(|_| unknown_type())?;
    Ok(Reply::bytes(status, header, bytes))
}

/// A body of any other JSON.
fn value(
    status: StatusCode,
    media: Option<Option<Media>>,
    body: &Value,
) -> Result<Reply, ApiError> {
    match media {
        None => Ok(Reply::bare_json(status.as_u16(), body.clone())),
        Some(Some(media)) if media.essence == "application/json" => {
            Ok(Reply::bare_json(status.as_u16(), body.clone()))
        }
        Some(Some(media)) if media.is_json() => {
            typed(status, &media.essence, pretty(body).into_bytes())
        }
        Some(_) => Err(mismatch()),
    }
}

fn status(code: &Value) -> Option<StatusCode> {
    let number = match code {
        Value::String(text) => text.parse::<u16>().ok()?,
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0)?;
            // Exact: a status has three digits.
            (200.0..600.0).contains(&whole).then_some(whole as u16)?
        }
        _ => return None,
    };
    // A status below 200 says that the answer is still to come.
    (200..600)
        .contains(&number)
        .then(|| StatusCode::from_u16(number).ok())?
}

/// All headers, a list as several; `None` when one cannot be a header.
fn headers(fields: &Map<String, Value>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut all = Vec::new();
    match fields.get("headers") {
        None => {}
        Some(Value::Object(headers)) => {
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                push(&name, value, &mut all)?;
            }
        }
        Some(_) => return None,
    }
    Some(all)
}

fn push(name: &HeaderName, value: &Value, all: &mut Vec<(HeaderName, HeaderValue)>) -> Option<()> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => {
            return values.iter().try_for_each(|value| push(name, value, all));
        }
        Value::Null | Value::Object(_) => return None,
    };
    all.push((name.clone(), HeaderValue::from_str(&text).ok()?));
    Some(())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    /// Status, type, body and a header `x-a` of an answer.
    async fn shown(
        extension: Extension,
        result: Value,
    ) -> Result<(u16, String, String, Vec<String>), String> {
        let reply = extension
            .render(&result)
            .map_err(|error| format!("{} {}", error.status, error.message))?;
        let response = reply.into_response("t");
        let of = |name: &str| {
            response
                .headers()
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (status, kind, further) = (
            response.status().as_u16(),
            of("content-type").concat(),
            of("x-a"),
        );
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((status, kind, body, further))
    }

    #[test]
    fn extensions() {
        assert_eq!(Extension::split("a.json"), ("a", Extension::Json));
        assert_eq!(Extension::split("a.xyz"), ("a.xyz", Extension::Http));
        assert_eq!(Extension::split("a.b.svg"), ("a.b", Extension::Svg));
    }

    #[tokio::test]
    async fn http_answers() {
        let http = |result| shown(Extension::Http, result);
        let full = json!({ "statusCode": "201", "body": "hi",
            "headers": { "X-A": ["1", 2, true], "Content-Type": "text/plain", "Content-Length": "99" } });
        assert_eq!(
            http(full).await.unwrap(),
            (
                201,
                "text/plain; charset=UTF-8".to_owned(),
                "hi".to_owned(),
                ["1", "2", "true"].map(str::to_owned).to_vec()
            )
        );
        let (status, kind, body, _) = http(json!({ "body": { "a": [1] } })).await.unwrap();
        assert_eq!(
            (status, kind.as_str(), body.as_str()),
            (200, "application/json", "{\"a\":[1]}")
        );
        assert_eq!(http(json!({})).await.unwrap().0, 204);
        assert_eq!(http(json!({ "body": "" })).await.unwrap().0, 204);
        let picture = json!({ "headers": { "content-type": "image/png" }, "body": "aGk=" });
        let (_, kind, body, _) = http(picture).await.unwrap();
        assert_eq!((kind.as_str(), body.as_str()), ("image/png", "hi"));
        let problem = json!({ "headers": { "content-type": "application/problem+json" }, "body": { "a": 1 } });
        let (_, kind, body, _) = http(problem).await.unwrap();
        assert_eq!(
            (kind.as_str(), body.as_str()),
            ("application/problem+json", "{\n  \"a\": 1\n}")
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        let media = "400 Response is not valid 'message/http'.";
        let kind = "400 Response type in header did not match generated content type.";
        for (result, told) in [
            (json!({ "statusCode": 999 }), media),
            (json!({ "statusCode": 100 }), media),
            (json!({ "statusCode": 200.5 }), media),
            (json!({ "statusCode": "x" }), media),
            (json!("text"), media),
            (json!({ "headers": [] }), media),
            (json!({ "headers": { "a b": "1" } }), media),
            (json!({ "headers": { "a": "1\r\nb: 2" } }), media),
            (
                json!({ "headers": { "content-type": "weird" }, "body": "x" }),
                "400 Response did not specify a known content-type.",
            ),
            (
                json!({ "headers": { "content-type": "image/png" }, "body": "***" }),
                kind,
            ),
            (
                json!({ "headers": { "content-type": "text/plain" }, "body": 1 }),
                kind,
            ),
        ] {
            assert_eq!(
                shown(Extension::Http, result.clone()).await.unwrap_err(),
                told,
                "{result}"
            );
        }
    }

    #[tokio::test]
    async fn pages() {
        let page = |extension, result| shown(extension, result);
        let (_, kind, body, _) = page(Extension::Svg, json!({ "svg": "<svg/>" }))
            .await
            .unwrap();
        assert_eq!((kind.as_str(), body.as_str()), ("image/svg+xml", "<svg/>"));
        let (_, _, body, _) = page(Extension::Text, json!({ "text": 5, "body": [1] }))
            .await
            .unwrap();
        assert_eq!(body, "[1]");
        assert_eq!(
            page(Extension::Text, json!({ "a": 1 })).await.unwrap_err(),
            "404 Response does not include requested property."
        );
        assert_eq!(
            page(Extension::Html, json!({ "html": 1 }))
                .await
                .unwrap_err(),
            "400 Response is not valid 'text/html'."
        );
        assert_eq!(
            page(Extension::Json, json!("bad")).await.unwrap_err(),
            "400 Response is not valid 'application/json'."
        );
    }
}
