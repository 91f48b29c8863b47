//! A package as it is kept, and how the API shows it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::action::{Action, Parameter, Version};
use crate::name::FullName;

/// The annotation in which a binding shows its provider to old clients.
pub const BINDING_ANNOTATION: &str = "binding";

/// A package: actions under one name with parameters in common, or a binding to another package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version; its last number rises with each change.
    pub version: Version,
    /// Whether other namespaces may read it and invoke its actions.
    pub publish: bool,
    /// Parameters that its actions get, unless they bring their own.
    pub parameters: Vec<Parameter>,
    /// Annotations.
    pub annotations: Vec<Parameter>,
    /// The package whose actions this one offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<FullName>,
    /// Time of the last change, ms since 1970.
    pub updated: i64,
}

/// A binding as clients see it.
pub fn reference(package: &FullName) -> Value {
    json!({ "name": package.name, "namespace": package.namespace })
}

impl Package {
    /// Namespace and name.
    pub fn full_name(&self) -> FullName {
        FullName {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The package as it answers to changes: without its actions.
    pub fn view(&self) -> Map<String, Value> {
        let mut view = self.summary();
        view.insert("parameters".to_owned(), json!(self.parameters));
        let binding = self.binding.as_ref().map_or_else(|| json!({}), reference);
        view.insert("binding".to_owned(), binding);
        view
    }

    /// The package as a client reads it: with its actions, and all the parameters that they get.
    pub fn content(&self, provider: Option<&Package>, actions: &[impl AsRef<Action>]) -> Value {
        let mut view = self.view();
        let inherited = provider.map_or(&[][..], |provider| &provider.parameters[..]);
        let parameters = layered(inherited, &self.parameters);
        view.insert("parameters".to_owned(), json!(parameters));
        let (feeds, actions): (Vec<&Action>, Vec<&Action>) = actions
            .iter()
            .map(AsRef::as_ref)
            .partition(|action| action.is("feed"));
        for (collection, members) in [("actions", actions), ("feeds", feeds)] {
            let members: Vec<Value> = members
                .iter()
                .map(|action| {
                    json!({
                        "annotations": action.annotations,
                        "name": action.full_name().leaf(),
                        "version": action.version,
                    })
                })
                .collect();
            view.insert(collection.to_owned(), json!(members));
        }
        Value::Object(view)
    }

    /// The package as lists show it.
    pub fn summary(&self) -> Map<String, Value> {
        let mut view = Map::new();
        view.insert("annotations".to_owned(), json!(self.annotations));
        let binding = self
            .binding
            .as_ref()
            .map_or_else(|| json!(false), reference);
        view.insert("binding".to_owned(), binding);
        view.insert("name".to_owned(), json!(self.name));
        view.insert("namespace".to_owned(), json!(self.namespace));
        view.insert("publish".to_owned(), json!(self.publish));
        view.insert("updated".to_owned(), json!(self.updated));
        view.insert("version".to_owned(), json!(self.version));
        view
    }
}

/// Parameters of one level over those of the level below; what both have keeps its place.
pub fn layered(below: &[Parameter], above: &[Parameter]) -> Vec<Parameter> {
    let mut all = below.to_vec();
    for parameter in above {
        match all.iter_mut().find(|known| known.key == parameter.key) {
            Some(known) => *known = parameter.clone(),
            None => all.push(parameter.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::note;

    #[test]
    fn the_upper_level_wins_in_the_place_of_the_lower() {
        let all = layered(&[note("a", 1), note("b", 1)], &[note("a", 2), note("c", 2)]);
        let told: Vec<String> = all
            .iter()
            .map(|parameter| format!("{}{}", parameter.key, parameter.value))
            .collect();
        assert_eq!(told, ["a2", "b1", "c2"]);
    }
}
