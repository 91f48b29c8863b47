//! Rules and limits of a specification, as Kafka knows them. Pure.

use std::collections::BTreeSet;

use crate::remote::kafka::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, CLUSTER_NAME, Quotas,
};
use crate::user::crd::{
    AclRule, KafkaUserSpec, Operation, PatternType, Permission, ResourceType, UserQuotas,
};

/// All rules: one for each operation.
#[must_use]
pub fn acls(spec: &KafkaUserSpec) -> BTreeSet<Acl> {
    let of_rule = |rule: &AclRule| {
        let rule = rule.clone();
        let operations = rule.operations.clone();
        operations.into_iter().map(move |operation| Acl {
            resource: match rule.resource {
                ResourceType::Topic => AclResource::Topic,
                ResourceType::Group => AclResource::Group,
                ResourceType::TransactionalId => AclResource::TransactionalId,
                ResourceType::Cluster => AclResource::Cluster,
            },
            name: rule.name.clone().unwrap_or_else(|| CLUSTER_NAME.to_owned()),
            pattern: match rule.pattern_type {
                PatternType::Literal => AclPattern::Literal,
                PatternType::Prefix => AclPattern::Prefixed,
            },
            operation: match operation {
                Operation::All => AclOperation::All,
                Operation::Read => AclOperation::Read,
                Operation::Write => AclOperation::Write,
                Operation::Create => AclOperation::Create,
                Operation::Delete => AclOperation::Delete,
                Operation::Alter => AclOperation::Alter,
                Operation::Describe => AclOperation::Describe,
                Operation::ClusterAction => AclOperation::ClusterAction,
                Operation::DescribeConfigs => AclOperation::DescribeConfigs,
                Operation::AlterConfigs => AclOperation::AlterConfigs,
                Operation::IdempotentWrite => AclOperation::IdempotentWrite,
            },
            host: rule.host.clone(),
            permission: match rule.permission {
                Permission::Allow => AclPermission::Allow,
                Permission::Deny => AclPermission::Deny,
            },
        })
    };
    spec.acls.iter().flat_map(of_rule).collect()
}

/// All limits, by their names in Kafka.
#[must_use]
pub fn quotas(quotas: Option<&UserQuotas>) -> Quotas {
    let Some(quotas) = quotas else {
        return Quotas::new();
    };
    // Kafka keeps all limits as such numbers; those of bytes are far below where they would lose a unit.
    let bytes = |rate: Option<i64>| rate.map(|rate| rate as f64);
    [
        ("producer_byte_rate", bytes(quotas.producer_byte_rate)),
        ("consumer_byte_rate", bytes(quotas.consumer_byte_rate)),
        ("request_percentage", quotas.request_percentage),
        ("controller_mutation_rate", quotas.controller_mutation_rate),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_operation_is_a_rule() {
        let spec: KafkaUserSpec = serde_json::from_value(json!({"kafka": "k", "acls": [
            {"resource": "topic", "name": "alerts", "operations": ["Read", "Write"]},
            {"resource": "transactionalId", "name": "detect-", "patternType": "prefix", "operations": ["Write"]},
            {"resource": "cluster", "operations": ["IdempotentWrite"]},
            {"resource": "group", "name": "*", "operations": ["All"], "host": "192.0.2.1", "permission": "deny"},
        ]}))
        .unwrap();
        let told: Vec<String> = acls(&spec).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "allow Read on topic alerts",
                "allow Write on topic alerts",
                "deny All on group * from 192.0.2.1",
                "allow IdempotentWrite on cluster kafka-cluster",
                "allow Write on transactionalId detect-…",
            ]
        );
    }

    #[test]
    fn limits_have_the_names_of_kafka() {
        assert!(quotas(None).is_empty());
        let asked = serde_json::from_value(
            json!({"producerByteRate": 1024, "consumerByteRate": 2048, "requestPercentage": 12.5, "controllerMutationRate": 2}),
        )
        .unwrap();
        let expected = [
            ("consumer_byte_rate", 2048.0),
            ("controller_mutation_rate", 2.0),
            ("producer_byte_rate", 1024.0),
            ("request_percentage", 12.5),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(quotas(Some(&asked)), Quotas::from(expected));
    }
}
