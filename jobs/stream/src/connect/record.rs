//! Records as they come in.

use std::ops::ControlFlow;

use millrace_contract::Origin;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, OwnedHeaders};
use serde_json::{Value, json};

use super::fetched::Fetched;

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
pub struct Incoming<'a>(Of<'a>);

enum Of<'a> {
    Polled(BorrowedMessage<'a>),
    Fetched(Fetched<'a>),
}

impl<'a> From<BorrowedMessage<'a>> for Incoming<'a> {
    fn from(message: BorrowedMessage<'a>) -> Self {
        Self(Of::Polled(message))
    }
}

impl<'a> From<Fetched<'a>> for Incoming<'a> {
    fn from(message: Fetched<'a>) -> Self {
        Self(Of::Fetched(message))
    }
}

impl Incoming<'_> {
    /// The topic it lies in.
    fn topic(&self) -> String {
        match &self.0 {
            Of::Polled(message) => message.topic().to_owned(),
            Of::Fetched(message) => message.topic(),
        }
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        match &self.0 {
            Of::Polled(message) => message.partition(),
            Of::Fetched(message) => message.partition(),
        }
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        match &self.0 {
            Of::Polled(message) => message.offset(),
            Of::Fetched(message) => message.offset(),
        }
    }

    /// When it was appended or made; milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        match &self.0 {
            Of::Polled(message) => message.timestamp().to_millis(),
            Of::Fetched(message) => message.timestamp_ms(),
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match &self.0 {
            Of::Polled(message) => message.key(),
            Of::Fetched(message) => message.key(),
        }
    }

    /// Its value.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        match &self.0 {
            Of::Polled(message) => message.payload(),
            Of::Fetched(message) => message.payload(),
        }
    }

    // Tells each header until `take` breaks. Those whose name is no text are left out.
    fn each_header<'s>(
        &'s self,
        mut take: impl FnMut(&'s str, Option<&'s [u8]>) -> ControlFlow<()>,
    ) {
        match &self.0 {
            Of::Polled(message) => {
                let Some(all) = message.headers() else {
                    return;
                };
                for header in all.iter() {
                    if take(header.key, header.value).is_break() {
                        return;
                    }
                }
            }
            Of::Fetched(message) => message.each_header(take),
        }
    }

    /// The first header of that name, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = None;
        self.each_header(|key, value| {
            if key != name {
                return ControlFlow::Continue(());
            }
            found = value;
            ControlFlow::Break(())
        });
        std::str::from_utf8(found?).ok()
    }

    /// All headers as a JSON object: texts, and lists of numbers where a value is no text. Of a name that is there
    /// twice the last one. None when there are none.
    #[must_use]
    pub fn headers_json(&self) -> Option<String> {
        let mut all = serde_json::Map::new();
        self.each_header(|key, value| {
            let value = value.map_or(Value::Null, |bytes| {
                std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text))
            });
            all.insert(key.to_owned(), value);
            ControlFlow::Continue(())
        });
        (!all.is_empty()).then(|| Value::Object(all).to_string())
    }

    /// Copies it out of the buffer.
    #[must_use]
    pub fn to_record(&self) -> Record {
        let mut headers = Vec::new();
        self.each_header(|key, value| {
            if let Some(Ok(value)) = value.map(std::str::from_utf8) {
                headers.push((key.to_owned(), value.to_owned()));
            }
            ControlFlow::Continue(())
        });
        Record {
            topic: self.topic(),
            partition: self.partition(),
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
            key: self.key().map(<[u8]>::to_vec),
            headers,
            payload: self.payload().map(<[u8]>::to_vec),
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
