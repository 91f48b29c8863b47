//! Records as they come in.

use millrace_contract::Origin;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, OwnedHeaders};
use serde_json::{Value, json};

/// Headers of a dead letter's origin beyond this many bytes in all are left out.
const ORIGIN_HEADERS: usize = 16 * 1024;

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic it lies in.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was appended or made, by the topic's setting; milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers; those that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// Its value; none for the mark that a key is gone.
    pub payload: Option<Vec<u8>>,
}

impl Record {
    /// The key as text, when it is text.
    #[must_use]
    pub fn key_text(&self) -> Option<&str> {
        self.key
            .as_deref()
            .and_then(|k| std::str::from_utf8(k).ok())
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }

    /// Where it came from, for a dead letter.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let mut left = ORIGIN_HEADERS;
        let headers = self.headers.iter().filter(|(name, value)| {
            let size = name.len() + value.len();
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        });
        Origin {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            key: self.key_text().map(str::to_owned),
            headers: headers.cloned().collect(),
        }
    }

    /// What a dead letter says instead of a value that it does not copy: where the record of so many `bytes`
    /// lies.
    #[must_use]
    pub fn place(&self, bytes: usize) -> Value {
        json!({
            "place": {"topic": self.topic, "partition": self.partition, "offset": self.offset},
            "bytes": bytes,
        })
    }
}

/// A record that still lies in the client's buffer.
pub struct Incoming<'a>(pub(super) BorrowedMessage<'a>);

impl Incoming<'_> {
    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// When it was appended or made; milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The first header of that name, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.0.headers()?.iter().find(|h| h.key == name)?;
        std::str::from_utf8(found.value?).ok()
    }

    /// All headers as a JSON object: texts, and lists of numbers where a value is no text. Of a name that is there
    /// twice the last one. None when there are none.
    #[must_use]
    pub fn headers_json(&self) -> Option<String> {
        let headers = self.0.headers()?;
        let all: serde_json::Map<String, Value> = headers
            .iter()
            .map(|h| {
                let value = h.value.map_or(Value::Null, |bytes| {
                    std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text))
                });
                (h.key.to_owned(), value)
            })
            .collect();
        (!all.is_empty()).then(|| Value::Object(all).to_string())
    }

    /// Copies it out of the buffer.
    #[must_use]
    pub fn to_record(&self) -> Record {
        let headers = self.0.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .filter_map(|h| {
                    let value = std::str::from_utf8(h.value?).ok()?;
                    Some((h.key.to_owned(), value.to_owned()))
                })
                .collect()
        });
        Record {
            topic: self.0.topic().to_owned(),
            partition: self.0.partition(),
            offset: self.0.offset(),
            timestamp_ms: self.0.timestamp().to_millis(),
            key: self.0.key().map(<[u8]>::to_vec),
            headers,
            payload: self.0.payload().map(<[u8]>::to_vec),
        }
    }
}

pub(super) fn owned_headers(headers: &[(String, String)]) -> OwnedHeaders {
    headers.iter().fold(
        OwnedHeaders::new_with_capacity(headers.len()),
        |all, (key, value)| {
            all.insert(rdkafka::message::Header {
                key,
                value: Some(value),
            })
        },
    )
}
