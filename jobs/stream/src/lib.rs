//! The stream jobs: gateway, detect, dispatch, archive, replay, simulate; and `lake`, which reads what was archived.
//!
//! One folder per job; `connect` is the only place with Kafka clients. What every job shares is in
//! [`settings`] (configuration file, bindings, flags) and [`server`] (health and metrics).

pub mod archive;
pub mod check_sequence;
pub mod connect;
pub mod detect;
pub mod dispatch;
pub use millrace_contract::duration;
pub mod gateway;
pub mod lake;
pub mod materialize;
pub mod replay;
pub mod server;
pub mod settings;
pub mod simulate;
