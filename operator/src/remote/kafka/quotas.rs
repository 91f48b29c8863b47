//! How much a user may take of the brokers. The upper half is pure.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::text;

/// The kind of entity.
const USER: &str = "user";
/// The name must be this one.
const EXACT: i8 = 0;

/// Limits by their name in Kafka, for example `producer_byte_rate` in bytes per second and broker.
pub type Quotas = BTreeMap<String, f64>;

fn describe_request(user: &str) -> DescribeClientQuotasRequest {
    let component = ComponentData::default()
        .with_entity_type(text(USER))
        .with_match_type(EXACT)
        .with_match(Some(text(user)));
    // Strictly: limits of the user together with a client id are others.
    DescribeClientQuotasRequest::default()
        .with_components(vec![component])
        .with_strict(true)
}

fn read_quotas(response: &DescribeClientQuotasResponse, asked: &str) -> Result<Quotas, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let entries = response.entries.iter().flatten();
    Ok(entries
        .flat_map(|entry| &entry.values)
        .map(|value| (value.key.to_string(), value.value))
        .collect())
}

fn alter_request(user: &str, changes: &BTreeMap<String, Option<f64>>) -> AlterClientQuotasRequest {
    let entity = EntityData::default()
        .with_entity_type(text(USER))
        .with_entity_name(Some(text(user)));
    let ops = changes.iter().map(|(key, value)| {
        OpData::default()
            .with_key(text(key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    AlterClientQuotasRequest::default().with_entries(vec![
        EntryData::default()
            .with_entity(vec![entity])
            .with_ops(ops.collect()),
    ])
}

fn read_alter(response: &AlterClientQuotasResponse, asked: &str) -> Result<(), KafkaError> {
    response.entries.iter().try_for_each(|entry| {
        KafkaError::check(entry.error_code, entry.error_message.as_deref(), asked)
    })
}

impl KafkaAdmin {
    /// The limits of a user that are not bound to a client id.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn quotas(&self, user: &str) -> Result<Quotas, KafkaError> {
        let asked = format!("describe the quotas of user {user}");
        self.call(
            Target::Controller,
            &asked,
            |_| describe_request(user),
            |answer| read_quotas(answer, &asked),
        )
        .await
    }

    /// Sets limits of a user, and takes those away whose value is `None`; limits not named stay.
    ///
    /// # Errors
    /// [`KafkaError::is_invalid_request`] when a limit is unknown or its value is wrong.
    pub async fn change_quotas(
        &self,
        user: &str,
        changes: &BTreeMap<String, Option<f64>>,
    ) -> Result<(), KafkaError> {
        if changes.is_empty() {
            return Ok(());
        }
        let asked = format!("change the quotas of user {user}");
        self.call(
            Target::Controller,
            &asked,
            |_| alter_request(user, changes),
            |answer| read_alter(answer, &asked),
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::alter_client_quotas_response;
    use kafka_protocol::messages::describe_client_quotas_response::{self, ValueData};
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn limits_are_set_and_taken_away_one_by_one() {
        let changes = BTreeMap::from([
            ("consumer_byte_rate".to_owned(), None),
            ("producer_byte_rate".to_owned(), Some(1024.0)),
        ]);
        let request = alter_request("alice", &changes);
        let entry = &request.entries[0];
        assert_eq!(entry.entity[0].entity_name.as_deref(), Some("alice"));
        let ops: Vec<_> = entry.ops.iter().map(|op| (op.value, op.remove)).collect();
        assert_eq!(ops, [(0.0, true), (1024.0, false)]);
        let mut buffer = BytesMut::new();
        for version in 0..=1 {
            request.encode(&mut buffer, version).unwrap();
            describe_request("alice")
                .encode(&mut buffer, version)
                .unwrap();
        }
    }

    #[test]
    fn answers_are_read() {
        let value = ValueData::default()
            .with_key(text("request_percentage"))
            .with_value(12.5);
        let entry = describe_client_quotas_response::EntryData::default().with_values(vec![value]);
        let response = DescribeClientQuotasResponse::default().with_entries(Some(vec![entry]));
        let expected = Quotas::from([("request_percentage".to_owned(), 12.5)]);
        assert_eq!(read_quotas(&response, "x").unwrap(), expected);
        let none = DescribeClientQuotasResponse::default().with_entries(None);
        assert!(read_quotas(&none, "x").unwrap().is_empty());
        let entry = alter_client_quotas_response::EntryData::default().with_error_code(42);
        let response = AlterClientQuotasResponse::default().with_entries(vec![entry]);
        assert!(read_alter(&response, "x").unwrap_err().is_invalid_request());
    }
}
