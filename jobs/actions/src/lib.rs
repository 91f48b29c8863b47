//! The OpenWhisk actions of Millrace.
//!
//! An action is a plain function; the harness (`millrace-harness`) speaks the ActionLoop protocol around it.
//! [`assess`](assess::assess) and [`render`](render::render) are pure, so that
//! the local door tells a driver the very words that the platform would.

pub mod assess;
mod channels;
mod documents;
pub mod error;
pub mod geofence;
pub mod language;
pub mod notify;
pub mod offer;
pub mod render;
mod retry;
mod secret;
mod sentences;
mod speech;

pub use assess::{Advice, AssessParams, Assessment, Urgency, assess};
pub use error::ActionError;
pub use millrace_harness::{Context, run, run_with_context};
pub use render::{Rendered, render};
