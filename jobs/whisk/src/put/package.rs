//! Bodies of packages. Pure.

use serde_json::{Map, Value};

use super::common::{Common, updated};
use crate::action::Parameter;
use crate::api::ApiError;
use crate::name::FullName;
use crate::package::{BINDING_ANNOTATION, Package, reference};
use crate::settings::Bounds;

/// A checked body of `PUT packages/{name}`.
#[derive(Debug, Clone, PartialEq)]
pub struct PackagePut {
    /// The package that it is to be bound to.
    pub binding: Option<FullName>,
    common: Common,
}

impl PackagePut {
    /// Checks a body.
    ///
    /// # Errors
    /// [`ApiError`] with the real server's words.
    pub fn parse(
        body: &Map<String, Value>,
        own_namespace: &str,
        bounds: &Bounds,
    ) -> Result<Self, ApiError> {
        let binding = match body.get("binding") {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) if fields.is_empty() => None,
            Some(value) => {
                let text = |field: &str| value.get(field).and_then(Value::as_str);
                let (Some(namespace), Some(name)) = (text("namespace"), text("name")) else {
                    return Err(ApiError::malformed(
                        "'binding' must have a 'namespace' and a 'name'",
                    ));
                };
                let namespace = if namespace == "_" {
                    own_namespace
                } else {
                    namespace
                };
                Some(FullName {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
        };
        let common = Common::parse(body)?;
        common.check_sizes(bounds)?;
        Ok(Self { binding, common })
    }

    /// Applies it to `old`, or makes a new package. What is not given is kept.
    ///
    /// # Errors
    /// [`ApiError`] when a package with actions of its own is to become a binding.
    pub fn apply(
        self,
        old: Option<&Package>,
        name: &FullName,
        now: i64,
    ) -> Result<Package, ApiError> {
        if self.binding.is_some() && old.is_some_and(|old| old.binding.is_none()) {
            return Err(ApiError::rejected(
                409,
                "Resource is a package and cannot be converted into a binding.",
            ));
        }
        let common = self.common;
        let binding = self
            .binding
            .or_else(|| old.and_then(|old| old.binding.clone()));
        let mut annotations = common
            .annotations
            .clone()
            .unwrap_or_else(|| old.map(|old| old.annotations.clone()).unwrap_or_default());
        if let Some(binding) = &binding {
            annotations.retain(|annotation| annotation.key != BINDING_ANNOTATION);
            annotations.push(Parameter {
                key: BINDING_ANNOTATION.to_owned(),
                value: reference(binding),
                init: false,
            });
        }
        Ok(Package {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            version: common.next_version(old.map(|old| old.version)),
            publish: common
                .publish
                .unwrap_or_else(|| old.is_some_and(|old| old.publish)),
            parameters: common
                .parameters
                .unwrap_or_else(|| old.map(|old| old.parameters.clone()).unwrap_or_default()),
            annotations,
            binding,
            updated: updated(now, old.map(|old| old.updated)),
        })
    }
}
