//! What objects of others that expose the gateway say of themselves. Pure.

use serde_json::Value;

use super::state::NOT_YET;

/// Whether one is ready, and what its controller says; `None` when the object is one of ours.
#[must_use]
pub fn said(body: &Value) -> Option<(bool, String)> {
    let told = match body["kind"].as_str() {
        // An Ingress has no word for being served.
        Some("Ingress") => Some((true, "made".to_owned())),
        Some("Certificate") => condition(body, &body["status"]["conditions"], "Ready"),
        Some("HTTPRoute" | "TLSRoute" | "TCPRoute") => route(body),
        _ => return None,
    };
    Some(told.unwrap_or_else(|| {
        (
            false,
            "no controller of it has said anything yet".to_owned(),
        )
    }))
}

/// What a condition says of the present spec: whether it is true, and its message.
fn condition(body: &Value, conditions: &Value, type_: &str) -> Option<(bool, String)> {
    let condition = conditions
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)?;
    // Not all controllers say of which generation they speak.
    let observed = condition["observedGeneration"].as_i64();
    if observed.is_some_and(|of| Some(of) < body["metadata"]["generation"].as_i64()) {
        return Some((false, NOT_YET.to_owned()));
    }
    let text = |field: &str| condition[field].as_str().filter(|text| !text.is_empty());
    let message = text("message").or_else(|| text("reason")).unwrap_or(type_);
    Some((condition["status"] == "True", message.to_owned()))
}

/// What the Gateways say that a route asks for now. One that has taken it is enough to be reached by.
fn route(body: &Value) -> Option<(bool, String)> {
    let asked = body["spec"]["parentRefs"].as_array()?;
    let parents = body["status"]["parents"].as_array()?;
    let told: Vec<_> = parents
        .iter()
        .filter(|parent| {
            let of = |asked| is_same(body, asked, &parent["parentRef"]);
            asked.iter().any(of)
        })
        .map(|parent| attached(body, &parent["conditions"]))
        .collect();
    let ready = told.iter().find(|(ready, _)| *ready);
    ready.or(told.first()).cloned()
}

/// A Gateway has to accept a route and to find what it leads to; else it answers, and nobody gets in.
fn attached(body: &Value, conditions: &Value) -> (bool, String) {
    let mut all = (true, String::new());
    for type_ in ["Accepted", "ResolvedRefs"] {
        match condition(body, conditions, type_) {
            Some((true, message)) if all.1.is_empty() => all.1 = message,
            Some((true, _)) => {}
            Some(not) => return not,
            None => return (false, format!("its Gateway has not said {type_} yet")),
        }
    }
    all
}

fn is_same(body: &Value, one: &Value, other: &Value) -> bool {
    let own = &body["metadata"]["namespace"];
    let namespace = |of: &Value| match &of["namespace"] {
        Value::Null => own.clone(),
        given => given.clone(),
    };
    one["name"] == other["name"]
        && one["sectionName"] == other["sectionName"]
        && namespace(one) == namespace(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ready(body: &Value) -> bool {
        said(body).unwrap().0
    }

    #[test]
    fn ours_are_not_read_here_and_an_ingress_has_nothing_to_say() {
        assert_eq!(said(&json!({"kind": "StreamJob"})), None);
        assert!(ready(
            &json!({"kind": "Ingress", "metadata": {"name": "i"}})
        ));
    }

    #[test]
    fn a_certificate_is_ready_when_its_present_spec_is() {
        let certificate = |status: &str, observed: Value| {
            json!({"kind": "Certificate", "metadata": {"name": "c", "generation": 2}, "status": {"conditions": [
                {"type": "Ready", "status": status, "message": "issuing", "observedGeneration": observed}]}})
        };
        assert!(ready(&certificate("True", json!(2))));
        assert!(ready(&certificate("True", Value::Null)));
        assert!(!ready(&certificate("False", json!(2))));
        assert_eq!(said(&certificate("False", json!(2))).unwrap().1, "issuing");
        assert_eq!(
            said(&certificate("True", json!(1))).unwrap(),
            (false, NOT_YET.to_owned())
        );
        assert!(!ready(
            &json!({"kind": "Certificate", "metadata": {"name": "c"}})
        ));
    }

    /// A route that asks for the listener `web` of the Gateway `edge`, and what its parents say.
    fn route(parents: &[Value]) -> Value {
        json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "ns", "generation": 2},
            "spec": {"parentRefs": [{"name": "edge", "sectionName": "web", "group": "g", "kind": "Gateway"}]},
            "status": {"parents": parents}})
    }

    fn parent(parent: Value, accepted: &str, resolved: &str, observed: i64) -> Value {
        let one = |type_: &str, status: &str| json!({"type": type_, "status": status, "observedGeneration": observed, "message": format!("{type_} m")});
        json!({"parentRef": parent, "conditions": [one("Accepted", accepted), one("ResolvedRefs", resolved)]})
    }

    #[test]
    fn a_route_is_ready_when_a_gateway_takes_it_and_finds_what_it_leads_to() {
        let edge = || json!({"name": "edge", "sectionName": "web", "namespace": "ns"});
        assert!(ready(&route(&[parent(edge(), "True", "True", 2)])));
        for (parents, says) in [
            (vec![], "no controller"),
            (vec![parent(edge(), "False", "True", 2)], "Accepted m"),
            (vec![parent(edge(), "True", "False", 2)], "ResolvedRefs m"),
            (vec![parent(edge(), "True", "True", 1)], NOT_YET),
            (
                vec![json!({"parentRef": edge(), "conditions": []})],
                "has not said Accepted",
            ),
        ] {
            let (ready, message) = said(&route(&parents)).unwrap();
            assert!(!ready && message.contains(says), "{message}");
        }
        let both = [
            parent(edge(), "False", "True", 2),
            parent(edge(), "True", "True", 2),
        ];
        assert!(ready(&route(&both)));
    }

    #[test]
    fn gateways_that_are_asked_for_no_longer_do_not_count() {
        for former in [
            json!({"name": "old", "sectionName": "web"}),
            json!({"name": "edge"}),
            json!({"name": "edge", "sectionName": "mqtt"}),
            json!({"name": "edge", "sectionName": "web", "namespace": "infra"}),
        ] {
            assert!(!ready(&route(&[parent(former, "True", "True", 2)])));
        }
        let here = json!({"name": "edge", "sectionName": "web"});
        assert!(ready(&route(&[parent(here, "True", "True", 2)])));
    }
}
