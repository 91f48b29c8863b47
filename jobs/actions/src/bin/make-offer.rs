//! The action `make-offer`: makes a good driver an offer, once.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_actions::run_with_context(millrace_actions::offer::action)
}
