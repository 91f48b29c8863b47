//! The configuration of `materialize`: the job reads it, and the operator checks it before it starts the job.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::driver::OfferRule;
use crate::duration::Span;
use crate::{Invalid, topics};

/// config.yaml of `materialize`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MaterializeConfig {
    /// The consumer group.
    pub group: String,
    /// The topics that are read; one that is empty is not.
    pub topics: Topics,
    /// The database; that of the binding when absent, else `millrace`.
    pub database: Option<String>,
    /// The database of what leads to persons; that of the other documents with `-identity` when absent.
    pub identity_database: Option<String>,
    /// So long records are gathered before their documents are written.
    pub window: Span,
    /// So many records are gathered at most.
    pub records: usize,
    /// Alerts and deliveries older than this are removed.
    pub keep: Span,
    /// After that long without a sign of life a member's partitions go to others.
    pub session_timeout: Span,
    /// The longest wait before another try while MongoDB is away.
    pub longest_wait: Span,
    /// Rules of offers that are put into MongoDB, by name. Those of the same manager that are no longer among them are
    /// removed, others stay.
    pub offer_rules: BTreeMap<String, OfferRule>,
    /// On whose behalf rules of offers are put there: marks them, so that they can be told from those of others.
    pub offer_rules_manager: String,
    /// Where records go that cannot be read, or that MongoDB refuses.
    pub dead_letter_topic: String,
}

/// The topics that documents are made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Topics {
    /// Telemetry: the state of each vehicle.
    pub vehicles: String,
    /// Alerts.
    pub alerts: String,
    /// What became of notifications.
    pub deliveries: String,
    /// Which driver a pseudonym stands for.
    pub hires: String,
    /// What drivers have agreed to and how to reach them.
    pub drivers: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            vehicles: topics::TELEMETRY.to_owned(),
            alerts: topics::ALERTS.to_owned(),
            deliveries: topics::NOTIFIED.to_owned(),
            hires: topics::HIRES.to_owned(),
            drivers: topics::DRIVERS.to_owned(),
        }
    }
}

impl Default for MaterializeConfig {
    fn default() -> Self {
        Self {
            group: "materialize".to_owned(),
            topics: Topics::default(),
            database: None,
            identity_database: None,
            window: Span::seconds(1),
            records: 5000,
            keep: Span::seconds(90 * 86_400),
            session_timeout: Span::seconds(10),
            longest_wait: Span::seconds(30),
            offer_rules: BTreeMap::new(),
            offer_rules_manager: "materialize".to_owned(),
            dead_letter_topic: topics::DEAD_LETTERS.to_owned(),
        }
    }
}

impl MaterializeConfig {
    /// Looks for what cannot work.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn validate(&self) -> Result<(), Invalid> {
        let named = [
            ("group", &self.group),
            ("deadLetterTopic", &self.dead_letter_topic),
            ("offerRulesManager", &self.offer_rules_manager),
        ];
        if let Some((field, _)) = named.into_iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(Invalid::new(
                field,
                "",
                "empty",
                "name one, or leave the field out",
            ));
        }
        let topics = [
            &self.topics.vehicles,
            &self.topics.alerts,
            &self.topics.deliveries,
            &self.topics.hires,
            &self.topics.drivers,
        ];
        if topics.iter().all(|topic| topic.is_empty()) {
            return Err(Invalid::new(
                "topics",
                "",
                "none is read",
                "name at least one, or leave the field out",
            ));
        }
        for (field, name) in [
            ("database", &self.database),
            ("identityDatabase", &self.identity_database),
        ] {
            if let Some(name) = name {
                check_database(field, name)?;
            }
        }
        if self.database.is_some() && self.database == self.identity_database {
            return Err(Invalid::new(
                "identityDatabase",
                self.identity_database.as_deref().unwrap_or_default(),
                "is the database of the other documents",
                "name another one, or leave the field out",
            ));
        }
        for (name, rule) in &self.offer_rules {
            let field = format!("offerRules.{name}");
            rule.validate().map_err(|invalid| invalid.within(&field))?;
        }
        if self.records == 0 {
            return Err(Invalid::new(
                "records",
                "0",
                "nothing could be gathered",
                "give 1 or more, or leave the field out",
            ));
        }
        for (field, span) in [
            ("window", self.window),
            ("keep", self.keep),
            ("sessionTimeout", self.session_timeout),
            ("longestWait", self.longest_wait),
        ] {
            if span.0.is_zero() {
                return Err(Invalid::new(
                    field,
                    "0s",
                    "no time at all",
                    "write for example 30s",
                ));
            }
        }
        Ok(())
    }
}

/// The database of what leads to persons: the one that is named, else that of the other documents with `-identity`.
#[must_use]
pub fn identity_database(named: Option<&str>, documents: &str) -> String {
    named.map_or_else(|| format!("{documents}-identity"), str::to_owned)
}

/// Checks the name of a database of MongoDB: less than it would take, and safe in every file system.
///
/// # Errors
/// It cannot be the name of one.
pub fn check_database(field: &str, name: &str) -> Result<(), Invalid> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let reserved = ["admin", "local", "config"].contains(&name);
    if (1..=63).contains(&name.len()) && name.chars().all(fits) && !reserved {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        name,
        "not the name of a database for documents",
        "write up to 63 letters, digits, '_' and '-', and not admin, local or config",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let invalid = |yaml: serde_json::Value| {
            let config: MaterializeConfig = serde_json::from_value(yaml).unwrap();
            config.validate().err().map(|invalid| invalid.field)
        };
        let no_topics = serde_json::json!({"topics": {"vehicles": "", "alerts": "", "deliveries": "", "hires": "", "drivers": ""}});
        assert_eq!(invalid(no_topics), Some("topics".to_owned()));
        for (field, value) in [
            ("group", serde_json::json!(" ")),
            ("offerRulesManager", serde_json::json!("")),
            ("database", serde_json::json!("admin")),
            ("records", serde_json::json!(0)),
            ("keep", serde_json::json!("0s")),
        ] {
            assert_eq!(
                invalid(serde_json::json!({field: value})),
                Some(field.to_owned())
            );
        }
        assert_eq!(
            invalid(serde_json::json!({"topics": {"vehicles": ""}})),
            None
        );
    }
}
