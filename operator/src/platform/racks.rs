//! Whether the parts of a platform spread copies over racks. They are told the racks by the nodes of Kubernetes, which an
//! operator for some namespaces may list only where that is given to it.

use super::build;
use super::crd::PlatformSpec;
use super::profile::sizes;
use super::validate::ValidatedPlatform;
use crate::context::Context;
use crate::hdfs::crd::HdfsCluster;
use crate::kafka::crd::KafkaCluster;
use crate::reconcile::{Error, Owner, racks};
use crate::status::{Condition, RACKS_KNOWN, set_condition};

/// Which parts can have racks, where the profile asks for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Racks {
    /// Kafka.
    pub kafka: bool,
    /// HDFS.
    pub hdfs: bool,
}

/// Sees which parts can have racks.
///
/// # Errors
/// Kubernetes could not be asked.
pub(super) async fn look(
    context: &Context,
    owner: &Owner,
    spec: &PlatformSpec,
) -> Result<Racks, Error> {
    if !sizes(spec.profile).racks() || racks::readable(context).await? {
        return Ok(Racks {
            kafka: true,
            hdfs: true,
        });
    }
    // What has racks keeps them, and tells itself what it lacks: without, its pods would be restarted, and new copies
    // would come together in one rack.
    let kafka = context
        .namespaced::<KafkaCluster>(&owner.namespace)
        .get_opt(&build::kafka_cluster(&owner.name))
        .await
        .map_err(Error::doing("reading the KafkaCluster"))?;
    let hdfs = context
        .namespaced::<HdfsCluster>(&owner.namespace)
        .get_opt(&build::hdfs_cluster(&owner.name))
        .await
        .map_err(Error::doing("reading the HdfsCluster"))?;
    Ok(Racks {
        kafka: kafka.is_some_and(|kafka| kafka.spec.rack.is_some()),
        hdfs: hdfs.is_some_and(|hdfs| hdfs.spec.rack.is_some()),
    })
}

/// Says which parts do without racks, if there are any. Gives the sentence when it is news.
pub(super) fn tell(
    conditions: &mut Vec<Condition>,
    platform: &ValidatedPlatform,
    generation: Option<i64>,
) -> Option<String> {
    let without = without(platform);
    if without.is_empty() {
        conditions.retain(|condition| condition.type_ != RACKS_KNOWN);
        return None;
    }
    let told = format!(
        "{} made without spec.rack: the operator may not list the nodes of Kubernetes, so copies may come together in one zone; {}, after which the pods are restarted one at a time",
        without.join(" and "),
        racks::CURE
    );
    let reason = racks::UNREADABLE;
    set_condition(conditions, RACKS_KNOWN, false, reason, &told, generation).then_some(told)
}

/// The parts that do without racks though the profile asks for them.
fn without(platform: &ValidatedPlatform) -> Vec<String> {
    if !platform.sizes.racks() {
        return Vec::new();
    }
    let name = &platform.owner.name;
    let kafka = platform.kafka.as_ref();
    let hdfs = platform.hdfs.as_ref();
    let kafka = kafka.is_some_and(|kafka| kafka.external.is_none()) && !platform.racks.kafka;
    let hdfs = hdfs.is_some_and(|hdfs| hdfs.external.is_none()) && !platform.racks.hdfs;
    let kafka = kafka.then(|| format!("KafkaCluster {}", build::kafka_cluster(name)));
    let hdfs = hdfs.then(|| format!("HdfsCluster {}", build::hdfs_cluster(name)));
    kafka.into_iter().chain(hdfs).collect()
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{live, platform};
    use super::super::validate::{Live, validate};
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value, racks: Racks) -> ValidatedPlatform {
        let live = Live {
            racks,
            ..live(None)
        };
        validate(&platform(spec), live).unwrap()
    }

    /// Whether Kafka and HDFS are made with racks.
    fn made(platform: &ValidatedPlatform) -> (bool, bool) {
        let (resources, _) = build::build(platform).unwrap();
        let kafka = resources.get::<KafkaCluster>("p-kafka").unwrap();
        let hdfs = resources.get::<HdfsCluster>("p-hdfs").unwrap();
        (kafka.spec.rack.is_some(), hdfs.spec.rack.is_some())
    }

    #[test]
    fn without_the_right_to_list_nodes_a_platform_is_made_without_racks_and_says_so() {
        let spec = json!({"profile": "ha", "kafka": {}, "hdfs": {}});
        let neither = Racks {
            kafka: false,
            hdfs: false,
        };
        let lacking = of(spec.clone(), neither);
        assert_eq!(made(&lacking), (false, false));
        let mut conditions = Vec::new();
        let told = tell(&mut conditions, &lacking, Some(1)).unwrap();
        for part in ["p-kafka", "p-hdfs", "readNodes: true"] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(conditions[0].reason, "NodesUnreadable");
        assert_eq!(conditions[0].status, "False");
        assert_eq!(tell(&mut conditions, &lacking, Some(1)), None, "no news");

        let kept = Racks {
            kafka: true,
            hdfs: false,
        };
        let kept = of(spec.clone(), kept);
        assert_eq!(made(&kept), (true, false), "what has racks keeps them");
        assert_eq!(tell(&mut conditions, &kept, Some(1)), None);
        assert!(!conditions[0].message.contains("p-kafka"));

        let both = Racks {
            kafka: true,
            hdfs: true,
        };
        let both = of(spec, both);
        assert_eq!(made(&both), (true, true));
        assert_eq!(tell(&mut conditions, &both, Some(1)), None);
        assert!(conditions.is_empty(), "there is nothing to say any more");
    }

    #[test]
    fn parts_that_would_have_no_racks_lack_none() {
        let neither = Racks {
            kafka: false,
            hdfs: false,
        };
        let theirs = json!({"external": {"bindingSecret": "s"}});
        for spec in [
            json!({"profile": "standard", "kafka": {}, "hdfs": {}}),
            json!({"profile": "ha", "kafka": theirs}),
            json!({"profile": "ha", "kafka": theirs, "hdfs": theirs}),
        ] {
            assert!(without(&of(spec, neither)).is_empty());
        }
    }
}
