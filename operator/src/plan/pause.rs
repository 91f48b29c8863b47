//! What a pause, and its end, comes to for the parts of what is paused.

use serde_json::Value;

use super::Planned;
use crate::context::PAUSER;
use crate::reconcile::{Forecast, compare};

/// Tells that an object would rest, and its parts with it.
pub(super) fn rest(planned: &mut Planned, live: &Value, has_parts: bool) {
    let told = "spec.paused is true: nothing is done until it is false";
    planned.waiting.push(told.into());
    if has_parts && !live.is_null() && live["spec"]["paused"] != true {
        planned
            .steps
            .push("set spec.paused of all its parts".into());
    }
}

/// A part of an object that is not paused, as it would be. Only what rests has its parts paused by the operator: that is
/// taken back, and not what somebody else has paused.
pub(super) fn wake(mut part: Forecast) -> Forecast {
    if part.would["spec"]["paused"] != true || !paused_by_us_alone(&part.would) {
        return part;
    }
    if let Some(spec) = part.would["spec"].as_object_mut() {
        spec.remove("paused");
    }
    compare(part.live, part.would)
}

fn paused_by_us_alone(object: &Value) -> bool {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut owners = entries
        .into_iter()
        .flatten()
        .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:paused"].is_null())
        .peekable();
    owners.peek().is_some() && owners.all(|entry| entry["manager"] == PAUSER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::reconcile::Verb;

    fn part(managers: &[&str]) -> Forecast {
        let entry =
            |manager: &&str| json!({"manager": manager, "fieldsV1": {"f:spec": {"f:paused": {}}}});
        let mut fields: Vec<Value> = managers.iter().map(entry).collect();
        fields.push(json!({"manager": "m", "fieldsV1": {"f:spec": {"f:nodes": {}}}}));
        let live = json!({"kind": "KafkaCluster", "metadata": {"name": "k", "managedFields": fields},
            "spec": {"nodes": 1, "paused": true}});
        compare(live.clone(), live)
    }

    #[test]
    fn only_what_the_operator_paused_goes_on() {
        let woken = wake(part(&[PAUSER]));
        assert_eq!(woken.verb, Verb::Change);
        assert_eq!(woken.fields[0].path, "spec.paused");
        assert_eq!(woken.would["spec"], json!({"nodes": 1}));
        for managers in [&["user"][..], &[PAUSER, "user"], &[]] {
            let left = wake(part(managers));
            assert_eq!(left.verb, Verb::Keep, "{managers:?}");
            assert_eq!(left.would["spec"]["paused"], true);
        }
    }
}
