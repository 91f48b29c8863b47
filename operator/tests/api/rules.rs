//! Every rule of the definitions lets through what is right, and refuses what is wrong with the field and the cure. What is
//! tried stands in `rules/KIND.yaml`; a rule that nothing there has set off fails the check, and so does one whose field is in
//! nothing that was accepted.

use std::collections::BTreeMap;
use std::path::Path;

use millrace_operator::registry::registry;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::Scene;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    kind: String,
    #[serde(default)]
    accepted: Vec<Accepted>,
    #[serde(default)]
    refused: Vec<Refused>,
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    name: String,
    spec: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    #[serde(default = "any_name")]
    name: String,
    spec: Value,
    /// What the answer has to say.
    says: Vec<String>,
}

/// One spec put in the place of another: let through, or refused with these words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    before: Value,
    after: Value,
    #[serde(default)]
    says: Vec<String>,
}

fn any_name() -> String {
    "x".into()
}

fn cases() -> Vec<Cases> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/rules");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            serde_yaml_ng::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}

/// A rule of a definition: where it stands, and the parts of what it says that are always the same.
#[derive(Debug)]
struct Rule {
    path: String,
    says: Vec<String>,
}

fn rules(schema: &Value, path: &str, found: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let says = match (&rule["message"], &rule["messageExpression"]) {
            (Value::String(message), _) => vec![message.clone()],
            (_, Value::String(expression)) => {
                // Every second part between quotes is text.
                let texts = expression.split('\'').skip(1).step_by(2);
                // But for patterns.
                let texts = texts.filter(|text| !text.starts_with('^'));
                texts.map(Into::into).collect()
            }
            _ => panic!("{path}: a rule without a message: {rule}"),
        };
        found.push(Rule {
            path: path.to_owned(),
            says,
        });
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        rules(inner, &path, found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{path}[]"), found);
    }
}

/// What was refused, cause by cause: the field without the indices, and the words; and the resources that were accepted.
#[derive(Default)]
struct Heard {
    refused: Vec<(String, String)>,
    accepted: Vec<Value>,
}

impl Heard {
    fn note(&mut self, causes: Vec<(String, String)>) {
        self.refused.extend(
            causes
                .into_iter()
                .map(|(field, says)| (plain(&field), says)),
        );
    }

    fn accept(&mut self, spec: &Value) {
        self.accepted.push(json!({"spec": spec}));
    }

    /// What is missing for a rule, if anything.
    fn lacks(&self, rule: &Rule) -> Option<&'static str> {
        if !self.has(rule) {
            return Some("nothing sets off");
        }
        let mut accepted = self.accepted.iter();
        let has_passed = accepted.any(|resource| holds(resource, &rule.path));
        (!has_passed).then_some("nothing passes")
    }

    fn has(&self, rule: &Rule) -> bool {
        self.refused.iter().any(|(field, says)| {
            (*field == rule.path || (rule.path.is_empty() && field == "<nil>"))
                && rule.says.iter().all(|part| says.contains(part.as_str()))
        })
    }
}

/// A field's path without what stands between brackets.
fn plain(field: &str) -> String {
    let mut inside = false;
    field
        .chars()
        .filter(|character| match character {
            '[' => {
                inside = true;
                true
            }
            ']' => {
                inside = false;
                true
            }
            _ => !inside,
        })
        .collect()
}

/// Whether a resource has a field, in one of the items where it is in a list.
fn holds(value: &Value, path: &str) -> bool {
    if path.is_empty() {
        return !value.is_null();
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first.strip_suffix("[]") {
        Some(list) => {
            let items = value[list].as_array();
            items.is_some_and(|items| items.iter().any(|item| holds(item, rest)))
        }
        None => holds(&value[first], rest),
    }
}

fn check(what: &str, told: &[(String, String)], says: &[String]) -> Option<String> {
    let all: Vec<String> = told
        .iter()
        .map(|(field, text)| format!("{field}: {text}"))
        .collect();
    let all = all.join("; ");
    let missing = says.iter().find(|part| !all.contains(part.as_str()))?;
    Some(format!("{what}: {missing:?} is missing in: {all}"))
}

/// Applies. Gives what is told when it is refused, cause by cause.
async fn tried(
    scene: &Scene,
    kind: &str,
    name: &str,
    spec: Value,
) -> Result<(), Vec<(String, String)>> {
    let Err(status) = scene.try_apply(kind, name, spec).await else {
        return Ok(());
    };
    let causes = status
        .details
        .into_iter()
        .flat_map(|details| details.causes);
    let mut told: Vec<_> = causes.map(|cause| (cause.field, cause.message)).collect();
    if told.is_empty() {
        told.push((String::new(), status.message));
    }
    Err(told)
}

pub async fn every_rule_accepts_and_refuses(scene: &Scene) {
    let mut wrong = Vec::new();
    let mut heard: BTreeMap<String, Heard> = BTreeMap::new();
    for cases in cases() {
        let kind = cases.kind.as_str();
        let heard = heard.entry(kind.to_owned()).or_default();
        for Accepted { name, spec } in cases.accepted {
            match tried(scene, kind, &name, spec.clone()).await {
                Ok(()) => heard.accept(&spec),
                Err(told) => wrong.push(format!("{kind} {name} was refused: {told:?}")),
            }
        }
        for Refused { name, spec, says } in cases.refused {
            match tried(scene, kind, &name, spec.clone()).await {
                Ok(()) => wrong.push(format!("{kind} {spec} was accepted")),
                Err(told) => {
                    wrong.extend(check(&format!("{kind} {spec}"), &told, &says));
                    heard.note(told);
                }
            }
        }
        for (index, change) in cases.changes.into_iter().enumerate() {
            let Change {
                before,
                after,
                says,
            } = change;
            let name = format!("c{index}");
            let what = format!("{kind} {before} -> {after}");
            if let Err(told) = tried(scene, kind, &name, before.clone()).await {
                wrong.push(format!("{what}: the former was refused: {told:?}"));
                continue;
            }
            heard.accept(&before);
            match tried(scene, kind, &name, after.clone()).await {
                Ok(()) if says.is_empty() => heard.accept(&after),
                Ok(()) => wrong.push(format!("{what} was accepted")),
                Err(told) if says.is_empty() => wrong.push(format!("{what}: {told:?}")),
                Err(told) => {
                    wrong.extend(check(&what, &told, &says));
                    heard.note(told);
                }
            }
        }
    }
    let mut count = 0;
    for component in registry() {
        let definition = serde_json::to_value((component.crd)()).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let mut found = Vec::new();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        rules(schema, "", &mut found);
        count += found.len();
        for rule in found {
            let heard = heard.get(kind);
            if let Some(what) = heard.map_or(Some("nothing tries"), |heard| heard.lacks(&rule)) {
                wrong.push(format!(
                    "{kind}: {what} the rule at {:?}: {:?}",
                    rule.path, rule.says
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} rules:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
