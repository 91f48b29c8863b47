//! What the bodies of all entities have in common.

use serde_json::{Map, Value};

use super::parse::{optional, parse_parameters, too_large};
use crate::action::{Parameter, Version};
use crate::api::ApiError;
use crate::settings::Bounds;

/// Parameters, annotations, version and publication, where the body gives them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Common {
    /// All parameters.
    pub parameters: Option<Vec<Parameter>>,
    /// Annotations.
    pub annotations: Option<Vec<Parameter>>,
    /// Shared with everybody.
    pub publish: Option<bool>,
    /// A version of the client's choice.
    pub version: Option<Version>,
}

impl Common {
    /// Reads them.
    ///
    /// # Errors
    /// [`ApiError`] for a malformed one.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, ApiError> {
        Ok(Self {
            parameters: body.get("parameters").map(parse_parameters).transpose()?,
            annotations: body.get("annotations").map(parse_parameters).transpose()?,
            publish: optional(body, "publish", Value::as_bool, "Expected Boolean")?,
            version: optional(
                body,
                "version",
                |value| Version::parse(value.as_str()?),
                "semantic version required",
            )?,
        })
    }

    /// Checks their sizes.
    ///
    /// # Errors
    /// [`ApiError`] for too large ones.
    pub fn check_sizes(&self, bounds: &Bounds) -> Result<(), ApiError> {
        for (what, list) in [
            ("parameters", &self.parameters),
            ("annotations", &self.annotations),
        ] {
            let size = list
                .iter()
                .flatten()
                .map(|p| p.key.len() + p.value.to_string().len())
                .sum();
            too_large(what, size, bounds.payload_bytes)?;
        }
        Ok(())
    }

    /// The version after this change of `old`.
    pub fn next_version(&self, old: Option<Version>) -> Version {
        match (self.version, old) {
            (Some(version), _) => version,
            (None, Some(old)) => old.next(),
            (None, None) => Version::FIRST,
        }
    }
}

/// The time of a change: later than the one before even when the clock was set back.
pub fn updated(now: i64, old: Option<i64>) -> i64 {
    now.max(old.map_or(0, |old| old.saturating_add(1)))
}
