//! `namespaces/{ns}/packages`.

use std::sync::Arc;

use axum::http::Method;
use serde_json::Value;

use crate::api::body::{Purpose, object};
use crate::api::{
    Api, ApiError, Call, Reply, absent, blocking, forbidden, may_write, not_found, own,
};
use crate::invoke::now;
use crate::name::{FullName, check};
use crate::package::Package;
use crate::put::PackagePut;

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
            if ![Method::GET, Method::PUT, Method::DELETE].contains(call.method) {
                return Err(not_found());
            }
            check(name).map_err(|error| ApiError::route(400, error.to_string()))?;
            let namespace = match *call.method {
                Method::GET => readable(api, &call, namespace, name)?,
                _ => own(&call, namespace, Some(name))?.to_owned(),
            };
            let name = FullName {
                namespace,
                name: (*name).to_owned(),
            };
            match *call.method {
                Method::GET => get(api, &name),
                Method::PUT => put(api, call, name).await,
                _ => delete(api, call, name).await,
            }
        }
        _ => Err(not_found()),
    }
}

/// The namespace of a package that the caller may read: its own, or one that publishes the package.
///
/// # Errors
/// [`ApiError`] for any other.
pub fn readable(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    package: &str,
) -> Result<String, ApiError> {
    let packages = &api.engine.packages;
    open(call, namespace, package, |own, name| {
        packages.may_read(own, name)
    })
}

/// The namespace of an action that the caller may read and run: its own, or one that publishes the action's package.
///
/// # Errors
/// [`ApiError`] for any other.
pub fn runnable(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    action: &str,
) -> Result<String, ApiError> {
    let packages = &api.engine.packages;
    open(call, namespace, action, |own, name| {
        packages.may_run(own, name)
    })
}

/// The namespace of a name, for `_` the caller's own, when that is open to the caller.
fn open(
    call: &Call<'_>,
    namespace: &str,
    name: &str,
    is_open: impl FnOnce(&str, &FullName) -> bool,
) -> Result<String, ApiError> {
    let own = call.subject.namespace.as_str();
    let name = FullName {
        namespace: if namespace == "_" { own } else { namespace }.to_owned(),
        name: name.to_owned(),
    };
    if is_open(own, &name) {
        Ok(name.namespace)
    } else {
        Err(forbidden(&name))
    }
}

/// The answer for a package that is not there.
pub fn missing(name: &FullName) -> ApiError {
    ApiError::rejected(
        404,
        format!("The requested resource '{name}' does not exist."),
    )
}

fn list(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    let listing = call.query.listing("packages")?;
    // Of other namespaces everybody may see what they publish.
    let own = own(call, namespace, None);
    let mut packages = api.engine.packages.list(own.clone().unwrap_or(namespace));
    if own.is_err() {
        packages.retain(|package| package.publish && package.binding.is_none());
    }
    Ok(listing.reply(&packages, Package::summary))
}

fn get(api: &Api, name: &FullName) -> Result<Reply, ApiError> {
    let packages = &api.engine.packages;
    let package = packages
        .get(name)
        .ok_or_else(|| absent(&api.engine, name, missing(name)))?;
    let provider = packages.provider(&package);
    let home = provider.as_ref().unwrap_or(&package);
    let actions = api.engine.actions.list_in(&home.full_name());
    Ok(Reply::json(
        200,
        package.content(provider.as_deref(), &actions),
    ))
}

async fn put(api: &Api, mut call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let overwrite = call.query.flag("overwrite")?.unwrap_or(false);
    let bounds = &api.settings.bounds;
    let body = object(&mut call, bounds.payload_bytes, Purpose::Entity).await?;
    let put = PackagePut::parse(&body, &name.namespace, bounds)?;
    if let Some(provider) = &put.binding {
        readable(api, &call, &provider.namespace, &provider.name)?;
        let provider = api.engine.packages.get(provider).ok_or_else(|| {
            ApiError::rejected(400, "Binding references a package that does not exist.")
        })?;
        if provider.binding.is_some() {
            return Err(ApiError::rejected(
                400,
                "Cannot bind to another package binding.",
            ));
        }
    }
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let package = engine.packages.change::<ApiError>(&name, |old| {
            may_write(&engine, &name, old.is_some(), overwrite)?;
            put.apply(old, &name, now())
        })?;
        Ok(Reply::json(200, Value::Object(package.view())))
    })
    .await
}

async fn delete(api: &Api, call: Call<'_>, name: FullName) -> Result<Reply, ApiError> {
    let force = call.query.flag("force")?.unwrap_or(false);
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let _held = engine.packages.hold();
        let package = engine
            .packages
            .get(&name)
            .ok_or_else(|| absent(&engine, &name, missing(&name)))?;
        let actions = engine.actions.list_in(&name);
        if !actions.is_empty() && !force {
            let entities = if actions.len() == 1 {
                "entity"
            } else {
                "entities"
            };
            return Err(ApiError::rejected(
                409,
                format!(
                    "Package not empty (contains {} {entities}). Set force param or delete package contents.",
                    actions.len()
                ),
            ));
        }
        for action in actions {
            let name = action.full_name();
            engine.actions.remove(&name)?;
            engine.forget(&name);
        }
        engine.packages.remove(&name)?;
        Ok(Reply::json(200, Value::Object(package.view())))
    })
    .await
}
