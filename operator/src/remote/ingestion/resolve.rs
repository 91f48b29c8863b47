//! From a resource and what it refers to, to what Druid is asked for. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use millrace_contract::duration::Span;

use super::change::WantedIngestion;
use crate::ingestion::crd::DruidIngestion;
use crate::ingestion::{Keep, Source, Wanted};
use crate::remote::druid::DruidClient;
use crate::remote::kafka::{Protocol, outside};
use crate::topic::crd::{KafkaTopic, TopicSchema};

/// A trial run may wait for Kafka.
const PATIENCE: Duration = Duration::from_secs(40);

/// What Druid is asked for. `kafka` is the binding of the topic's Kafka.
///
/// # Errors
/// Names the field, its value and the cure.
pub(super) fn wanted(
    ingestion: &DruidIngestion,
    topic: &KafkaTopic,
    kafka: Option<&Secret>,
) -> Result<WantedIngestion, Invalid> {
    let spec = &ingestion.spec;
    let refer =
        |problem: String, cure: &str| Invalid::new("spec.topic", &spec.topic, problem, cure);
    let source = match topic.schema() {
        TopicSchema::Telemetry => Source::Telemetry,
        TopicSchema::Alert => Source::Alert,
        TopicSchema::Audit => Source::Audit,
        other => {
            let problem = format!("its records are of the schema {}", other.name());
            return Err(refer(
                problem,
                "name a topic of telemetry, alerts or audit records",
            ));
        }
    };
    let access = outside::check(&topic.binding_secret(), kafka, "spec.topic")?;
    if access.protocol != Protocol::Plaintext {
        return Err(refer(
            "its Kafka asks for TLS or a password, and Druid shows both to everybody who may read supervisors".into(),
            "name a topic of a Kafka with a plain listener",
        ));
    }
    let span = |field: &str, text: &str| {
        let span = Span::parse(text).filter(|span| !span.0.is_zero());
        span.map(|span| span.0).ok_or_else(|| {
            Invalid::new(
                field,
                text,
                "is no span of time",
                "write for example 1h or 90d",
            )
        })
    };
    let optional =
        |field: &str, text: Option<&String>| text.map(|text| span(field, text)).transpose();
    WantedIngestion::of(&Wanted {
        data_source: ingestion.data_source().to_owned(),
        source,
        topic: topic.topic_name().to_owned(),
        consumer: BTreeMap::from([("bootstrap.servers".into(), access.bootstrap)]),
        signals: spec.signals.clone(),
        quantiles: spec.quantiles.clone(),
        query_granularity: spec.granularity.name(),
        segment_granularity: "DAY",
        tasks: spec.tasks,
        replicas: spec.replicas,
        task_duration: span("spec.taskDuration", &spec.task_duration)?,
        keep: Keep {
            retention: optional("spec.retention", spec.retention.as_ref())?,
            compact_after: optional("spec.compactAfter", spec.compact_after.as_ref())?,
            copies: spec.copies,
        },
        suspended: spec.suspended,
    })
}

/// A client of the Druid that a Secret describes.
///
/// # Errors
/// Names the Secret, what it lacks and the cure.
pub(super) fn client(name: &str, secret: Option<&Secret>) -> Result<DruidClient, Invalid> {
    client_at(name, secret, "spec.binding")
}

/// Checks that a Secret can be the binding of a Druid; `field` is where its name stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<(), Invalid> {
    client_at(name, secret, field).map(drop)
}

fn client_at(name: &str, secret: Option<&Secret>, field: &str) -> Result<DruidClient, Invalid> {
    let (uri, broker) = addresses(name, secret, field)?;
    DruidClient::new(&uri, &broker, PATIENCE)
        .map_err(|error| refer(field, name, format!("the Secret cannot be used: {error}")))
}

fn refer(field: &str, name: &str, problem: String) -> Invalid {
    let cure = "give it the key uri, http://host:port of a router or coordinator";
    Invalid::new(field, name, problem, cure)
}

/// Where the coordinator (which is the overlord too) and the broker of a Druid are, by its binding; `field` is where the name of
/// that stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn addresses(
    name: &str,
    secret: Option<&Secret>,
    field: &str,
) -> Result<(String, String), Invalid> {
    let refer = |problem: String| refer(field, name, problem);
    let Some(secret) = secret else {
        return Err(refer(
            "there is no Secret of that name in the namespace".into(),
        ));
    };
    let text = |key: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(key))?;
        String::from_utf8(value.0.clone()).ok()
    };
    let Some(uri) = text("uri") else {
        return Err(refer("the Secret has no key uri".into()));
    };
    // A coordinator does not answer questions in SQL.
    let broker = text("broker-uri").unwrap_or_else(|| uri.clone());
    Ok((uri, broker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(spec: Value, schema: &str, kafka: Value) -> Result<WantedIngestion, String> {
        let mut spec = spec;
        (spec["binding"], spec["topic"]) = (json!("d"), json!("t"));
        let ingestion = DruidIngestion::new("i", serde_json::from_value(spec).unwrap());
        let topic = json!({"kafka": "k", "partitions": 1, "schema": schema, "topicName": "cars"});
        let topic = KafkaTopic::new("t", serde_json::from_value(topic).unwrap());
        let secret: Secret = serde_json::from_value(json!({"data": kafka})).unwrap();
        wanted(&ingestion, &topic, Some(&secret)).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn what_is_referred_to_decides() {
        // In base64: k:9092, SASL_PLAINTEXT, SCRAM-SHA-512, x.
        let (plain, login) = (
            json!({"bootstrap-servers": "azo5MDky"}),
            json!({"bootstrap-servers": "azo5MDky", "security-protocol": "U0FTTF9QTEFJTlRFWFQ=",
                "sasl-mechanism": "U0NSQU0tU0hBLTUxMg==", "username": "eA==", "password": "eA=="}),
        );
        let good = said(json!({"retention": "30d"}), "alert", plain.clone()).unwrap();
        let io = &good.supervisor["spec"]["ioConfig"];
        assert_eq!(
            (&io["topic"], &io["taskDuration"]),
            (&json!("cars"), &json!("PT3600S"))
        );
        assert_eq!(io["consumerProperties"]["bootstrap.servers"], "k:9092");
        assert_eq!(
            (good.name.as_str(), &good.rules[0]["period"]),
            ("i", &json!("P30D"))
        );
        for (spec, schema, kafka, starts) in [
            (
                json!({}),
                "offer",
                plain.clone(),
                "spec.topic: t: its records are of the schema offer",
            ),
            (
                json!({}),
                "alert",
                login,
                "spec.topic: t: its Kafka asks for TLS",
            ),
            (
                json!({}),
                "alert",
                json!({}),
                "spec.topic: k-binding: the Secret cannot be used",
            ),
            (
                json!({"taskDuration": "0h"}),
                "alert",
                plain.clone(),
                "spec.taskDuration: 0h",
            ),
            (
                json!({"signals": ["latitude"]}),
                "telemetry",
                plain,
                "spec.signals: latitude",
            ),
        ] {
            let told = said(spec, schema, kafka).unwrap_err();
            assert!(told.starts_with(starts), "{told}");
        }
    }
}
