//! Requests to bytes and bytes to answers: no I/O here.
//!
//! A frame on the wire is a length of four bytes (not part of what is built here), a header and a body;
//! the versions of header and body follow from the version of the request both sides know.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};

use super::error::KafkaError;

/// The name by which brokers know this client in their logs and quotas.
pub const CLIENT_ID: &str = "millrace-operator";

/// The versions of each request (by API key) that a broker offers.
pub type Offered = BTreeMap<i16, VersionRange>;

/// A request as a frame without its length prefix.
///
/// # Errors
/// [`KafkaError::Codec`] when a value does not fit the version.
pub fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation: i32,
    asked: &str,
) -> Result<Bytes, KafkaError> {
    let problem = |error: &dyn std::fmt::Display| KafkaError::Codec {
        direction: "encode",
        asked: asked.to_owned(),
        problem: error.to_string(),
    };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut frame = BytesMut::new();
    header
        .encode(&mut frame, R::header_version(version))
        .map_err(|e| problem(&e))?;
    request
        .encode(&mut frame, version)
        .map_err(|e| problem(&e))?;
    Ok(frame.freeze())
}

/// A frame with the length prefix that the wire wants.
#[must_use]
pub fn with_length(frame: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(frame.len() + 4);
    wire.put_u32(frame.len() as u32);
    wire.put_slice(frame);
    wire.freeze()
}

/// The answer in a frame (without its length prefix).
///
/// # Errors
/// [`KafkaError::Codec`] when the bytes are no such answer, or the answer belongs to another request.
pub fn decode<R: Request>(
    mut frame: Bytes,
    version: i16,
    correlation: i32,
    asked: &str,
) -> Result<R::Response, KafkaError> {
    let problem = |text: String| KafkaError::Codec {
        direction: "decode",
        asked: asked.to_owned(),
        problem: text,
    };
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))
        .map_err(|e| problem(e.to_string()))?;
    if header.correlation_id != correlation {
        return Err(problem(format!(
            "the answer belongs to request {}, not to {correlation}",
            header.correlation_id
        )));
    }
    R::Response::decode(&mut frame, version).map_err(|e| problem(e.to_string()))
}

/// The highest version of a request that both sides know.
///
/// # Errors
/// [`KafkaError::Version`] when there is none.
pub fn version_of<R: Request>(
    offered: &Offered,
    address: &str,
    asked: &str,
) -> Result<i16, KafkaError> {
    // The answer must be readable too, so the ranges of request and response both count.
    let known = R::VERSIONS.intersect(&<R::Response as Message>::VERSIONS);
    let common = offered.get(&R::KEY).map(|range| range.intersect(&known));
    match common {
        Some(range) if !range.is_empty() => Ok(range.max),
        _ => Err(KafkaError::Version {
            address: address.to_owned(),
            asked: asked.to_owned(),
            offered: match offered.get(&R::KEY) {
                Some(range) => format!("versions {} to {}", range.min, range.max),
                None => "no version of that request".to_owned(),
            },
            min: known.min,
            max: known.max,
        }),
    }
}

/// The first request on every connection: which versions do you speak?
#[must_use]
pub fn api_versions_request() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
}

/// The offered versions out of the answer to [`api_versions_request`].
///
/// # Errors
/// [`KafkaError::Broker`] with the broker's code.
pub fn read_api_versions(response: &ApiVersionsResponse) -> Result<Offered, KafkaError> {
    KafkaError::check(response.error_code, None, "tell its protocol versions")?;
    Ok(response
        .api_keys
        .iter()
        .map(|api| {
            let range = VersionRange {
                min: api.min_version,
                max: api.max_version,
            };
            (api.api_key, range)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{
        MetadataRequest, MetadataResponse, OffsetFetchRequest,
        metadata_response::MetadataResponseBroker,
    };

    #[test]
    fn a_frame_starts_with_key_version_correlation_and_client() {
        let frame = encode(&MetadataRequest::default(), 9, 7, "read metadata").unwrap();
        assert_eq!(&frame[..8], &[0, 3, 0, 9, 0, 0, 0, 7]);
        assert_eq!(&frame[10..10 + CLIENT_ID.len()], CLIENT_ID.as_bytes());
        let wire = with_length(&frame);
        assert_eq!(&wire[..4], (frame.len() as u32).to_be_bytes().as_slice());
    }

    #[test]
    fn an_answer_is_read_back_and_a_foreign_one_refused() {
        let answer = MetadataResponse::default().with_brokers(vec![
            MetadataResponseBroker::default()
                .with_host("kafka-0".to_owned().into())
                .with_port(9092),
        ]);
        let mut frame = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(5)
            .encode(&mut frame, MetadataResponse::header_version(12))
            .unwrap();
        answer.encode(&mut frame, 12).unwrap();
        let frame = frame.freeze();
        let read = decode::<MetadataRequest>(frame.clone(), 12, 5, "read metadata").unwrap();
        assert_eq!(read.brokers[0].host.as_str(), "kafka-0");
        let error = decode::<MetadataRequest>(frame.clone(), 12, 6, "read metadata").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot decode the message to read metadata: the answer belongs to request 5, not to 6"
        );
        for cut in 0..frame.len() {
            assert!(
                decode::<MetadataRequest>(frame.slice(..cut), 12, 5, "read metadata").is_err(),
                "{cut} bytes were taken for a whole answer"
            );
        }
    }

    #[test]
    fn versions_meet_in_the_middle_or_not_at_all() {
        let mut offered = Offered::new();
        offered.insert(
            <MetadataRequest as Request>::KEY,
            VersionRange { min: 0, max: 6 },
        );
        assert_eq!(
            version_of::<MetadataRequest>(&offered, "k:9092", "x").unwrap(),
            6
        );
        // Version 10 of this answer names topics by an id that version 9 of the request cannot ask for.
        offered.insert(
            <OffsetFetchRequest as Request>::KEY,
            VersionRange { min: 1, max: 10 },
        );
        assert_eq!(
            version_of::<OffsetFetchRequest>(&offered, "k:9092", "x").unwrap(),
            9
        );
        offered.insert(
            <MetadataRequest as Request>::KEY,
            VersionRange { min: 90, max: 91 },
        );
        let error = version_of::<MetadataRequest>(&offered, "k:9092", "read metadata").unwrap_err();
        assert!(
            error.to_string().starts_with(
                "Kafka at k:9092 cannot be asked to read metadata: it offers versions 90 to 91"
            ),
            "{error}"
        );
        offered.clear();
        assert!(
            version_of::<MetadataRequest>(&offered, "k:9092", "read metadata")
                .unwrap_err()
                .to_string()
                .contains("no version of that request")
        );
    }
}
