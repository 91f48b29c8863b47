//! `kubectl explain` tells what our definitions say.

use millrace_operator::generate::crd_json;
use millrace_operator::registry::registry;
use millrace_testkit::ApiServer;
use serde_json::Value;

/// Without the breaks of lines that kubectl makes.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The deepest object with fields, and where it is, each time by the first field that has some.
fn deepest<'a>(path: &str, schema: &'a Value) -> (String, &'a Value) {
    let mut inner = schema["properties"].as_object().into_iter().flatten();
    let inner = inner.find_map(|(name, property)| {
        // kubectl passes over what lies between: a list or a map.
        let fields = [
            property,
            &property["items"],
            &property["additionalProperties"],
        ];
        let has_fields = |schema: &&&Value| schema["properties"].is_object();
        Some((name, *fields.iter().find(has_fields)?))
    });
    match inner {
        Some((name, schema)) => deepest(&format!("{path}.{name}"), schema),
        None => (path.to_owned(), schema),
    }
}

/// What of the fields of an object kubectl does not tell.
fn untold(server: &ApiServer, path: &str, schema: &Value) -> Vec<String> {
    let mut kubectl = server.kubectl();
    let output = kubectl
        .args(["explain", path, "--api-version=millrace.dev/v1alpha1"])
        .output()
        .unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return vec![format!("{path}: {said}")];
    }
    let told = plain(&String::from_utf8_lossy(&output.stdout));
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .filter(|(name, field)| {
            let described = plain(field["description"].as_str().unwrap_or_default());
            described.is_empty() || !told.contains(&described) || !told.contains(name.as_str())
        })
        .map(|(name, _)| format!("{path}.{name}"))
        .collect()
}

/// The fields of our kinds that `kubectl explain` does not explain: those of each spec, and some that lie deep.
pub fn unexplained(server: &ApiServer) -> Vec<String> {
    let mut all = Vec::new();
    for component in registry() {
        let crd = crd_json(&(component.crd)()).unwrap();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &schema["properties"]["spec"];
        let path = format!("{plural}.spec");
        all.extend(untold(server, &path, spec));
        let (deep, schema) = deepest(&path, spec);
        if deep != path {
            all.extend(untold(server, &deep, schema));
        }
    }
    all
}
