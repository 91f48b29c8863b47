//! `namespaces/{ns}/triggers`.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, Method, header};
use serde_json::{Map, Value, json};

use crate::activation::{Activation, Response, Status};
use crate::api::actions::check_invocation;
use crate::api::body::{Purpose, object};
use crate::api::{
    ACTIVATION_ID, Api, ApiError, Call, Reply, absent, blocking, forbidden, may_write, missing,
    not_found, own, own_entity,
};
use crate::invoke::{Accepted, Caller, now};
use crate::link::{Rule, RuleResult, Trigger};
use crate::metrics::ResultLabel;
use crate::name::{FullName, activation_id};
use crate::put::TriggerPut;

/// The parameter in which actions find the headers of the fire request.
const HEADERS: &str = "__ow_headers";

/// Headers that no action gets. The real server passes the caller's credentials on, and so into stored results.
const KEPT_BACK: [header::HeaderName; 7] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Answers.
///
/// # Errors
/// [`ApiError`].
pub async fn route(
    api: &Api,
    call: Call<'_>,
    namespace: &str,
    rest: &[&str],
) -> Result<Reply, ApiError> {
    match rest {
        [] | [""] if call.method == Method::GET => list(api, &call, namespace),
        [name] if !name.is_empty() => {
            let name = own_entity(&call, namespace, name)?;
            match *call.method {
                Method::GET => get(api, &name),
                Method::PUT => put(api, call, name).await,
                Method::DELETE => delete(api, name).await,
                _ => fire(api, call, &name).await,
            }
        }
        _ => Err(not_found()),
    }
}

fn list(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    let listing = call.query.listing("triggers")?;
    let triggers = api.engine.links.triggers(own(call, namespace, None)?);
    Ok(listing.reply(&triggers, Trigger::summary))
}

fn shown(trigger: &Trigger, rules: &[(Arc<Rule>, bool)]) -> Reply {
    Reply::json(200, trigger.view(rules.iter().map(|(rule, _)| &**rule)))
}

fn get(api: &Api, name: &FullName) -> Result<Reply, ApiError> {
    let links = &api.engine.links;
    let trigger = links
        .trigger(name)
        .ok_or_else(|| absent(&api.engine, name, missing()))?;
    Ok(shown(&trigger, &links.listening(&trigger)))
}

async fn put(api: &Api, mut call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let overwrite = call.query.flag("overwrite")?.unwrap_or(false);
    let bounds = &api.settings.bounds;
    let body = object(&mut call, bounds.payload_bytes, Purpose::Entity).await?;
    let put = TriggerPut::parse(&body, bounds)?;
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let _held = engine.packages.hold();
        let trigger = engine.links.change_trigger::<ApiError>(&name, |old| {
            may_write(&engine, &name, old.is_some(), overwrite)?;
            Ok(put.apply(old, &name, now()))
        })?;
        Ok(shown(&trigger, &engine.links.listening(&trigger)))
    })
    .await
}

async fn delete(api: &Api, name: FullName) -> Result<Reply, ApiError> {
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let (trigger, rules) = engine
            .links
            .remove_trigger(&name)?
            .ok_or_else(|| absent(&engine, &name, missing()))?;
        Ok(shown(&trigger, &rules))
    })
    .await
}

/// Starts the action of each active rule. Before the answer everything is written down: the trigger's own record,
/// which names the activations, and the beginning of each of them. So whoever got the answer finds a record of every
/// activation, even when the server is killed right after: of one that was cut off it says so.
async fn fire(api: &Api, mut call: Call<'_>, name: &FullName) -> Result<Reply, ApiError> {
    let received = now();
    let largest = api.settings.bounds.payload_bytes;
    let event = object(&mut call, largest, Purpose::Input).await?;
    let engine = &api.engine;
    let trigger = engine
        .links
        .trigger(name)
        .ok_or_else(|| absent(engine, name, missing()))?;
    let count = |result| {
        let label = ResultLabel { result };
        engine.metrics.fires.get_or_create(&label).inc();
    };
    if let Err(error) = api.throttle.fire(&name.namespace, Instant::now()) {
        count("throttled");
        return Err(ApiError::rejected(429, error.to_string()));
    }
    let rules = engine.links.listening(&trigger);
    if !rules.iter().any(|(_, active)| *active) {
        count("no_active_rule");
        return Ok(Reply::nothing());
    }
    let caller = Caller {
        subject: call.subject.clone(),
        transaction: call.transaction.to_owned(),
        received,
    };
    let mut input: Map<String, Value> = trigger
        .parameters
        .iter()
        .map(|parameter| (parameter.key.clone(), parameter.value.clone()))
        .collect();
    input.extend(event.clone());
    input.insert(HEADERS.to_owned(), Value::Object(headers(call.headers)));
    let mut started = Vec::new();
    let mut lines = Vec::new();
    for (rule, active) in &rules {
        let (result, line) = if *active {
            match begin(api, rule, &input, &caller) {
                Ok(accepted) => {
                    let line = RuleResult::started(rule, &accepted.id).line();
                    started.push(accepted);
                    ("started", line)
                }
                Err(error) => {
                    let internal = error.status == 500;
                    let line = RuleResult::failed(rule, internal, error.message).line();
                    ("refused", line)
                }
            }
        } else {
            ("inactive", RuleResult::inactive(rule).line())
        };
        let label = ResultLabel { result };
        engine.metrics.rules.get_or_create(&label).inc();
        lines.push(line);
    }
    let record = record(&trigger, &caller, event, lines);
    if let Err(error) = engine.activations.finish(&record) {
        for accepted in started {
            engine.abandon(
                &accepted,
                "The record of the trigger could not be written; the action was not started.",
            );
            api.throttle.leave(&caller.subject.namespace);
        }
        return Err(error.into());
    }
    for accepted in started {
        let (throttle, namespace) = (Arc::clone(&api.throttle), caller.subject.namespace.clone());
        // Nobody waits for it: whoever wants to know reads its record.
        drop(
            engine.launch(accepted, Value::Object(input.clone()), move || {
                throttle.leave(&namespace)
            }),
        );
    }
    count("accepted");
    let id = &record.activation_id;
    Ok(Reply::json(202, json!({ "activationId": id })).with_header(ACTIVATION_ID, id))
}

/// Accepts the invocation of a rule's action, by the same rules as one that a client asks for.
fn begin(
    api: &Api,
    rule: &Rule,
    input: &Map<String, Value>,
    caller: &Caller,
) -> Result<Accepted, ApiError> {
    let namespace = &caller.subject.namespace;
    // Its package may have been closed since the rule was made.
    if !api.engine.packages.may_run(namespace, &rule.action) {
        return Err(forbidden(&rule.action));
    }
    let action = api.engine.action(&rule.action).ok_or_else(missing)?;
    check_invocation(api, namespace, &action, input)?;
    api.throttle
        .enter(namespace, Instant::now())
        .map_err(|error| ApiError::rejected(429, error.to_string()))?;
    api.engine.prepare(action, caller.clone()).map_err(|error| {
        api.throttle.leave(namespace);
        error.into()
    })
}

fn headers(all: &HeaderMap) -> Map<String, Value> {
    all.iter()
        .filter(|(name, _)| !KEPT_BACK.contains(name))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), json!(value.to_str().ok()?))))
        .collect()
}

fn record(
    trigger: &Trigger,
    caller: &Caller,
    event: Map<String, Value>,
    logs: Vec<String>,
) -> Activation {
    Activation {
        activation_id: activation_id(),
        annotations: Vec::new(),
        cause: None,
        duration: None,
        end: None,
        logs,
        name: trigger.name.clone(),
        namespace: caller.subject.namespace.clone(),
        publish: false,
        response: Response::new(Status::Success, Value::Object(event), None),
        start: caller.received,
        subject: caller.subject.namespace.clone(),
        version: trigger.version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_never_see_the_callers_credentials() {
        let mut all = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Basic c2VjcmV0"),
            ("cookie", "session=1"),
            ("host", "localhost"),
            ("x-custom", "yes"),
        ] {
            all.insert(name, value.parse().unwrap());
        }
        assert_eq!(
            Value::Object(headers(&all)),
            json!({ "host": "localhost", "x-custom": "yes" })
        );
    }
}
