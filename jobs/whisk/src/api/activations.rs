//! `namespaces/{ns}/activations`.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::{Api, ApiError, Call, Reply, blocking, missing, not_found, own};
use crate::store::{Filter, Part};

/// Length of an activation's id.
const ID_LENGTH: usize = 32;

/// What `docs=true` shows at most, in bytes of records as they are kept; a larger list comes in parts.
const LARGEST_LIST: usize = 16 * 1024 * 1024;

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
    if call.method != Method::GET {
        return Err(not_found());
    }
    match rest {
        [] | [""] => list(api, call, namespace).await,
        [id] => get(api, call, namespace, id, |view| view).await,
        [id, "logs"] => {
            let logs = |mut view: Value| json!({ "logs": view["logs"].take() });
            get(api, call, namespace, id, logs).await
        }
        [id, "result"] => {
            let response = |mut view: Value| view["response"].take();
            get(api, call, namespace, id, response).await
        }
        _ => Err(not_found()),
    }
}

async fn get(
    api: &Api,
    call: Call<'_>,
    namespace: &str,
    id: &str,
    part: impl FnOnce(Value) -> Value + Send + 'static,
) -> Result<Reply, ApiError> {
    if id.len() != ID_LENGTH {
        return Err(ApiError::route(
            400,
            format!(
                "Activation id length is {} but must be {ID_LENGTH}.",
                id.len()
            ),
        ));
    }
    if !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(ApiError::route(
            400,
            "The activation id is not valid: it has characters other than 0-9 and a-f.",
        ));
    }
    let namespace = own(&call, namespace, Some(id))?.to_owned();
    let (engine, id) = (Arc::clone(&api.engine), id.to_owned());
    blocking(move || {
        let record = engine.activations.get(&namespace, &id)?;
        let record = record.ok_or_else(missing)?;
        Ok(Reply::json(200, part(record.view())))
    })
    .await
}

async fn list(api: &Api, call: Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    let query = &call.query;
    let page = query.page("activations")?;
    let count = query.flag("count")? == Some(true);
    let docs = query.flag("docs")? == Some(true);
    let name = query.get("name").filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| name.split('/').count() > 2) {
        let text =
            format!("Parameter may be a 'simple' name or 'package-name/simple' name: {name}");
        return Err(ApiError::parameter("name", text));
    }
    let filter = Filter {
        name: name.map(str::to_owned),
        since: query.time("since")?,
        upto: query.time("upto")?,
    };
    let namespace = own(&call, namespace, None)?.to_owned();
    let engine = Arc::clone(&api.engine);
    blocking(move || {
        let store = &engine.activations;
        if count {
            let count = store.count(&namespace, &filter).saturating_sub(page.skip);
            return Ok(Reply::json(200, json!({ "activations": count })));
        }
        let part = Part {
            skip: page.skip,
            limit: page.limit,
            bytes: if docs { LARGEST_LIST } else { usize::MAX },
        };
        let views = store.list(&namespace, &filter, part, |record| {
            if docs {
                record.view()
            } else {
                Value::Object(record.summary())
            }
        })?;
        Ok(Reply::json(200, Value::Array(views)))
    })
    .await
}
