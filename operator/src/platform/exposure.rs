//! The APIs of others through which the gateway is exposed: which of them there are, and what they refuse.

use super::build::{self, Api, Served};
use super::crd::{ComponentStatus, PlatformGateway};
use super::validate::ValidatedPlatform;
use crate::context::{Context, is_status};
use crate::controller::chain;
use crate::reconcile::{ApplyError, Error};
use crate::status::told;

/// What exposes the gateway and cannot be made here, with the cure.
#[must_use]
pub fn missing_apis(platform: &ValidatedPlatform) -> Vec<(&'static str, String)> {
    let needs = platform.gateway.iter().flat_map(build::needs);
    needs
        .filter(|(_, api)| platform.served(*api).is_none())
        .map(|(field, api)| {
            let versions = api.versions.join(" or ");
            let told = format!(
                "{field}: given: this cluster has no {} of {}/{versions}; {}",
                api.kind, api.group, api.from
            );
            ("ApiMissing", told)
        })
        .collect()
}

/// Which of the APIs that a gateway asks for this cluster has.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn apis(
    context: &Context,
    gateway: Option<&PlatformGateway>,
) -> Result<Vec<Served>, Error> {
    let mut apis = Vec::new();
    for (_, api) in gateway.into_iter().flat_map(build::needs) {
        apis.extend(served(context, api).await?);
    }
    Ok(apis)
}

async fn served(context: &Context, api: Api) -> Result<Option<Served>, Error> {
    for version in api.versions {
        let group_version = format!("{}/{version}", api.group);
        match context
            .client
            .list_api_group_resources(&group_version)
            .await
        {
            Ok(list) if list.resources.iter().any(|kind| kind.name == api.plural) => {
                return Ok(Some(Served { api, version }));
            }
            Ok(_) => {}
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(Error::doing("asking for an API")(error)),
        }
    }
    Ok(None)
}

/// Whether nobody tells when what exposes a gateway changes: the kinds of others are not watched, for they may be
/// missing. Then it has to be looked at often.
#[must_use]
pub fn is_watched_by_looking(gateway: &PlatformGateway) -> bool {
    !build::needs(gateway).is_empty()
}

/// An object that could not be made, in words, with the cure.
#[must_use]
pub fn trouble(error: &ApplyError) -> (&'static str, String) {
    let cure = match error {
        // It says so itself.
        ApplyError::Foreign { .. } => "",
        ApplyError::Kubernetes { .. } => {
            "; correct spec.gateway, or ask who admits these objects: all else of the platform goes on, and this is tried again"
        }
    };
    ("ExposureFailed", format!("{}{cure}", chain(error)))
}

/// The part that such an object would be. Nobody gets in by it.
#[must_use]
pub fn refused(error: &ApplyError) -> Option<ComponentStatus> {
    let (kind, name) = error.object();
    // Without a name it is the kind as a whole that could not be listed.
    (!name.is_empty()).then(|| ComponentStatus {
        name: name.to_owned(),
        kind: kind.to_owned(),
        ready: false,
        message: told(&trouble(error).1),
    })
}
