//! The action `warn-geofence`: says what a zone ahead asks of the driver.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_actions::run(millrace_actions::geofence::action)
}
