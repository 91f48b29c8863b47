//! From an HTTP request to the input of a web action. Pure.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::media::Media;
use crate::api::ApiError;
use crate::api::json_problem::describe;
use crate::api::query::Query;

/// Fields in which an action finds the request; no caller may give them.
pub const RESERVED: [&str; 6] = [
    "__ow_method",
    "__ow_headers",
    "__ow_path",
    "__ow_user",
    "__ow_query",
    "__ow_body",
];

/// Headers about the connection and the body's form on it: they are no part of the request.
const OF_THE_CONNECTION: [header::HeaderName; 3] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// The type of a body that names none.
const UNKNOWN: &str = "application/octet-stream";

/// A request as an action sees it.
#[derive(Debug)]
pub struct Context<'a> {
    /// The method, like `GET`.
    pub method: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// What follows the action's name in the path, as it was sent.
    pub path: &'a str,
    /// The query, as it was sent.
    pub query: &'a str,
    /// The namespace of a caller who gave a key of this server.
    pub user: Option<&'a str>,
}

/// The body as a value.
///
/// # Errors
/// [`ApiError`] for malformed JSON.
pub fn read_body(
    content_type: Option<&str>,
    bytes: &[u8],
    raw: bool,
) -> Result<Option<Value>, ApiError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let media = Media::parse(content_type.unwrap_or(UNKNOWN));
    let is = |check: fn(&Media) -> bool| media.as_ref().is_some_and(check);
    if !raw && is(Media::is_json) {
        return serde_json::from_slice(bytes)
            .map(Some)
            .map_err(|error| ApiError::malformed(describe(bytes, &error)));
    }
    if !raw && is(|media| media.essence == "application/x-www-form-urlencoded") {
        let form = Query::parse(&String::from_utf8_lossy(bytes));
        return Ok(Some(Value::Object(strings(&form))));
    }
    // The real server encodes JSON that it does not read itself.
    if is(|media| media.is_text() && media.essence != "application/json") {
        return Ok(Some(json!(String::from_utf8_lossy(bytes))));
    }
    Ok(Some(json!(STANDARD.encode(bytes))))
}

/// Parameters as text; of repeated ones the last counts.
fn strings(query: &Query) -> Map<String, Value> {
    query
        .pairs()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

impl Context<'_> {
    /// What the action gets: with `raw` the query and the body as they are, else their fields, those of the body
    /// over those of the query.
    ///
    /// # Errors
    /// [`ApiError`] when the caller gives a field that is reserved or among `immutable`.
    pub fn input<'i>(
        &self,
        body: Option<Value>,
        raw: bool,
        immutable: impl Iterator<Item = &'i str>,
    ) -> Result<Map<String, Value>, ApiError> {
        let mut given = if raw {
            Map::from_iter([("__ow_query".to_owned(), json!(self.query))])
        } else {
            strings(&Query::parse(self.query))
        };
        let mut boxed = None;
        match body {
            Some(Value::Object(fields)) if !raw => given.extend(fields),
            Some(value) => boxed = Some(value),
            None => boxed = raw.then(|| json!("")),
        }
        let mut forbidden = RESERVED.into_iter().chain(immutable);
        if !raw && forbidden.any(|name| given.contains_key(name)) {
            return Err(ApiError::rejected(
                400,
                "Request defines parameters that are not allowed (e.g., reserved properties).",
            ));
        }
        let mut input = Map::from_iter([
            (
                "__ow_method".to_owned(),
                json!(self.method.to_ascii_lowercase()),
            ),
            ("__ow_headers".to_owned(), Value::Object(self.headers())),
            ("__ow_path".to_owned(), json!(self.path)),
        ]);
        if let Some(user) = self.user {
            input.insert("__ow_user".to_owned(), json!(user));
        }
        input.extend(given);
        if let Some(body) = boxed {
            input.insert("__ow_body".to_owned(), body);
        }
        Ok(input)
    }

    /// The headers that an action gets: without a key of this server, which the real one passes on and so
    /// writes into stored records. Other credentials are the action's own matter.
    fn headers(&self) -> Map<String, Value> {
        self.headers
            .iter()
            .filter(|(name, _)| !OF_THE_CONNECTION.contains(name))
            .filter(|(name, _)| self.user.is_none() || *name != header::AUTHORIZATION)
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), json!(text))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    fn context<'a>(headers: &'a HeaderMap, user: Option<&'a str>) -> Context<'a> {
        Context {
            method: "POST",
            headers,
            path: "/x",
            query: "a=1&b=2&b=3&c",
            user,
        }
    }

    #[test]
    fn body_over_query_and_the_last_of_repeated_ones() {
        let headers = headers(&[("x-a", "1"), ("content-length", "7")]);
        let input = context(&headers, None)
            .input(
                Some(json!({ "a": 2, "d": true })),
                false,
                std::iter::empty(),
            )
            .unwrap();
        assert_eq!(
            Value::Object(input),
            json!({ "__ow_method": "post", "__ow_headers": { "x-a": "1" }, "__ow_path": "/x",
                "a": 2, "b": "3", "c": "", "d": true })
        );
    }

    #[test]
    fn reserved_and_final_fields_are_refused_unless_the_action_is_raw() {
        let none = HeaderMap::new();
        let context = context(&none, None);
        let refused = |body: Value, raw| {
            context
                .input(Some(body), raw, ["p"].into_iter())
                .map_err(|error| error.status)
        };
        assert_eq!(refused(json!({ "__ow_user": 1 }), false), Err(400));
        assert_eq!(refused(json!({ "p": 1 }), false), Err(400));
        let raw = refused(json!("text"), true).unwrap();
        assert_eq!(
            (&raw["__ow_body"], &raw["__ow_query"]),
            (&json!("text"), &json!("a=1&b=2&b=3&c"))
        );
    }

    #[test]
    fn a_key_of_this_server_stays_here_and_other_credentials_go_on() {
        let headers = headers(&[("authorization", "Bearer x"), ("cookie", "c=1")]);
        let input = |user| {
            context(&headers, user)
                .input(None, false, std::iter::empty())
                .unwrap()
        };
        assert_eq!(input(None)["__ow_headers"]["authorization"], "Bearer x");
        let known = input(Some("me"));
        assert_eq!(known["__ow_headers"], json!({ "cookie": "c=1" }));
        assert_eq!(known["__ow_user"], "me");
    }

    #[test]
    fn bodies_by_type() {
        let read = |kind, bytes: &[u8], raw| read_body(kind, bytes, raw).unwrap();
        assert_eq!(read(None, b"", false), None);
        assert_eq!(
            read(Some("application/ld+json"), b"[1]", false),
            Some(json!([1]))
        );
        assert_eq!(
            read(Some("application/json"), b"[1]", true),
            Some(json!("WzFd"))
        );
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(
            read(form, b"k=1&m=x%20y&k=2", false),
            Some(json!({ "k": "2", "m": "x y" }))
        );
        assert_eq!(read(form, b"k=1", true), Some(json!("k=1")));
        assert_eq!(read(None, b"\0\x01", false), Some(json!("AAE=")));
        assert_eq!(
            read(Some("text/plain; charset=utf-8"), b"hi", false),
            Some(json!("hi"))
        );
        assert_eq!(
            read_body(Some("application/json"), b"{", false)
                .unwrap_err()
                .status,
            400
        );
    }
}
