//! Settings of nodes that a user may give. Pure.

use millrace_contract::Invalid;

/// Settings that the operator sets and nobody else.
const RESERVED: &[&str] = &[
    "node.id",
    "broker.id",
    "broker.rack",
    "process.roles",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "controller.listener.names",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "log.dirs",
    "log.dir",
    "metadata.log.dir",
    "super.users",
    "authorizer.class.name",
    "ssl.principal.mapping.rules",
];
/// The same, by what they start with.
const RESERVED_PREFIXES: &[&str] = &["listener.name.", "ssl.keystore.", "ssl.truststore."];

pub(super) fn check_setting(name: &str, value: &str) -> Result<(), Invalid> {
    let field = format!("spec.config[{name}]");
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p)) {
        return Err(Invalid::new(
            field,
            value,
            "is set by the operator",
            "remove it",
        ));
    }
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(Invalid::new(
            field,
            value,
            "is not the name of a setting",
            "write it like log.retention.hours",
        ));
    }
    // A line break would smuggle in further settings.
    if value.contains(['\n', '\r', '\\']) {
        return Err(Invalid::new(
            field,
            value,
            "holds a line break or a backslash",
            "write the value on one line",
        ));
    }
    Ok(())
}
