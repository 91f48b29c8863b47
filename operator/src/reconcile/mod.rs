//! The way of everything that lives in Kubernetes: dereference (reads) → validate (pure) → build (pure; gives
//! [`Resources<Prepared>`]) → [`apply`] (gives [`Resources<Applied>`]) → [`roll`] → status.
//!
//! Builders take no client, and a status can be made from applied objects only.

mod apply;
pub mod approval;
mod cache;
pub mod certificates;
mod difference;
mod error;
mod forecast;
mod mark;
mod orphans;
mod outdated;
mod owner;
pub mod passwords;
mod preparation;
pub mod racks;
mod resources;
pub mod restarts;
pub mod roll;
pub mod secrets;
pub mod storage;

pub use apply::{ApplyError, apply, apply_each, ensure};
pub use approval::PendingRestart;
pub use cache::Cache;
pub use difference::{Difference, difference, differences};
pub use error::Error;
pub use forecast::{Forecast, Verb, compare, forecast};
pub use owner::{OWNER_LABEL, Owner, OwnerError, key, parts};
pub use preparation::{Batch, Preparation};
pub use resources::{Applied, Prepared, Resources, component_rules, fingerprint, rules};
