//! The data contract of Millrace: telemetry, vehicle events, alerts, notifications, dead letters, their JSON codecs and
//! CloudEvents headers. No I/O.
//!
//! `schema.yaml` is the one definition of a telemetry field; [`telemetry`] is generated from it.

pub mod alert;
pub mod analyse;
pub mod archive;
pub mod audit;
pub mod cloudevent;
pub mod codec;
pub mod dead_letter;
pub mod driver;
pub mod duration;
pub mod field;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
pub mod invalid;
pub mod materialize;
pub mod metric;
pub mod pseudonym;
pub mod reindex;
pub mod schema;
pub mod score;
#[rustfmt::skip]
pub mod telemetry;
pub mod time;
pub mod topics;
pub mod trace;
pub mod vehicle;
pub mod vehicle_event;

pub use alert::{Alert, AlertDetails, Notification, Severity, WarningLine, ZoneAhead};
pub use codec::Inbound;
pub use dead_letter::{DeadLetter, Kept, Origin, Payload, Reason};
pub use field::{Field, Kind, Privacy};
pub use invalid::Invalid;
pub use telemetry::{FIELDS, Telemetry};
pub use time::{TimeLimits, check_time};
pub use trace::TraceParent;
pub use vehicle::check_vehicle_id;
pub use vehicle_event::{Component, EventKind, InboundEvent, VehicleEvent};
