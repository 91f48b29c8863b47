//! Kafka and MongoDB: the only place with clients.
//!
//! | what | for |
//! |---|---|
//! | [`Access`] | where Kafka is and how to log in, kept up to date while the clients run |
//! | [`Producer`] | records that are acknowledged one by one |
//! | [`TransactionalProducer`] | records and consumer offsets that become visible together or not at all |
//! | [`GroupConsumer`] | a member of a consumer group that decides itself when to start a partition |
//! | [`Batches`] | its records, many at a time |
//! | [`CompactedReader`], [`read_to_end`] | whole topics without a group |
//! | [`SpanReader`] | pieces of a partition, by offset |
//! | [`Lookup`] | partition counts, ends, committed offsets, what is left to read |
//! | [`DocumentsAccess`] | MongoDB |

mod access;
mod batches;
mod client;
mod error;
mod fetched;
mod group;
mod hand_over;
mod login;
mod lookup;
mod producer;
mod reader;
mod record;
mod span;
mod start;
mod transactional;

pub use access::Access;
pub use batches::{Batch, Batches};
pub use error::{ConnectError, Kind};
pub use group::{GroupConsumer, GroupEvents, GroupSettings, Member, Membership};
pub use login::Login;
pub use lookup::Lookup;
pub use millrace_settings::{DocumentsAccess, DocumentsArgs, DocumentsError};
pub use producer::{Delivery, Producer};
pub use reader::{CompactedReader, ReadEvent, read_to_end};
pub use record::{Incoming, Record};
pub use span::SpanReader;
pub use transactional::TransactionalProducer;
