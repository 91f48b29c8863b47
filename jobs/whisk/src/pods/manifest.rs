//! The pod of one action. Pure.

use serde_json::{Map, Value, json};

use crate::action::Action;

/// The name of these pods in labels, which NetworkPolicies go by.
pub const COMPONENT: &str = "openwhisk-image-action";

/// The port of `/init` and `/run`: it is part of what images of actions are.
pub const PORT: u16 = 8080;

/// The label of the server's run that made a pod: those of other runs are orphans.
const RUN: &str = "millrace.dev/whisk-run";

/// The user and group of every container.
const USER: u32 = 1000;

/// What a pod may have on its node's disk, and in each of its two directories: as much as a child.
const DISK: &str = "256Mi";

/// The longest value of a label.
pub(super) const LABEL: usize = 63;

/// What all pods of one server have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The label `app.kubernetes.io/instance`, and how names begin.
    pub instance: String,
    /// The namespace of Kubernetes.
    pub namespace: String,
    /// The server's own pod, name and uid: its end takes all of them with it.
    pub server: Option<(String, String)>,
    /// The Secret with the login of the images' registry.
    pub pull_secret: Option<String>,
    /// The API's address as these actions are told it.
    pub api_host: String,
    /// Which run of the server this is.
    pub run: String,
}

impl Family {
    /// Finds the pods that other runs of this server have left.
    pub fn orphans(&self) -> String {
        format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/name={COMPONENT},{RUN}!={}",
            self.instance, self.run
        )
    }

    /// The name of a pod that nobody has had before.
    pub fn pod_name(&self, action: &Action) -> String {
        let unique = crate::name::activation_id();
        let leaf = dashed(action.full_name().leaf(), 20);
        let instance = dashed(&self.instance, 28);
        let parts = [instance.as_str(), leaf.as_str(), &unique[..10]];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }

    /// A pod that runs an image for an action, under the restricted profile and within the action's memory.
    pub fn pod(&self, name: &str, action: &Action, image: &str) -> Value {
        let full = action.full_name();
        let memory = format!("{}Mi", action.limits.memory);
        let mut metadata = json!({
            "name": name,
            "namespace": self.namespace,
            "labels": {
                "app.kubernetes.io/name": COMPONENT,
                "app.kubernetes.io/instance": self.instance,
                "app.kubernetes.io/managed-by": "millrace-whisk",
                "app.kubernetes.io/part-of": "millrace",
                "millrace.dev/action-namespace": label(&full.namespace),
                "millrace.dev/action": label(&full.name),
                RUN: self.run,
            },
            // Labels cannot hold all that names may.
            "annotations": {
                "millrace.dev/action": full.to_string(),
                "millrace.dev/action-version": action.version.to_string(),
            },
        });
        if let Some((server, uid)) = &self.server {
            let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": server, "uid": uid });
            metadata["ownerReferences"] = json!([owner]);
        }
        let mut spec = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "action",
                "image": image,
                "ports": [{ "containerPort": PORT }],
                "env": [{ "name": "__OW_API_HOST", "value": self.api_host }],
                "resources": {
                    "requests": { "memory": memory, "cpu": "10m", "ephemeral-storage": "16Mi" },
                    "limits": { "memory": memory, "ephemeral-storage": DISK },
                },
                // The root can be written: images of OpenWhisk unpack actions where they please.
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
            }],
            "volumes": [{ "name": "tmp", "emptyDir": { "sizeLimit": DISK } }],
        });
        // A volume over the program that an image without code has there would hide it.
        if action.exec.code().is_some() {
            let mount = json!({ "name": "code", "mountPath": "/action" });
            let volume = json!({ "name": "code", "emptyDir": { "sizeLimit": DISK } });
            push(&mut spec["containers"][0]["volumeMounts"], mount);
            push(&mut spec["volumes"], volume);
        }
        if let Some(secret) = &self.pull_secret {
            spec["imagePullSecrets"] = json!([{ "name": secret }]);
        }
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
    }
}

fn push(list: &mut Value, item: Value) {
    if let Value::Array(list) = list {
        list.push(item);
    }
}

/// The `value` of `/init`.
pub fn init(
    action: &Action,
    main: Option<&str>,
    code: Option<(&str, bool)>,
    env: Vec<(String, String)>,
) -> Value {
    let env: Map<String, Value> = env
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    let mut value = json!({
        "name": action.full_name().leaf(),
        "main": main.unwrap_or("main"),
        "binary": code.is_some_and(|(_, binary)| binary),
        "env": env,
    });
    if let Some((code, _)) = code {
        value["code"] = json!(code);
    }
    json!({ "value": value })
}

/// A text as a label's value: what none may hold becomes a dash.
fn label(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let text: String = text
        .chars()
        .take(LABEL)
        .map(|c| if legal(c) { c } else { '-' })
        .collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

/// A text as a part of a pod's name.
fn dashed(text: &str, longest: usize) -> String {
    let text: String = text
        .chars()
        .take(longest)
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Code, Exec, Limits, Version};

    fn family() -> Family {
        Family {
            instance: "w".to_owned(),
            namespace: "ns".to_owned(),
            server: Some(("w-0".to_owned(), "u".to_owned())),
            pull_secret: Some("registry".to_owned()),
            api_host: "http://w.ns.svc:3233".to_owned(),
            run: "r1".to_owned(),
        }
    }

    fn action(name: &str) -> Action {
        Action {
            namespace: "guest".to_owned(),
            name: name.to_owned(),
            version: Version::FIRST,
            publish: false,
            parameters: Vec::new(),
            annotations: Vec::new(),
            limits: Limits::default(),
            exec: Exec::Image {
                image: "i:1".to_owned(),
                code: None,
                main: None,
            },
            binding: None,
            updated: 0,
        }
    }

    #[test]
    fn a_pod_fulfils_the_restricted_profile_within_the_actions_memory() {
        let pod = family().pod("p", &action("tools/Resize it"), "i:1");
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["enableServiceLinks"], false);
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
        let container = &spec["containers"][0];
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(
            container["securityContext"]["capabilities"]["drop"],
            json!(["ALL"])
        );
        assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
        assert_eq!(container["resources"]["requests"]["memory"], "256Mi");
        assert_eq!(container["ports"][0]["containerPort"], 8080);
        let metadata = &pod["metadata"];
        assert_eq!(
            metadata["ownerReferences"],
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "w-0", "uid": "u"}])
        );
        let labels = &metadata["labels"];
        assert_eq!(labels["millrace.dev/action"], "tools-Resize-it");
        assert_eq!(labels["millrace.dev/action-namespace"], "guest");
        assert_eq!(labels["app.kubernetes.io/name"], COMPONENT);
        assert_eq!(
            metadata["annotations"]["millrace.dev/action"],
            "guest/tools/Resize it"
        );
    }

    #[test]
    fn what_an_image_has_at_the_place_of_code_is_hidden_by_code_alone() {
        let places = |action: &Action| {
            let pod = family().pod("p", action, "i:1");
            let spec = &pod["spec"];
            let volumes = spec["volumes"].as_array().unwrap().len();
            let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
            assert_eq!(mounts.len(), volumes);
            let path = |mount: &Value| mount["mountPath"].as_str().unwrap().to_owned();
            mounts.iter().map(path).collect::<Vec<_>>()
        };
        let mut action = action("a");
        assert_eq!(places(&action), ["/tmp"]);
        action.exec = Exec::Image {
            image: "i:1".to_owned(),
            code: Some(Code {
                digest: "d".to_owned(),
                binary: false,
                length: 1,
                hold: crate::action::Hold::default(),
            }),
            main: None,
        };
        assert_eq!(places(&action), ["/tmp", "/action"]);
    }

    #[test]
    fn a_server_without_a_pod_of_its_own_owns_nothing() {
        let alone = Family {
            server: None,
            pull_secret: None,
            ..family()
        };
        let pod = alone.pod("p", &action("a"), "i:1");
        assert!(pod["metadata"].get("ownerReferences").is_none());
        assert!(pod["spec"].get("imagePullSecrets").is_none());
    }

    #[test]
    fn names_are_legal_whatever_the_action_is_called() {
        for name in ["echo", "p/Warn_driver & co", &"x".repeat(256), "_"] {
            let action = action(name);
            let pod = family().pod_name(&action);
            assert!(pod.len() <= LABEL, "{pod}");
            assert!(pod.starts_with("w-"), "{pod}");
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(pod.chars().all(legal), "{pod}");
            assert_ne!(pod, family().pod_name(&action));
            assert!(label(name).len() <= LABEL);
        }
        assert_eq!(label("_"), "");
        assert_eq!(
            family().orphans(),
            "app.kubernetes.io/instance=w,app.kubernetes.io/name=openwhisk-image-action,millrace.dev/whisk-run!=r1"
        );
    }

    #[test]
    fn init_says_what_the_contract_asks() {
        let env = vec![("__OW_NAMESPACE".to_owned(), "guest".to_owned())];
        assert_eq!(
            init(&action("p/a"), None, Some(("UEs=", true)), env),
            json!({"value": {"name": "a", "main": "main", "binary": true, "code": "UEs=",
                "env": {"__OW_NAMESPACE": "guest"}}})
        );
        let bare = init(&action("a"), Some("m"), None, Vec::new());
        assert_eq!(
            bare,
            json!({"value": {"name": "a", "main": "m", "binary": false, "env": {}}})
        );
    }
}
