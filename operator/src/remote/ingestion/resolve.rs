//! From a resource and what it refers to, to what Druid is asked for. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use millrace_contract::duration::Span;

use super::change::WantedIngestion;
use super::consumer::{can_be_quoted, consumer, needs_files};
use crate::druid::{HAS_KAFKA_SECRETS, KAFKA_SECRETS};
use crate::ingestion::crd::DruidIngestion;
use crate::ingestion::{Keep, Source, Wanted};
use crate::reconcile::secrets::text;
use crate::remote::druid::{Credentials, DruidAt, DruidClient};
use crate::remote::kafka::{Login, outside};
use crate::remote::user::binding_name;
use crate::topic::crd::{KafkaTopic, TopicSchema};
use crate::user::crd::KafkaUser;

/// A trial run may wait for Kafka.
const PATIENCE: Duration = Duration::from_secs(40);

/// What was read of Kubernetes before anything is decided.
#[derive(Debug)]
pub(super) struct Found {
    /// The topic.
    pub(super) topic: KafkaTopic,
    /// The user that records are read as, where one is named.
    pub(super) user: Option<KafkaUser>,
    /// The Secret by which Kafka is reached, see [`kafka_secret`].
    pub(super) kafka: Option<Secret>,
    /// The binding of the Druid.
    pub(super) druid: Option<Secret>,
}

/// The Secret by which Kafka is reached: that of the user, or of the topic's Kafka.
pub(super) fn kafka_secret(ingestion: &DruidIngestion, topic: &KafkaTopic) -> String {
    match &ingestion.spec.kafka_user {
        Some(user) => binding_name(user),
        None => topic.binding_secret(),
    }
}

/// What Druid is asked for.
///
/// # Errors
/// Names the field, its value and the cure.
pub(super) fn wanted(
    ingestion: &DruidIngestion,
    found: &Found,
) -> Result<WantedIngestion, Invalid> {
    let (spec, topic) = (&ingestion.spec, &found.topic);
    let source = match topic.schema() {
        TopicSchema::Telemetry => Source::Telemetry,
        TopicSchema::Alert => Source::Alert,
        TopicSchema::Audit => Source::Audit,
        other => {
            let problem = format!("its records are of the schema {}", other.name());
            let cure = "name a topic of telemetry, alerts or audit records";
            return Err(Invalid::new("spec.topic", &spec.topic, problem, cure));
        }
    };
    let (consumer, credentials) = reached(ingestion, found)?;
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
        consumer,
        credentials,
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

/// How a consumer gets into Kafka, and what changes with the password or key that it reads there.
fn reached(
    ingestion: &DruidIngestion,
    found: &Found,
) -> Result<(BTreeMap<String, String>, Option<String>), Invalid> {
    let (spec, topic) = (&ingestion.spec, &found.topic);
    if let Some(user) = &found.user
        && topic.spec.kafka.as_ref() != Some(&user.spec.kafka)
    {
        let problem = format!(
            "is a user of {}, and the topic is in {}",
            user.spec.kafka,
            topic.home()
        );
        let cure = "name a KafkaUser of the topic's KafkaCluster";
        let name = spec.kafka_user.clone().unwrap_or_default();
        return Err(Invalid::new("spec.kafkaUser", name, problem, cure));
    }
    let (name, data) = (
        kafka_secret(ingestion, topic),
        found.kafka.as_ref().and_then(|secret| secret.data.as_ref()),
    );
    let asks = text(data, "security-protocol").is_some_and(|protocol| protocol != "PLAINTEXT");
    if asks && found.user.is_none() && topic.spec.kafka.is_some() {
        return Err(Invalid::new(
            "spec.kafkaUser",
            "(absent)",
            format!("KafkaCluster {} lets its users in only", topic.home()),
            "name a KafkaUser that may Read the topic, and the group druid- with the name of the data source",
        ));
    }
    let field = match spec.kafka_user {
        Some(_) => "spec.kafkaUser",
        None => "spec.topic",
    };
    let access = outside::check(&name, found.kafka.as_ref(), field)?;
    let group = format!("druid-{}", ingestion.data_source());
    let consumer = consumer(&access, &name, &group);
    if !needs_files(&access) {
        return Ok((consumer, None));
    }
    let quoted = |login: &Login| [&login.username, &login.password].map(|text| can_be_quoted(text));
    if access
        .login
        .as_ref()
        .map(quoted)
        .is_some_and(|all| all.contains(&false))
    {
        let problem = "its user name or password holds a quotation mark, a backslash or a control character, and Druid's consumer would misread it";
        let cure = "give a password without them; the one that the operator makes has none";
        return Err(Invalid::new(field, name, problem, cure));
    }
    let druid = found.druid.as_ref().and_then(|secret| secret.data.as_ref());
    let has = text(druid, HAS_KAFKA_SECRETS).unwrap_or_default();
    if !has.split(',').any(|one| one.trim() == name) {
        let problem = format!(
            "the servers of this Druid have no files of the Secret {name}, by which Kafka is reached"
        );
        let cure = format!(
            "add {name} to spec.kafkaSecrets of the DruidCluster; of another Druid, mount it at {KAFKA_SECRETS}/{name} and name it in the key {HAS_KAFKA_SECRETS} of the binding"
        );
        return Err(Invalid::new("spec.binding", &spec.binding, problem, cure));
    }
    // Neither the password nor anything that is made of it: everybody who may read supervisors sees what is made of this.
    let version = found.kafka.as_ref().map(|secret| {
        let meta = &secret.metadata;
        let parts = [&meta.uid, &meta.resource_version].map(|part| part.as_deref().unwrap_or(""));
        parts.join("/")
    });
    Ok((consumer, version))
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
    let at = addresses(name, secret, field)?;
    DruidClient::at(&at, PATIENCE)
        .map_err(|error| refer(field, name, format!("the Secret cannot be used: {error}")))
}

fn refer(field: &str, name: &str, problem: String) -> Invalid {
    let cure =
        "give it the key uri, http://host:port or https://host:port of a router or coordinator";
    Invalid::new(field, name, problem, cure)
}

/// Where a Druid is asked and as whom, by its binding; `field` is where the name of that stands.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn addresses(name: &str, secret: Option<&Secret>, field: &str) -> Result<DruidAt, Invalid> {
    let refer = |problem: String| refer(field, name, problem);
    let Some(secret) = secret else {
        return Err(refer(
            "there is no Secret of that name in the namespace".into(),
        ));
    };
    let data = secret.data.as_ref();
    let text = |key: &str| text(data, key).map(str::to_owned);
    let Some(uri) = text("uri") else {
        return Err(refer("the Secret has no key uri".into()));
    };
    // A coordinator does not answer questions in SQL.
    let broker = text("broker-uri").unwrap_or_else(|| uri.clone());
    Ok(DruidAt {
        coordinator: uri,
        broker,
        credentials: Credentials::of(data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(schema: &str, kafka: Value) -> Found {
        let topic = json!({"kafka": "k", "partitions": 1, "schema": schema, "topicName": "cars"});
        let secret: Secret = serde_json::from_value(
            json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "data": kafka}),
        )
        .unwrap();
        Found {
            topic: KafkaTopic::new("t", serde_json::from_value(topic).unwrap()),
            user: None,
            kafka: Some(secret),
            druid: None,
        }
    }

    fn ingestion(mut spec: Value) -> DruidIngestion {
        (spec["binding"], spec["topic"]) = (json!("d"), json!("t"));
        DruidIngestion::new("i", serde_json::from_value(spec).unwrap())
    }

    fn said(spec: Value, schema: &str, kafka: Value) -> Result<WantedIngestion, String> {
        wanted(&ingestion(spec), &found(schema, kafka)).map_err(|invalid| invalid.to_string())
    }

    fn login() -> Value {
        // In base64: k:9092, SASL_PLAINTEXT, SCRAM-SHA-512, x.
        json!({"bootstrap-servers": "azo5MDky", "security-protocol": "U0FTTF9QTEFJTlRFWFQ=",
            "sasl-mechanism": "U0NSQU0tU0hBLTUxMg==", "username": "eA==", "password": "eA=="})
    }

    #[test]
    fn what_is_referred_to_decides() {
        let plain = json!({"bootstrap-servers": "azo5MDky"});
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
                login(),
                "spec.kafkaUser: (absent): KafkaCluster k lets its users in only",
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

    #[test]
    fn a_user_reads_by_what_the_servers_have_in_files() {
        let user = |kafka: &str| {
            let spec = json!({"kafka": kafka});
            KafkaUser::new("cars", serde_json::from_value(spec).unwrap())
        };
        let druid = |has: &str| {
            let data = crate::pods::secret_data([(HAS_KAFKA_SECRETS, has.to_owned())]);
            Some(Secret {
                data: Some(data),
                ..Secret::default()
            })
        };
        let asked = ingestion(json!({"kafkaUser": "cars"}));
        let mut all = found("alert", login());
        (all.user, all.druid) = (Some(user("k")), druid("other,cars-kafka"));
        let good = wanted(&asked, &all).unwrap().supervisor;
        let consumer = &good["spec"]["ioConfig"]["consumerProperties"];
        assert_eq!(consumer["group.id"], "druid-i");
        let jaas = consumer["sasl.jaas.config"].as_str().unwrap();
        assert!(
            jaas.contains("${files:/etc/kafka-secrets/cars-kafka:password}"),
            "{jaas}"
        );
        // A new password is read by a new supervisor alone.
        let secret = all.kafka.as_mut().unwrap();
        secret.metadata.resource_version = Some("8".into());
        let next = wanted(&asked, &all).unwrap().supervisor;
        assert_eq!(good["spec"], next["spec"]);
        assert_ne!(good["context"], next["context"]);

        let refused = |all: &Found| wanted(&asked, all).unwrap_err().to_string();
        all.user = Some(user("other"));
        let told = refused(&all);
        assert!(
            told.starts_with("spec.kafkaUser: cars: is a user of other, and the topic is in"),
            "{told}"
        );
        (all.user, all.druid) = (Some(user("k")), druid("other"));
        let told = refused(&all);
        assert!(
            told.starts_with(
                "spec.binding: d: the servers of this Druid have no files of the Secret cars-kafka"
            ),
            "{told}"
        );
        // In base64: a".
        let mut data = login();
        data["password"] = json!("YSI=");
        all.kafka = found("alert", data).kafka;
        let told = refused(&all);
        assert!(
            told.starts_with("spec.kafkaUser: cars-kafka: its user name or password holds"),
            "{told}"
        );
    }
}
