//! How much of OpenWhisk receivers outside may hold. One that hangs keeps a child busy for each invocation under way, and
//! the drivers' warnings need the children too. Pure.

use crate::openwhisk::children;
use crate::platform::profile::or_profile;
use crate::platform::validate::ValidatedPlatform;

/// They hold at most one child of so many.
const SHARE: u64 = 3;
/// More at once in a pod than a way to the vehicle has is never needed.
const MOST: u64 = 16;

/// How much of a dispatch there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pods {
    /// How many of them.
    pub(super) replicas: i32,
    /// Invocations under way at once in each.
    pub(super) in_flight: i32,
}

/// What each of so many ways outside gets; `replicas` are asked for.
pub(super) fn outside(platform: &ValidatedPlatform, ways: usize, replicas: i32) -> Pods {
    let asked = platform
        .openwhisk
        .as_ref()
        .and_then(|openwhisk| openwhisk.resources.as_ref());
    let memory = or_profile(asked, &platform.sizes.openwhisk).memory;
    let children = memory.map_or(0, |memory| children(&memory));
    shared(children, ways as u64, replicas)
}

fn shared(children: u64, ways: u64, replicas: i32) -> Pods {
    // Without one each, a way would bring nothing at all.
    let each = (children / SHARE / ways.max(1)).max(1);
    let asked = u64::try_from(replicas).unwrap_or(0);
    let pods = asked.min(each);
    let in_flight = (each / pods.max(1)).clamp(1, MOST);
    let small = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    Pods {
        replicas: small(pods),
        in_flight: small(in_flight),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::super::super::crd::Channel;
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use crate::eventsource::crd::EventSource;
    use crate::openwhisk::crd::OpenWhisk;

    /// Children of the OpenWhisk that a platform makes, and how many of them receivers outside may hold.
    fn held(spec: Value) -> (u64, u64, u64) {
        let valid = validate(&platform(spec), live(None)).unwrap();
        let channels = valid.warnings.as_ref().map(|w| w.channels.clone());
        let outside = |channel: &&Channel| **channel != Channel::Vehicle;
        let ways = channels.iter().flatten().filter(outside).count() as u64;
        let (resources, _) = build(&valid).unwrap();
        let whisk: OpenWhisk = resources.get("p-whisk").unwrap();
        let memory = whisk.spec.resources.unwrap().memory.unwrap();
        let sources = ["p-webhook", "p-mail"].into_iter();
        let held = sources
            .filter_map(|name| resources.get::<EventSource>(name))
            .map(|source| source.spec.replicas * source.spec.max_in_flight)
            .sum::<i32>();
        (children(&memory), ways, u64::try_from(held).unwrap())
    }

    fn assert_small(spec: Value, what: &str) {
        let (children, ways, held) = held(spec);
        assert!(held >= ways, "{what}: {held} for {ways} ways");
        assert!(
            held <= (children / SHARE).max(ways),
            "{what}: {held} of {children} children"
        );
    }

    #[test]
    fn receivers_outside_hold_a_third_in_every_example() {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/millrace-environment");
        let mut seen = 0;
        for entry in std::fs::read_dir(chart).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with("values") || !name.ends_with(".yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let mut spec: Value = serde_yaml_ng::from_str(&text).unwrap();
            spec.as_object_mut().unwrap().remove("zoneMaps");
            assert_small(spec, &name);
            seen += 1;
        }
        assert!(seen >= 4, "{seen}");
    }

    #[test]
    fn receivers_outside_hold_a_third_in_every_profile() {
        for profile in ["dev", "standard"] {
            for memory in ["256Mi", "512Mi", "1Gi", "2Gi", "4Gi", "64Gi"] {
                for replicas in [1, 2, 3, 8] {
                    for channels in [json!(["webhook"]), json!(["vehicle", "webhook", "smtp"])] {
                        let key = json!({"name": "s", "key": "k"});
                        let mut warnings = json!({"channels": channels, "replicas": replicas,
                            "webhook": {"url": "https://example.org/h", "secretRef": key}});
                        if channels.as_array().unwrap().len() > 1 {
                            warnings["smtp"] = json!({"secretRef": key, "from": "a@example.org", "to": ["b@example.org"]});
                        }
                        let spec = json!({"profile": profile, "kafka": {}, "gateway": {}, "detect": {},
                            "openwhisk": {"resources": {"memory": memory}}, "warnings": warnings});
                        assert_small(spec, &format!("{profile}, {memory}, {replicas} pods"));
                    }
                }
            }
        }
    }

    #[test]
    fn pods_and_invocations_follow_the_children() {
        let of = |children, ways, replicas| {
            let Pods {
                replicas,
                in_flight,
            } = shared(children, ways, replicas);
            (replicas, in_flight)
        };
        assert_eq!(of(3, 1, 1), (1, 1), "dev");
        assert_eq!(of(7, 1, 2), (2, 1), "1Gi");
        assert_eq!(of(15, 1, 3), (3, 1), "standard with three pods");
        assert_eq!(of(31, 1, 2), (2, 5), "4Gi");
        assert_eq!(of(15, 2, 3), (2, 1), "fewer pods than asked for");
        assert_eq!(of(3, 2, 2), (1, 1), "at least one each");
        assert_eq!(of(1000, 1, 2), (2, 16), "and not without end");
        assert_eq!(of(31, 1, 0), (0, 10), "switched off");
    }
}
