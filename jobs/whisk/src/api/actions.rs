//! `namespaces/{ns}/actions`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::action::{Action, Exec};
use crate::activation::{Activation, Status};
use crate::api::body::{Purpose, object};
use crate::api::packages::{readable, runnable};
use crate::api::{
    ACTIVATION_ID, Api, ApiError, Call, Reply, absent, blocking, forbidden, may_write, missing,
    not_found, own,
};
use crate::invoke::{Caller, now};
use crate::name::{FullName, check};
use crate::put::{NewExec, Put, deprecated};
use crate::store::{Change, StoreError};

/// A blocking call waits at most so long.
const LONGEST_WAIT_MS: u64 = 60_000;

/// The same as a duration.
pub const LONGEST_WAIT: Duration = Duration::from_millis(LONGEST_WAIT_MS);

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
        [name] if !name.is_empty() => entity(api, call, namespace, (*name).to_owned(), None).await,
        [package, ""] if call.method == Method::GET => list_in(api, &call, namespace, package),
        [package, name] if !package.is_empty() && !name.is_empty() => {
            check(package).map_err(|error| ApiError::route(400, error.to_string()))?;
            let full = format!("{package}/{name}");
            entity(api, call, namespace, full, Some(package)).await
        }
        _ => Err(not_found()),
    }
}

/// One action, in a package or not.
async fn entity(
    api: &Api,
    call: Call<'_>,
    namespace: &str,
    name: String,
    package: Option<&str>,
) -> Result<Reply, ApiError> {
    if ![Method::GET, Method::PUT, Method::DELETE, Method::POST].contains(call.method) {
        return Err(not_found());
    }
    let leaf = name.rsplit('/').next().unwrap_or(&name);
    check(leaf).map_err(|error| ApiError::route(400, error.to_string()))?;
    // What others publish may be read and invoked, not changed.
    let changes = [Method::PUT, Method::DELETE].contains(call.method);
    let namespace = if package.is_some() && !changes {
        runnable(api, &call, namespace, &name)?
    } else {
        own(&call, namespace, Some(&name))?.to_owned()
    };
    if let Some(package) = package.filter(|_| changes) {
        let package = FullName {
            namespace: namespace.clone(),
            name: package.to_owned(),
        };
        let found = api.engine.packages.get(&package).ok_or_else(missing)?;
        if found.binding.is_some() {
            return Err(ApiError::rejected(
                400,
                "Operation not permitted on package binding.",
            ));
        }
    }
    let name = FullName { namespace, name };
    match *call.method {
        Method::GET => get(api, call, &name).await,
        Method::PUT => put(api, call, name).await,
        Method::DELETE => delete(api, name).await,
        _ => invoke(api, call, &name).await,
    }
}

/// The actions in a package.
fn list_in(api: &Api, call: &Call<'_>, namespace: &str, package: &str) -> Result<Reply, ApiError> {
    let name = FullName {
        namespace: readable(api, call, namespace, package)?,
        name: package.to_owned(),
    };
    let packages = &api.engine.packages;
    let package = packages
        .get(&name)
        .ok_or_else(|| absent(&api.engine, &name, missing()))?;
    let home = packages.provider(&package).unwrap_or(package);
    let actions = api.engine.actions.list_in(&home.full_name());
    Ok(call
        .query
        .listing("actions")?
        .reply(&actions, Action::summary))
}

fn list(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    // What is wrong with the query is told first.
    let listing = call.query.listing("actions")?;
    let actions = api.engine.actions.list(own(call, namespace, None)?);
    Ok(listing.reply(&actions, Action::summary))
}

async fn get(api: &Api, call: Call<'_>, name: &FullName) -> Result<Reply, ApiError> {
    let with_code = call.query.flag("code")?.unwrap_or(true);
    let action = api
        .engine
        .action(name)
        .ok_or_else(|| absent(&api.engine, name, missing()))?;
    let code = match action.exec.code().filter(|_| with_code) {
        Some(code) => {
            let (engine, digest) = (Arc::clone(&api.engine), code.digest.clone());
            Some(blocking(move || engine.actions.code(&digest).map_err(ApiError::from)).await?)
        }
        None => None,
    };
    Ok(Reply::json(200, action.view(code.as_deref())))
}

async fn put(api: &Api, mut call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let overwrite = call.query.flag("overwrite")?.unwrap_or(false);
    let largest = api.settings.bounds.code_bytes + api.settings.bounds.payload_bytes;
    let body = object(&mut call, largest, Purpose::Entity).await?;
    let put = Put::parse(&body, &name.namespace, api.kinds(), &api.settings.bounds)?;
    drop(body);
    if let Some(NewExec::Sequence { components }) = &put.exec {
        for component in components {
            runnable(api, &call, &component.namespace, &component.name)?;
        }
        check_sequence(api, &name, components)?;
    }
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let _held = engine.packages.hold();
        if let Some(package) = name.package() {
            engine.packages.get(&package).ok_or_else(missing)?;
        }
        let code = put.code().map(str::to_owned);
        let action = engine.actions.change::<ApiError>(&name, |old| {
            may_write(&engine, &name, old.is_some(), overwrite)?;
            Ok(Change {
                action: put.apply(old, &name, now())?,
                code: code.clone(),
            })
        })?;
        engine.forget(&name);
        engine.unpack_ahead(Arc::clone(&action));
        let text = match (code, action.exec.code()) {
            (Some(text), _) => Some(text),
            (None, Some(code)) => Some(engine.actions.code(&code.digest)?),
            (None, None) => None,
        };
        Ok(Reply::json(200, action.view(text.as_deref())))
    })
    .await
}

async fn delete(api: &Api, name: FullName) -> Result<Reply, ApiError> {
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let (action, code) = engine
            .actions
            .remove(&name)?
            .ok_or_else(|| absent(&engine, &name, missing()))?;
        engine.forget(&name);
        Ok(Reply::json(200, action.view(code.as_deref())))
    })
    .await
}

/// A sequence has components, all of them there, not itself among them, and not too many counted through.
fn check_sequence(api: &Api, name: &FullName, components: &[FullName]) -> Result<(), ApiError> {
    if components.is_empty() {
        return Err(ApiError::rejected(
            400,
            "No component specified for the sequence.",
        ));
    }
    let itself = || ApiError::rejected(400, "Sequence may not refer to itself.");
    let most = api.settings.bounds.sequence_length;
    let (mut count, mut expanded) = (0, 0);
    let mut todo: Vec<FullName> = components.to_vec();
    while let Some(component) = todo.pop() {
        // Before it is looked for: it may be about to be made.
        if component == *name {
            return Err(itself());
        }
        let Some(action) = api.engine.action(&component) else {
            return Err(ApiError::rejected(
                400,
                "Sequence component does not exist.",
            ));
        };
        // Found through a binding, it has another name than the component.
        if action.full_name() == *name {
            return Err(itself());
        }
        if let Exec::Sequence { components } = &action.exec {
            expanded += 1;
            todo.extend(
                components
                    .iter()
                    .filter_map(|inner| FullName::parse(inner, &name.namespace)),
            );
        } else {
            count += 1;
        }
        // A sequence that two others share is counted once for each. One that goes round in a circle, since a
        // binding was changed, counts nothing: so it is bounded how many are looked into.
        if count + todo.len() > most || expanded > most * most {
            return Err(ApiError::rejected(400, "Too many actions in the sequence."));
        }
    }
    Ok(())
}

async fn invoke(api: &Api, mut call: Call<'_>, name: &FullName) -> Result<Reply, ApiError> {
    let received = now();
    let wait = call.query.flag("blocking")?.unwrap_or(false);
    let only_result = call.query.flag("result")?.unwrap_or(false);
    let patience = patience(call.query.get("timeout"))?;
    let largest = api.settings.bounds.payload_bytes;
    let payload = object(&mut call, largest, Purpose::Input).await?;
    let action = api
        .engine
        .action(name)
        .ok_or_else(|| absent(&api.engine, name, missing()))?;
    let namespace = call.subject.namespace.clone();
    check_invocation(api, &namespace, &action, &payload)?;
    api.throttle
        .enter(&namespace, Instant::now())
        .map_err(|error| ApiError::rejected(429, error.to_string()))?;
    let caller = Caller {
        subject: call.subject.clone(),
        transaction: call.transaction.to_owned(),
        received,
    };
    let (throttle, leaving) = (Arc::clone(&api.throttle), namespace.clone());
    let accepted = api
        .engine
        .accept(action, Value::Object(payload), caller, move || {
            throttle.leave(&leaving)
        });
    let (id, record) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            api.throttle.leave(&namespace);
            return Err(StoreError::into(error));
        }
    };
    if wait && let Ok(Ok(record)) = tokio::time::timeout(patience, record).await {
        return Ok(answer(&record, only_result));
    }
    Ok(Reply::json(202, json!({ "activationId": id })).with_header(ACTIVATION_ID, &id))
}

fn patience(given: Option<&str>) -> Result<Duration, ApiError> {
    let Some(given) = given else {
        return Ok(LONGEST_WAIT);
    };
    given
        .parse()
        .ok()
        .filter(|wait| (1..=LONGEST_WAIT_MS).contains(wait))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            ApiError::parameter(
                "timeout",
                format!("Timeout must be number of milliseconds up to {LONGEST_WAIT_MS}."),
            )
        })
}

/// Some actions run no more, some sequences are of actions that are not open to the namespace on whose account they
/// run, and some parameters are not the caller's to give.
pub fn check_invocation(
    api: &Api,
    namespace: &str,
    action: &Action,
    payload: &Map<String, Value>,
) -> Result<(), ApiError> {
    if let Exec::Sequence { components } = &action.exec {
        let mut names = components
            .iter()
            .filter_map(|component| FullName::parse(component, namespace));
        if let Some(closed) = names.find(|name| !api.engine.packages.may_run(namespace, name)) {
            return Err(forbidden(&closed));
        }
    }
    if let Exec::Code { kind, .. } = &action.exec
        && api.kinds().find(kind).is_none_or(|kind| kind.deprecated)
    {
        return Err(deprecated(kind));
    }
    if action.immutable().any(|name| payload.contains_key(name)) {
        return Err(ApiError::rejected(
            400,
            "Request defines parameters that are not allowed (e.g., reserved properties).",
        ));
    }
    Ok(())
}

fn answer(record: &Activation, only_result: bool) -> Reply {
    let status = match record.response.status {
        Status::Success => 200,
        Status::Application | Status::Developer => 502,
        Status::Internal => 500,
    };
    // A list has no place for a record around it: the real server gives it bare.
    let bare = only_result || record.response.result.is_array();
    let content = if bare {
        record.response.result.clone()
    } else {
        record.blocking_view()
    };
    Reply::json(status, content).with_header(ACTIVATION_ID, &record.activation_id)
}
