//! How many nodes Kubernetes may take away at once.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::super::COMPONENT;
use super::super::validate::ValidatedKafka;
use super::{broker_selector, controller_selector};
use crate::pods;

/// One for each role, or one for all where a pod has both: Kubernetes evicts no pod that two of them speak of.
pub(super) fn budgets(kafka: &ValidatedKafka) -> Vec<PodDisruptionBudget> {
    let name = &kafka.owner.name;
    if kafka.is_combined() {
        return vec![budget(kafka, name, kafka.owner.selector(COMPONENT))];
    }
    vec![
        budget(
            kafka,
            &format!("{name}-controllers"),
            controller_selector(kafka),
        ),
        budget(kafka, &format!("{name}-brokers"), broker_selector(kafka)),
    ]
}

fn budget(
    kafka: &ValidatedKafka,
    name: &str,
    selector: BTreeMap<String, String>,
) -> PodDisruptionBudget {
    pods::disruption_budget(kafka.owner.meta(name, COMPONENT), selector, 1)
}
