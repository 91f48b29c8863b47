//! The action `notify-driver`: words the warning in the driver's language and delivers it.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_actions::run_with_context(millrace_actions::notify::action)
}
