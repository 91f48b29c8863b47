//! Who may do what: the access rules of principals. The upper half is pure.

use std::collections::BTreeSet;
use std::fmt;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse,
};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::text;

/// Whatever is asked for in a filter.
const ANY: i8 = 1;
/// The name of the only resource of kind cluster.
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// Gives each value of an enum its code in the protocol and its name; unknown codes are kept as they are.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $code:literal, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)*
            /// One that this version has no name for.
            Other(i8),
        }

        impl $name {
            fn code(self) -> i8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            fn of(code: i8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($word),)*
                    Self::Other(code) => write!(f, "number {code}"),
                }
            }
        }
    };
}

coded! {
    /// What a rule is about.
    AclResource {
        /// Topics.
        Topic = 2, "topic";
        /// Groups of consumers.
        Group = 3, "group";
        /// The cluster as a whole.
        Cluster = 4, "cluster";
        /// Transactional ids.
        TransactionalId = 5, "transactionalId";
    }
}

coded! {
    /// How the name of a rule is meant.
    AclPattern {
        /// The name itself; `*` is every name.
        Literal = 3, "";
        /// Every name that begins with it.
        Prefixed = 4, "…";
    }
}

coded! {
    /// What is allowed or denied.
    AclOperation {
        /// Everything.
        All = 2, "All";
        /// Reading records, and joining a group.
        Read = 3, "Read";
        /// Writing records.
        Write = 4, "Write";
        /// Creating topics.
        Create = 5, "Create";
        /// Deleting.
        Delete = 6, "Delete";
        /// Changing partitions, users and rules.
        Alter = 7, "Alter";
        /// Looking.
        Describe = 8, "Describe";
        /// What brokers do among each other.
        ClusterAction = 9, "ClusterAction";
        /// Looking at settings.
        DescribeConfigs = 10, "DescribeConfigs";
        /// Changing settings.
        AlterConfigs = 11, "AlterConfigs";
        /// Writing without doubles.
        IdempotentWrite = 12, "IdempotentWrite";
    }
}

coded! {
    /// Whether a rule lets or forbids.
    AclPermission {
        /// Forbids, whatever other rules say.
        Deny = 2, "deny";
        /// Lets.
        Allow = 3, "allow";
    }
}

/// One rule of a principal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// What it is about.
    pub resource: AclResource,
    /// Of which name.
    pub name: String,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// What is done.
    pub operation: AclOperation,
    /// From which address; `*` is every one.
    pub host: String,
    /// Whether it is let or forbidden.
    pub permission: AclPermission,
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            name,
            pattern,
            operation,
            host,
            permission,
        } = self;
        write!(f, "{permission} {operation} on {resource} {name}{pattern}")?;
        if host == "*" {
            Ok(())
        } else {
            write!(f, " from {host}")
        }
    }
}

fn describe_request(principal: &str) -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(Some(text(principal)))
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY)
}

fn read_acls(response: &DescribeAclsResponse, asked: &str) -> Result<BTreeSet<Acl>, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let rules = response.resources.iter().flat_map(|resource| {
        resource.acls.iter().map(|acl| Acl {
            resource: AclResource::of(resource.resource_type),
            name: resource.resource_name.to_string(),
            pattern: AclPattern::of(resource.pattern_type),
            operation: AclOperation::of(acl.operation),
            host: acl.host.to_string(),
            permission: AclPermission::of(acl.permission_type),
        })
    });
    Ok(rules.collect())
}

fn create_request(principal: &str, acls: &[Acl]) -> CreateAclsRequest {
    let creations = acls.iter().map(|acl| {
        AclCreation::default()
            .with_resource_type(acl.resource.code())
            .with_resource_name(text(&acl.name))
            .with_resource_pattern_type(acl.pattern.code())
            .with_principal(text(principal))
            .with_host(text(&acl.host))
            .with_operation(acl.operation.code())
            .with_permission_type(acl.permission.code())
    });
    CreateAclsRequest::default().with_creations(creations.collect())
}

fn read_create(response: &CreateAclsResponse, asked: &str) -> Result<(), KafkaError> {
    response.results.iter().try_for_each(|result| {
        KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
    })
}

fn delete_request(principal: &str, acls: &[Acl]) -> DeleteAclsRequest {
    let filters = acls.iter().map(|acl| {
        DeleteAclsFilter::default()
            .with_resource_type_filter(acl.resource.code())
            .with_resource_name_filter(Some(text(&acl.name)))
            .with_pattern_type_filter(acl.pattern.code())
            .with_principal_filter(Some(text(principal)))
            .with_host_filter(Some(text(&acl.host)))
            .with_operation(acl.operation.code())
            .with_permission_type(acl.permission.code())
    });
    DeleteAclsRequest::default().with_filters(filters.collect())
}

fn read_delete(response: &DeleteAclsResponse, asked: &str) -> Result<(), KafkaError> {
    for result in &response.filter_results {
        KafkaError::check(result.error_code, result.error_message.as_deref(), asked)?;
        for acl in &result.matching_acls {
            KafkaError::check(acl.error_code, acl.error_message.as_deref(), asked)?;
        }
    }
    Ok(())
}

impl KafkaAdmin {
    /// All rules of a principal, for example `User:alice`.
    ///
    /// # Errors
    /// [`KafkaError`]; a cluster without an authorizer says `SecurityDisabled`.
    pub async fn acls(&self, principal: &str) -> Result<BTreeSet<Acl>, KafkaError> {
        let asked = format!("list the access rules of {principal}");
        self.call(
            Target::Controller,
            &asked,
            |_| describe_request(principal),
            |answer| read_acls(answer, &asked),
        )
        .await
    }

    /// Adds rules to those of a principal. One that is there already stays.
    ///
    /// # Errors
    /// [`KafkaError`] of the first rule that is refused; others may have been added.
    pub async fn add_acls(&self, principal: &str, acls: &[Acl]) -> Result<(), KafkaError> {
        if acls.is_empty() {
            return Ok(());
        }
        let asked = format!("add access rules of {principal}");
        self.call(
            Target::Controller,
            &asked,
            |_| create_request(principal, acls),
            |answer| read_create(answer, &asked),
        )
        .await
    }

    /// Takes rules of a principal away. One that is not there is no error.
    ///
    /// # Errors
    /// [`KafkaError`] of the first rule that stays; others may have gone.
    pub async fn remove_acls(&self, principal: &str, acls: &[Acl]) -> Result<(), KafkaError> {
        if acls.is_empty() {
            return Ok(());
        }
        let asked = format!("remove access rules of {principal}");
        self.call(
            Target::Controller,
            &asked,
            |_| delete_request(principal, acls),
            |answer| read_delete(answer, &asked),
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::create_acls_response::AclCreationResult;
    use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
    use kafka_protocol::protocol::Encodable;

    fn acl() -> Acl {
        Acl {
            resource: AclResource::Topic,
            name: "alerts".into(),
            pattern: AclPattern::Prefixed,
            operation: AclOperation::Write,
            host: "192.0.2.1".into(),
            permission: AclPermission::Allow,
        }
    }

    #[test]
    fn a_rule_comes_back_as_it_went() {
        let sent = &create_request("User:a", &[acl()]).creations[0];
        let resource = DescribeAclsResource::default()
            .with_resource_type(sent.resource_type)
            .with_resource_name(sent.resource_name.clone())
            .with_pattern_type(sent.resource_pattern_type)
            .with_acls(vec![
                AclDescription::default()
                    .with_principal(sent.principal.clone())
                    .with_host(sent.host.clone())
                    .with_operation(sent.operation)
                    .with_permission_type(sent.permission_type),
            ]);
        let response = DescribeAclsResponse::default().with_resources(vec![resource]);
        assert_eq!(read_acls(&response, "x").unwrap(), BTreeSet::from([acl()]));
    }

    #[test]
    fn rules_are_told_in_words() {
        assert_eq!(
            acl().to_string(),
            "allow Write on topic alerts… from 192.0.2.1"
        );
        let other = Acl {
            resource: AclResource::Other(7),
            pattern: AclPattern::Literal,
            host: "*".into(),
            ..acl()
        };
        assert_eq!(other.to_string(), "allow Write on number 7 alerts");
        // What has no name here can still be taken away.
        let filter = &delete_request("User:a", &[other]).filters[0];
        assert_eq!(filter.resource_type_filter, 7);
    }

    #[test]
    fn a_refused_rule_is_an_error() {
        let refused = AclCreationResult::default().with_error_code(42);
        let response =
            CreateAclsResponse::default().with_results(vec![AclCreationResult::default(), refused]);
        assert!(read_create(&response, "x").is_err());
        let response = DescribeAclsResponse::default().with_error_code(54);
        let error = read_acls(&response, "x").unwrap_err();
        assert_eq!(
            error.code(),
            Some(kafka_protocol::ResponseError::SecurityDisabled)
        );
    }

    #[test]
    fn all_versions_can_be_asked() {
        let mut buffer = BytesMut::new();
        for version in 1..=3 {
            describe_request("User:a")
                .encode(&mut buffer, version)
                .unwrap();
            create_request("User:a", &[acl()])
                .encode(&mut buffer, version)
                .unwrap();
            delete_request("User:a", &[acl()])
                .encode(&mut buffer, version)
                .unwrap();
        }
    }
}
