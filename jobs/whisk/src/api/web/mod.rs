//! Web actions: `/api/v1/web/{namespace}/{package|default}/{action}[.extension][/path]`, for callers without a key.

mod context;
mod media;
mod render;

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use serde_json::Value;

use self::context::{Context, read_body};
use self::render::Extension;
use crate::action::Action;
use crate::activation::{Activation, Status};
use crate::api::actions::{LONGEST_WAIT, check_invocation};
use crate::api::body::too_large;
use crate::api::query::decode_path;
use crate::api::{ACTIVATION_ID, Api, ApiError, Reply, missing};
use crate::auth::{Subject, is_secret};
use crate::invoke::{Caller, now};
use crate::name::{FullName, check};
use crate::store::StoreError;
use crate::throttle::Entered;

/// What browsers of other origins may do with a web action.
const METHODS: &str = "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH";

/// The header with the value that an action's `require-whisk-auth` may ask for.
const REQUIRED: &str = "x-require-whisk-auth";

/// The package of actions that are in none.
const NO_PACKAGE: &str = "default";

/// Which action a path names, and as what its result is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    action: FullName,
    extension: Extension,
    /// What follows, as it was sent.
    path: String,
}

impl Target {
    /// Reads a path behind `/api/v1`; `None` when it names no web action.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/web/")?.splitn(4, '/');
        let mut name = || {
            let name = decode_path(parts.next()?)?;
            check(&name).is_ok().then_some(name)
        };
        let (namespace, package, leaf) = (name()?, name()?, name()?);
        let (leaf, extension) = Extension::split(&leaf);
        let name = match package.as_str() {
            NO_PACKAGE => leaf.to_owned(),
            package => format!("{package}/{leaf}"),
        };
        Some(Self {
            action: FullName { namespace, name },
            extension,
            path: parts
                .next()
                .map_or_else(String::new, |rest| format!("/{rest}")),
        })
    }
}

/// Answers a request to a web action.
pub async fn route(
    api: &Api,
    transaction: &str,
    parts: &Parts,
    body: Body,
    target: &Target,
) -> Reply {
    let answer = async {
        let length = parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        let largest = api.settings.bounds.payload_bytes;
        let fits = length <= largest;
        // A body that is somewhat too large is read as well: many a client sends all of it before it reads an answer.
        // Nobody had to show a key so far, so that nobody may take as long as they like.
        let bytes = tokio::time::timeout(LONGEST_WAIT, to_bytes(body, largest.saturating_mul(4)));
        let bytes = bytes.await.map_err(|_| {
            let seconds = LONGEST_WAIT.as_secs();
            ApiError::route(
                408,
                format!("The request's body did not come within {seconds} s; send it at once."),
            )
        })?;
        let bytes = bytes
            .ok()
            .filter(|bytes| fits && bytes.len() <= largest)
            .ok_or_else(|| {
                too_large(length.max(largest.saturating_add(1)), largest).without_cors()
            })?;
        let (owner, action, entered) = find(api, &target.action)?;
        let request = Request {
            transaction,
            parts,
            bytes: &bytes,
            target,
        };
        Ok(request.proceed(api, owner, action, entered).await)
    };
    answer
        .await
        .unwrap_or_else(|error: ApiError| Reply::from(error).prettily())
}

/// The action, if it is one for the web, and its owner, on whose account the call goes.
fn find(api: &Api, name: &FullName) -> Result<(Subject, Arc<Action>, Entered), ApiError> {
    let missing = || missing().without_cors();
    let owner = api
        .settings
        .subjects
        .of(&name.namespace)
        .ok_or_else(missing)?;
    let action = api
        .engine
        .action(name)
        .filter(|action| action.is("web-export"));
    let action = action.ok_or_else(missing)?;
    let entered = api
        .throttle
        .enter_guarded(&owner.namespace, Instant::now())
        .map_err(|error| ApiError::rejected(429, error.to_string()).without_cors())?;
    Ok((owner.clone(), action, entered))
}

struct Request<'a> {
    transaction: &'a str,
    parts: &'a Parts,
    bytes: &'a [u8],
    target: &'a Target,
}

impl Request<'_> {
    async fn proceed(
        &self,
        api: &Api,
        owner: Subject,
        action: Arc<Action>,
        entered: Entered,
    ) -> Reply {
        let options = self.parts.method == Method::OPTIONS;
        // An action may answer for other origins itself; then it is asked before anybody has a key.
        let own_cors = action.is("web-custom-options");
        let reply = if options && !own_cors {
            Reply::empty(StatusCode::OK)
        } else {
            let user = self.user(api);
            if !(options || self.may_call(&action, user)) {
                ApiError::rejected(
                    401,
                    "Authentication is possible but has failed or not yet been provided.",
                )
                .without_cors()
                .into()
            } else {
                match self.call(api, owner, &action, user, entered).await {
                    Ok(reply) => reply,
                    // What cannot be read is refused before the action's own rules are looked at.
                    Err(Refused::Unread(error)) => return error.into(),
                    Err(Refused::Unwanted(error)) => Reply::from(error.without_cors()),
                    Err(Refused::Fault) => {
                        return Reply::fault("There was an internal server error.").nameless();
                    }
                }
            }
        };
        let reply = reply.prettily();
        if own_cors {
            return reply;
        }
        let asked = self
            .parts
            .headers
            .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        reply.with_methods_and_headers(METHODS, asked)
    }

    /// The namespace of a caller with a key of this server. Who has none, or a wrong one, is nobody.
    fn user<'s>(&self, api: &'s Api) -> Option<&'s str> {
        let header = self.parts.headers.get(header::AUTHORIZATION)?.to_str().ok();
        let subject = api.settings.subjects.identify(header).ok()?;
        Some(&subject.namespace)
    }

    fn may_call(&self, action: &Action, user: Option<&str>) -> bool {
        let given = self.parts.headers.get(REQUIRED);
        let gave = |secret: &str| {
            given.is_some_and(|given| is_secret(given.as_bytes(), secret.as_bytes()))
        };
        match action.annotation("require-whisk-auth") {
            None => true,
            Some(Value::String(wanted)) => gave(wanted),
            Some(Value::Number(wanted)) => gave(&wanted.to_string()),
            Some(Value::Bool(true)) => user.is_some(),
            // The real server lets nobody in by any other value, `false` neither.
            Some(_) => false,
        }
    }

    async fn call(
        &self,
        api: &Api,
        owner: Subject,
        action: &Arc<Action>,
        user: Option<&str>,
        entered: Entered,
    ) -> Result<Reply, Refused> {
        let received = now();
        let raw = action.is("raw-http");
        let content_type = self
            .parts
            .headers
            .get(header::CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = read_body(content_type.as_deref(), self.bytes, raw).map_err(Refused::Unread)?;
        let context = Context {
            method: self.parts.method.as_str(),
            headers: &self.parts.headers,
            path: &self.target.path,
            query: self.parts.uri.query().unwrap_or_default(),
            user,
        };
        let input = context
            .input(body, raw, action.immutable())
            .map_err(Refused::Unwanted)?;
        check_invocation(api, &owner.namespace, action, &serde_json::Map::new())
            .map_err(Refused::Unwanted)?;
        let caller = Caller {
            subject: owner,
            transaction: self.transaction.to_owned(),
            received,
        };
        let accepted = api.engine.accept(
            Arc::clone(action),
            Value::Object(input),
            caller,
            move || drop(entered),
        );
        let (id, record) = accepted.map_err(|error| Refused::Unwanted(StoreError::into(error)))?;
        let Ok(Ok(record)) = tokio::time::timeout(LONGEST_WAIT, record).await else {
            let late = ApiError::rejected(202, "Response not yet ready.").without_cors();
            return Ok(Reply::from(late).with_header(ACTIVATION_ID, &id));
        };
        let reply = answer(&record, self.target.extension)?;
        Ok(reply.with_header(ACTIVATION_ID, &id))
    }
}

/// Why there is no answer of the action.
enum Refused {
    /// The request cannot be read.
    Unread(ApiError),
    /// The request is refused.
    Unwanted(ApiError),
    /// The action's result has no place in an answer.
    Fault,
}

fn answer(record: &Activation, extension: Extension) -> Result<Reply, Refused> {
    let result = &record.response.result;
    // As the real server has it: lists are no results of web actions.
    let fields = result.as_object().ok_or(Refused::Fault)?;
    let rendered = match record.response.status {
        Status::Success => extension.render(result),
        // The error is what the action has to say.
        Status::Application => fields.get("error").map_or_else(
            || {
                Err(ApiError::rejected(
                    404,
                    "Response does not include requested property.",
                ))
            },
            |error| extension.render(error),
        ),
        Status::Developer | Status::Internal => Err(ApiError::rejected(
            400,
            "There was an error processing your request.",
        )),
    };
    Ok(rendered.unwrap_or_else(|error| Reply::from(error.without_cors())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let target = |path| {
            Target::parse(path)
                .map(|target| (target.action.to_string(), target.extension, target.path))
        };
        assert_eq!(
            target("/web/guest/default/w.json/x%20y/z"),
            Some(("guest/w".to_owned(), Extension::Json, "/x%20y/z".to_owned()))
        );
        assert_eq!(
            target("/web/guest/p/a%20b"),
            Some(("guest/p/a b".to_owned(), Extension::Http, String::new()))
        );
        for none in [
            "/web",
            "/web/",
            "/web/guest/default",
            "/web/guest/default/",
            "/web/g/$/a",
        ] {
            assert_eq!(target(none), None, "{none}");
        }
    }
}
