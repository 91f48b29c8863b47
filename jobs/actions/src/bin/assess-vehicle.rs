//! The action `assess-vehicle`: says what an alert asks of the driver.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_actions::run(millrace_actions::assess::action)
}
