//! The REST API, in the shape of the real server's answers.

mod actions;
mod activations;
mod body;
mod info;
mod json_problem;
mod packages;
mod pretty;
mod query;
mod reply;
mod rules;
mod triggers;
mod web;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;

pub use reply::{ApiError, Reply};

use crate::auth::{Denied, Subject, not_authorized};
use crate::invoke::Engine;
use crate::kinds::Kinds;
use crate::metrics::CodeLabel;
use crate::name::{FullName, check, transaction_id};
use crate::settings::Settings;
use crate::throttle::Throttle;
use query::Query;

/// The header in which a client may bring its transaction id.
const TRANSACTION: &str = "x-request-id";

/// The header with an activation's id.
const ACTIVATION_ID: &str = "x-openwhisk-activation-id";

/// What the API works on.
pub struct Api {
    /// Runs actions.
    pub engine: Arc<Engine>,
    /// As started.
    pub settings: Settings,
    /// Counts invocations.
    pub throttle: Arc<Throttle>,
}

impl Api {
    fn kinds(&self) -> &Kinds {
        &self.settings.kinds
    }
}

/// A request on its way.
struct Call<'a> {
    subject: &'a Subject,
    transaction: &'a str,
    method: &'a Method,
    headers: &'a HeaderMap,
    query: Query,
    body: Body,
}

/// Answers any request.
pub async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let given = request
        .headers()
        .get(TRANSACTION)
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let transaction = given
        .filter(|id| !id.is_empty() && id.len() <= 128)
        .unwrap_or_else(transaction_id);
    let json_only = !accepts_json(request.headers());
    let reply = route(&api, &transaction, request)
        .await
        .unwrap_or_else(Reply::from);
    let reply = if json_only && reply.is_json() && reply.status.is_success() {
        not_acceptable()
    } else {
        reply
    };
    api.engine
        .metrics
        .requests
        .get_or_create(&CodeLabel {
            code: reply.status.as_u16(),
        })
        .inc();
    reply.into_response(&transaction)
}

fn not_acceptable() -> Reply {
    ApiError::route(
        406,
        "Resource representation is only available with these types:\napplication/json",
    )
    .into()
}

/// Whether the client takes JSON; without a header it takes anything.
fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
    else {
        return true;
    };
    accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .any(|range| matches!(range, "*/*" | "application/*" | "application/json" | "*"))
}

/// The answer of a path that leads nowhere.
fn not_found() -> ApiError {
    ApiError::route(404, "The requested resource could not be found.")
}

/// The answer for an entity that is not there.
fn missing() -> ApiError {
    ApiError::rejected(404, "The requested resource does not exist.")
}

/// The answer for what is not open to the caller.
fn forbidden(what: &impl std::fmt::Display) -> ApiError {
    ApiError::rejected(403, not_authorized(what))
}

/// The answer for a name that an entity of another kind has.
fn elsewhere() -> ApiError {
    ApiError::rejected(
        409,
        "Resource by this name exists but is not in this collection.",
    )
}

/// Whether an entity has a name: as in the real server, all kinds of them share the names of a namespace.
fn is_taken(engine: &Engine, name: &FullName) -> bool {
    engine.actions.get(name).is_some()
        || engine.packages.get(name).is_some()
        || engine.links.trigger(name).is_some()
        || engine.links.rule(name).is_some()
}

/// The answer for an entity that is not in its collection: `otherwise`, unless another kind has its name.
fn absent(engine: &Engine, name: &FullName, otherwise: ApiError) -> ApiError {
    if is_taken(engine, name) {
        elsewhere()
    } else {
        otherwise
    }
}

/// An entity that is there is written with `overwrite` alone, a new one when its name is free. The caller holds
/// the packages, so that no name is taken twice.
fn may_write(
    engine: &Engine,
    name: &FullName,
    there: bool,
    overwrite: bool,
) -> Result<(), ApiError> {
    if there && !overwrite {
        return Err(ApiError::rejected(409, "resource already exists"));
    }
    // What was there twice before names were shared can still be changed.
    if !there && is_taken(engine, name) {
        return Err(elsewhere());
    }
    Ok(())
}

async fn route(api: &Api, transaction: &str, request: Request) -> Result<Reply, ApiError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    match (path.as_str(), &parts.method) {
        ("/", &Method::GET) => return Ok(info::server(&api.settings)),
        ("/ping" | "/healthz", &Method::GET) => return Ok(Reply::text("pong")),
        ("/readyz", &Method::GET) => return Ok(Reply::text("ready")),
        ("/volume", &Method::GET) => return Ok(info::volume(&api.settings.data)),
        ("/invokers", &Method::GET) => return Ok(info::invokers()),
        _ => {}
    }
    let Some(rest) = path
        .strip_prefix("/api/v1")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    else {
        return Err(
            ApiError::route(405, "HTTP method not allowed, supported methods: OPTIONS")
                .with_header("Allow", "OPTIONS"),
        );
    };
    if let Some(target) = web::Target::parse(rest) {
        return Ok(web::route(api, transaction, &parts, body, &target).await);
    }
    if parts.method == Method::OPTIONS {
        return Ok(Reply::text("OK").with_cors());
    }
    if matches!(rest, "" | "/") && parts.method == Method::GET {
        return Ok(info::api());
    }
    let header = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let subject = api
        .settings
        .subjects
        .identify(header)
        .map_err(unauthorized)?;
    let segments = rest
        .split('/')
        .skip(1)
        .map(query::decode_path)
        .collect::<Option<Vec<String>>>()
        .ok_or_else(not_found)?;
    let call = Call {
        subject,
        transaction,
        method: &parts.method,
        headers: &parts.headers,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body,
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    dispatch(api, call, &segments).await
}

async fn dispatch(api: &Api, call: Call<'_>, segments: &[&str]) -> Result<Reply, ApiError> {
    let get = call.method == Method::GET;
    match segments {
        ["namespaces"] | ["namespaces", ""] if get => Ok(Reply::json(
            200,
            serde_json::json!([call.subject.namespace]),
        )),
        ["namespaces", namespace, "limits"] if get => {
            own(&call, namespace, None)?;
            Ok(info::limits(&api.settings))
        }
        ["namespaces", namespace, "actions", rest @ ..] => {
            actions::route(api, call, namespace, rest).await
        }
        ["namespaces", namespace, "activations", rest @ ..] => {
            activations::route(api, call, namespace, rest).await
        }
        ["namespaces", namespace, "triggers", rest @ ..] => {
            triggers::route(api, call, namespace, rest).await
        }
        ["namespaces", namespace, "rules", rest @ ..] => {
            rules::route(api, call, namespace, rest).await
        }
        ["namespaces", namespace, "packages", rest @ ..] => {
            packages::route(api, call, namespace, rest).await
        }
        _ => Err(not_found()),
    }
}

/// Only the own namespace may be used, by its name or as `_`.
fn own<'a>(call: &'a Call<'_>, namespace: &str, entity: Option<&str>) -> Result<&'a str, ApiError> {
    let own = call.subject.namespace.as_str();
    if namespace == "_" || namespace == own {
        return Ok(own);
    }
    let what = entity.map_or_else(
        || namespace.to_owned(),
        |entity| format!("{namespace}/{entity}"),
    );
    Err(forbidden(&what))
}

/// The entity of the own namespace that a path names, when the method is one that entities know.
fn own_entity(call: &Call<'_>, namespace: &str, name: &str) -> Result<FullName, ApiError> {
    if ![Method::GET, Method::PUT, Method::DELETE, Method::POST].contains(call.method) {
        return Err(not_found());
    }
    check(name).map_err(|error| ApiError::route(400, error.to_string()))?;
    Ok(FullName {
        namespace: own(call, namespace, Some(name))?.to_owned(),
        name: name.to_owned(),
    })
}

fn unauthorized(denied: Denied) -> ApiError {
    let text = match denied {
        Denied::Missing => {
            "The resource requires authentication, which was not supplied with the request"
        }
        Denied::Wrong => "The supplied authentication is invalid",
    };
    ApiError::route(StatusCode::UNAUTHORIZED.as_u16(), text).with_header(
        "WWW-Authenticate",
        "Basic realm=\"OpenWhisk secure realm\",charset=UTF-8",
    )
}

/// Work on the disk, away from the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "work on the store ended early");
            Err(ApiError::rejected(
                500,
                "There was an internal server error.",
            ))
        }
    }
}
