//! The schema that a topic is bound to, beside the one that is asked for.

use millrace_contract::Invalid;

use crate::topic::crd::{KafkaTopicStatus, TopicSchema};

/// What another schema is refused by.
pub(super) const SCHEMA_FIELD: &str = "spec.schema";

/// A schema in one of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSchema {
    /// The schema.
    pub schema: TopicSchema,
    /// Its version; absent of a schema without versions.
    pub version: Option<i64>,
    /// SHA-256 of its JSON Schema, in hexadecimal; absent of a schema without one.
    pub fingerprint: Option<String>,
}

impl BoundSchema {
    /// As the data contract of this operator has it.
    #[must_use]
    pub fn current(schema: TopicSchema) -> Self {
        Self {
            schema,
            version: schema.version(),
            fingerprint: schema.fingerprint(),
        }
    }

    /// What a topic was bound to, once it was.
    pub(super) fn recorded(status: &KafkaTopicStatus) -> Option<Self> {
        Some(Self {
            schema: status.schema?,
            version: status.schema_version,
            fingerprint: status.schema_fingerprint.clone(),
        })
    }

    /// Whether its readers understand records of another one: of the same form, or of a former version of the same schema.
    /// That a version takes nothing away from the former ones is a test of the data contract.
    #[must_use]
    pub fn reads(&self, records: &Self) -> bool {
        if self.schema != records.schema {
            return false;
        }
        match (self.version, records.version) {
            (Some(now), Some(was)) if now != was => now > was,
            // One version has one form. A former operator recorded neither.
            _ => match (&self.fingerprint, &records.fingerprint) {
                (Some(now), Some(was)) => now == was,
                _ => true,
            },
        }
    }

    /// Says why a topic that holds records of another one cannot be bound to it.
    pub(super) fn refusal(&self, records: &Self) -> Invalid {
        let (now, was) = (self.schema.name(), records.schema.name());
        let new_topic = "make a KafkaTopic with another spec.topicName";
        if self.schema != records.schema {
            return Invalid::new(
                SCHEMA_FIELD,
                now,
                format!(
                    "the topic holds records of schema {was}, which no reader of {now} understands"
                ),
                format!("put {was} back, or {new_topic}"),
            );
        }
        let problem = match (self.version, records.version) {
            (Some(version), Some(bound)) if version != bound => format!(
                "the topic holds records of version {bound}, and this operator knows version {version}"
            ),
            _ => format!(
                "the topic holds records of another form of the same version: the fingerprint of its JSON Schema is {}, and this operator's {}",
                records.fingerprint.as_deref().unwrap_or("unknown"),
                self.fingerprint.as_deref().unwrap_or("unknown"),
            ),
        };
        Invalid::new(
            SCHEMA_FIELD,
            now,
            problem,
            format!("run the operator that the topic was bound by, or a later one, or {new_topic}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(version: Option<i64>, fingerprint: Option<&str>) -> BoundSchema {
        BoundSchema {
            schema: TopicSchema::Telemetry,
            version,
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    #[test]
    fn later_versions_and_the_same_form_are_read() {
        let records = form(Some(2), Some("a"));
        for (now, reads) in [
            (form(Some(2), Some("a")), true),
            (form(Some(3), Some("b")), true),
            (form(Some(1), Some("a")), false),
            (form(Some(2), Some("b")), false),
        ] {
            assert_eq!(now.reads(&records), reads, "{now:?}");
        }
        let other = BoundSchema {
            schema: TopicSchema::Alert,
            ..records.clone()
        };
        assert!(!other.reads(&records));
        // Of a former operator, and of a schema without a form.
        assert!(records.reads(&form(None, None)));
        assert!(form(Some(1), None).reads(&form(Some(1), None)));
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let records = form(Some(2), Some("a"));
        assert_eq!(
            form(Some(1), Some("a")).refusal(&records).to_string(),
            "spec.schema: telemetry: the topic holds records of version 2, and this operator knows version 1; run the operator that the topic was bound by, or a later one, or make a KafkaTopic with another spec.topicName"
        );
        let told = form(Some(2), Some("b")).refusal(&records).to_string();
        assert!(
            told.contains("JSON Schema is a, and this operator's b;"),
            "{told}"
        );
    }
}
