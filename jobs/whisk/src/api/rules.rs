//! `namespaces/{ns}/rules`.

use std::sync::Arc;

use axum::http::Method;

use crate::api::body::{Purpose, object};
use crate::api::packages::runnable;
use crate::api::{
    Api, ApiError, Call, Reply, absent, blocking, may_write, missing, not_found, own, own_entity,
};
use crate::invoke::now;
use crate::link::Rule;
use crate::name::FullName;
use crate::put::{RulePut, parse_status};
use crate::store::ActivateError;

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
                _ => set_status(api, call, name).await,
            }
        }
        _ => Err(not_found()),
    }
}

fn list(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    let listing = call.query.listing("rules")?;
    let rules = api.engine.links.rules(own(call, namespace, None)?);
    Ok(listing.reply(&rules, Rule::summary))
}

fn get(api: &Api, name: &FullName) -> Result<Reply, ApiError> {
    let rule = api
        .engine
        .links
        .rule(name)
        .ok_or_else(|| absent(&api.engine, name, missing()))?;
    Ok(Reply::json(
        200,
        rule.view(api.engine.links.is_active(&rule)),
    ))
}

async fn put(api: &Api, mut call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let overwrite = call.query.flag("overwrite")?.unwrap_or(false);
    let bounds = &api.settings.bounds;
    let body = object(&mut call, bounds.payload_bytes, Purpose::Entity).await?;
    let put = RulePut::parse(&body, &name.namespace, bounds)?;
    if let Some(trigger) = &put.trigger {
        own(&call, &trigger.namespace, Some(&trigger.name))?;
    }
    if let Some(action) = &put.action {
        runnable(api, &call, &action.namespace, &action.name)?;
    }
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let _held = engine.packages.hold();
        let (rule, active) = engine.links.change_rule::<ApiError>(&name, |old| {
            may_write(&engine, &name, old.is_some(), overwrite)?;
            let rule = put.apply(old, &name, now())?;
            let gone = |what: &str, name: &FullName| {
                ApiError::rejected(400, format!("{what} /{name} does not exist"))
            };
            if engine.links.trigger(&rule.trigger).is_none() {
                return Err(gone("trigger", &rule.trigger));
            }
            if engine.action(&rule.action).is_none() {
                return Err(gone("action", &rule.action));
            }
            Ok(rule)
        })?;
        Ok(Reply::json(200, rule.view(active)))
    })
    .await
}

async fn delete(api: &Api, name: FullName) -> Result<Reply, ApiError> {
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let rule = engine
            .links
            .remove_rule(&name)?
            .ok_or_else(|| absent(&engine, &name, missing()))?;
        // As the real server shows it: a rule that is gone is active no more.
        Ok(Reply::json(200, rule.view(false)))
    })
    .await
}

async fn set_status(api: &Api, mut call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let largest = api.settings.bounds.payload_bytes;
    let body = object(&mut call, largest, Purpose::Entity).await?;
    let active = parse_status(&body)?;
    let engine = Arc::clone(&api.engine);
    blocking(move || match engine.links.set_active(&name, active) {
        Ok(()) => Ok(Reply::text("OK").with_cors()),
        Err(ActivateError::NoRule) => Err(absent(&engine, &name, missing())),
        Err(ActivateError::NoTrigger(trigger)) => Err(ApiError::rejected(
            404,
            format!("The trigger /{trigger} of this rule does not exist; create it again, then activate the rule."),
        )),
        Err(ActivateError::Store(error)) => Err(error.into()),
    })
    .await
}
