//! Answers, and the errors among them.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::store::StoreError;

const ALLOWED_HEADERS: &str =
    "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent";
const ALLOWED_METHODS: &str = "GET, DELETE, POST, PUT, HEAD";

/// A refusal, in the real server's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// What is told.
    pub message: String,
    /// Whether browsers of other origins may see it: the real server says so once a request has
    /// passed its routing, and not for what fails there.
    cors: bool,
    header: Option<(&'static str, &'static str)>,
}

impl ApiError {
    /// A refusal by an entity's own rules.
    pub fn rejected(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            cors: true,
            header: None,
        }
    }

    /// A refusal by routing, names or parameters.
    pub fn route(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            cors: false,
            header: None,
        }
    }

    /// A body that cannot be read.
    pub fn malformed(problem: impl AsRef<str>) -> Self {
        Self::route(
            400,
            format!("The request content was malformed:\n{}", problem.as_ref()),
        )
    }

    /// A query parameter that cannot be read.
    pub fn parameter(name: &str, problem: impl AsRef<str>) -> Self {
        Self::route(
            400,
            format!(
                "The query parameter '{name}' was malformed:\n{}",
                problem.as_ref()
            ),
        )
    }

    /// With a header more.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::rejected(500, "There was an internal server error.")
    }
}

#[derive(Debug)]
enum Content {
    Json(Value),
    Text(&'static str),
    Nothing,
    Error(String),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    content: Content,
    cors: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    fn new(status: u16, content: Content, cors: Option<&'static str>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            content,
            cors,
            headers: Vec::new(),
        }
    }

    /// JSON that browsers of any origin may see.
    pub fn json(status: u16, value: Value) -> Self {
        Self::new(status, Content::Json(value), Some(ALLOWED_METHODS))
    }

    /// JSON without a word about other origins.
    pub fn bare_json(status: u16, value: Value) -> Self {
        Self::new(status, Content::Json(value), None)
    }

    /// A word.
    pub fn text(text: &'static str) -> Self {
        Self::new(200, Content::Text(text), None)
    }

    /// No content, with a status that says so.
    pub fn nothing() -> Self {
        Self::new(204, Content::Nothing, Some(ALLOWED_METHODS))
    }

    /// Lets browsers of any origin see it.
    #[must_use]
    pub fn with_cors(mut self) -> Self {
        self.cors = Some(ALLOWED_METHODS);
        self
    }

    /// The same for other methods.
    #[must_use]
    pub fn with_methods(mut self, methods: &'static str) -> Self {
        self.cors = Some(methods);
        self
    }

    /// With a header more.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// Whether it is JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.content, Content::Json(_) | Content::Error(_))
    }

    /// As it goes out.
    pub fn into_response(self, transaction: &str) -> Response<Body> {
        let (content_type, body) = match self.content {
            Content::Json(value) => (Some("application/json"), value.to_string()),
            Content::Text(text) => (Some("text/plain; charset=UTF-8"), text.to_owned()),
            Content::Nothing => (None, String::new()),
            Content::Error(text) => (
                Some("application/json"),
                json!({ "error": text, "code": transaction }).to_string(),
            ),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Ok(transaction) = HeaderValue::from_str(transaction) {
            headers.insert("x-request-id", transaction);
        }
        if let Some(methods) = self.cors {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(ALLOWED_HEADERS),
            );
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(methods),
            );
        }
        headers.extend(self.headers);
        response
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let mut reply = Self::new(
            error.status,
            Content::Error(error.message),
            error.cors.then_some(ALLOWED_METHODS),
        );
        if let Some((name, value)) = error.header
            && let Ok(name) = HeaderName::try_from(name)
        {
            reply.headers.push((name, HeaderValue::from_static(value)));
        }
        reply
    }
}
