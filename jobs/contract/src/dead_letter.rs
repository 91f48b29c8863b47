//! What could not be processed, kept with its reason.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// One record of the topic `dead-letters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why it is here.
    pub reason: Reason,
    /// The Kafka topic, or the channel of the gateway (`http`, `mqtt`), that it came by.
    pub source_topic_or_channel: String,
    /// The vehicle, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<String>,
    /// When it was received or last tried.
    pub received_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// The thing itself.
    pub payload: Payload,
    /// How much of it that is; absent in letters of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// The record of Kafka that it was; absent when it never got into a topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// How much of a thing a dead letter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// All of it: the letter alone is enough to put it back.
    Whole,
    /// Its beginning.
    Part,
    /// Only where it lay.
    Place,
}

/// What is needed to put a dead letter back where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's key, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's headers that are text, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// Why something became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The field, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its value, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub cure: String,
}

impl From<Invalid> for Reason {
    fn from(e: Invalid) -> Self {
        Self {
            field: Some(e.field),
            value: Some(e.value),
            problem: e.problem,
            cure: e.cure,
        }
    }
}

/// The payload of a dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Encrypted, because nobody has looked into it: it may name a driver.
    Sealed {
        /// For instance `ChaCha20-Poly1305`.
        algorithm: String,
        /// Base64 of the nonce.
        nonce: String,
        /// Base64 of the cipher text.
        data: String,
    },
    /// JSON that is known to name no driver.
    Clear(serde_json::Value),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shape() {
        let letter = DeadLetter {
            reason: Invalid::new("speed", "900", "too fast", "slow down").into(),
            source_topic_or_channel: "mqtt".into(),
            vehicle: Some("car-1".into()),
            received_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            attempts: 1,
            payload: Payload::Sealed {
                algorithm: "ChaCha20-Poly1305".into(),
                nonce: "bm9uY2U=".into(),
                data: "ZGF0YQ==".into(),
            },
            kept: Some(Kept::Whole),
            origin: None,
        };
        let json = serde_json::to_value(&letter).unwrap();
        assert_eq!(json["payload"]["sealed"]["algorithm"], "ChaCha20-Poly1305");
        assert_eq!(json["reason"]["field"], "speed");
        assert_eq!(json["kept"], "whole");
        assert_eq!(
            serde_json::from_value::<DeadLetter>(json.clone()).unwrap(),
            letter
        );
        let mut earlier = json;
        earlier.as_object_mut().unwrap().remove("kept");
        let earlier: DeadLetter = serde_json::from_value(earlier).unwrap();
        assert_eq!(earlier.kept, None);
        let clear = Payload::Clear(serde_json::json!({"id": "x"}));
        assert_eq!(
            serde_json::to_string(&clear).unwrap(),
            r#"{"clear":{"id":"x"}}"#
        );
    }
}
