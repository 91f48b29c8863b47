//! KafkaUser: users inside a Kafka cluster.

mod binding;
mod change;
mod look;
mod password;
mod reconcile;
mod remote;
mod status;
mod wanted;

pub use binding::{binding_name, connection_name};
pub use change::{ObservedUser, UserChange, WantedUser, Why, diff};
pub use password::{News, Password};
pub use reconcile::{FINALIZER, ROTATE, Users};
pub use remote::{RemoteUser, explain};
pub use wanted::{acls, quotas};
