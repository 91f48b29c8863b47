//! The smallest action: answers with its input. For benchmarks.

use std::process::ExitCode;

use serde_json::Value;

fn main() -> ExitCode {
    millrace_harness::run(|input: Value| Ok::<_, String>(input))
}
