//! Answers, and the errors among them.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::api::pretty::pretty;
use crate::store::StoreError;

const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
);
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

    /// Without a word about other origins.
    #[must_use]
    pub fn without_cors(mut self) -> Self {
        self.cors = false;
        self
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
    Bytes(HeaderValue, Vec<u8>),
    Nothing,
    Error(String),
}

/// What browsers of other origins may do.
#[derive(Debug)]
struct Cors {
    methods: &'static str,
    headers: HeaderValue,
}

impl Cors {
    fn of(methods: &'static str) -> Self {
        Self {
            methods,
            headers: ALLOWED_HEADERS,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    content: Content,
    cors: Option<Cors>,
    headers: Vec<(HeaderName, HeaderValue)>,
    pretty: bool,
    nameless: bool,
}

impl Reply {
    fn new(status: u16, content: Content, cors: Option<&'static str>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            content,
            cors: cors.map(Cors::of),
            headers: Vec::new(),
            pretty: false,
            nameless: false,
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

    /// Bytes of a type.
    pub fn bytes(status: StatusCode, content_type: HeaderValue, bytes: Vec<u8>) -> Self {
        Self::new(status.as_u16(), Content::Bytes(content_type, bytes), None)
    }

    /// A status alone.
    pub fn empty(status: StatusCode) -> Self {
        Self::new(status.as_u16(), Content::Nothing, None)
    }

    /// No content, with a status that says so.
    pub fn nothing() -> Self {
        Self::new(204, Content::Nothing, Some(ALLOWED_METHODS))
    }

    /// Lets browsers of any origin see it.
    #[must_use]
    pub fn with_cors(mut self) -> Self {
        self.cors = Some(Cors::of(ALLOWED_METHODS));
        self
    }

    /// The same for other methods.
    #[must_use]
    pub fn with_methods(mut self, methods: &'static str) -> Self {
        self.cors = Some(Cors::of(methods));
        self
    }

    /// The same for other methods and for the headers that a browser asked for.
    #[must_use]
    pub fn with_methods_and_headers(
        mut self,
        methods: &'static str,
        headers: Option<&HeaderValue>,
    ) -> Self {
        self.cors = Some(Cors {
            methods,
            headers: headers.cloned().unwrap_or(ALLOWED_HEADERS),
        });
        self
    }

    /// With its JSON laid out for people, as the real server does under `/web`.
    #[must_use]
    pub fn prettily(mut self) -> Self {
        self.pretty = true;
        self
    }

    /// Without the transaction's id, as the real server answers when it failed itself.
    #[must_use]
    pub fn nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// A word about a fault of the server.
    pub fn fault(text: &'static str) -> Self {
        Self::new(500, Content::Text(text), None)
    }

    /// With a header more, besides others of its name.
    #[must_use]
    pub fn with_further(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
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
        let json = HeaderValue::from_static("application/json");
        let text = HeaderValue::from_static("text/plain; charset=UTF-8");
        let shown = |value: Value| match self.pretty {
            true => pretty(&value).into_bytes(),
            false => value.to_string().into_bytes(),
        };
        let (content_type, body) = match self.content {
            Content::Json(value) => (Some(json), shown(value)),
            Content::Text(word) => (Some(text), word.as_bytes().to_vec()),
            Content::Bytes(content_type, bytes) => (Some(content_type), bytes),
            Content::Nothing => (None, Vec::new()),
            Content::Error(text) => (
                Some(json),
                shown(json!({ "error": text, "code": transaction })),
            ),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        if let Ok(transaction) = HeaderValue::from_str(transaction)
            && !self.nameless
        {
            headers.insert("x-request-id", transaction);
        }
        if let Some(cors) = self.cors {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, cors.headers);
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(cors.methods),
            );
        }
        // What an action says of other origins stands in the place of what the server says.
        for (name, _) in &self.headers {
            headers.remove(name);
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
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
