//! `namespaces/{ns}/activations`.

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::{Api, ApiError, Call, Reply, missing, not_found, own};
use crate::store::Filter;

/// Length of an activation's id.
const ID_LENGTH: usize = 32;

/// Answers.
///
/// # Errors
/// [`ApiError`].
pub fn route(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    rest: &[&str],
) -> Result<Reply, ApiError> {
    if call.method != Method::GET {
        return Err(not_found());
    }
    match rest {
        [] | [""] => list(api, call, namespace),
        [id] => get(api, call, namespace, id, |view| view),
        [id, "logs"] => get(
            api,
            call,
            namespace,
            id,
            |mut view| json!({ "logs": view["logs"].take() }),
        ),
        [id, "result"] => get(api, call, namespace, id, |mut view| view["response"].take()),
        _ => Err(not_found()),
    }
}

fn get(
    api: &Api,
    call: &Call<'_>,
    namespace: &str,
    id: &str,
    part: impl Fn(Value) -> Value,
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
    let namespace = own(call, namespace, Some(id))?;
    let record = api
        .engine
        .activations
        .get(namespace, id)?
        .ok_or_else(missing)?;
    Ok(Reply::json(200, part(record.view())))
}

fn list(api: &Api, call: &Call<'_>, namespace: &str) -> Result<Reply, ApiError> {
    let query = &call.query;
    let page = query.page("activations")?;
    let (count, docs) = (query.flag("count")?, query.flag("docs")?);
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
    let namespace = own(call, namespace, None)?;
    let store = &api.engine.activations;
    if count == Some(true) {
        let count = store.count(namespace, &filter).saturating_sub(page.skip);
        return Ok(Reply::json(200, json!({ "activations": count })));
    }
    let records = store.list(namespace, &filter, page.skip, page.limit)?;
    let views: Vec<Value> = records
        .iter()
        .map(|record| {
            if docs == Some(true) {
                record.view()
            } else {
                Value::Object(record.summary())
            }
        })
        .collect();
    Ok(Reply::json(200, Value::Array(views)))
}
