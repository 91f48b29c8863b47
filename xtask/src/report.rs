//! What `up` ends with: times, warnings, and what to try next.

use serde_json::Value;

use crate::context::Context;
use crate::drive::Driven;
use crate::steps::{Steps, seconds};

/// Prints the result of `up`.
pub fn print(context: &Context, steps: &Steps, driven: &Driven, kubeconfig: &std::path::Path) {
    println!("\nDrove {}.", driven.what);
    println!("\nWhat the drivers were told:");
    if driven.warnings.is_empty() {
        println!("  nothing");
    }
    for line in &driven.warnings {
        println!("  {}", warning(line));
    }
    println!();
    for line in &driven.summary {
        println!("  {line}");
    }
    println!(
        "\nAll of it took {}. Logs: {}",
        seconds(steps.elapsed()),
        context.state.join("logs").display()
    );
    println!("\nTry next:");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!("  kubectl -n millrace get millrace");
    println!("  cargo xtask replay --help");
    println!("  cargo xtask replay --format carobd --inject coolant-ramp@120:8 TRIP.csv");
    println!("  cargo xtask test");
    println!("  cargo xtask down");
}

/// One line of `replay` for people.
fn warning(line: &str) -> String {
    let Ok(json) = serde_json::from_str::<Value>(line) else {
        return line.to_owned();
    };
    let text = |key: &str| json[key].as_str().unwrap_or("?").to_owned();
    format!(
        "{:<10} {:<9} {:<12} {}",
        text("vehicle"),
        text("severity"),
        text("rule"),
        text("text")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_json_is_shown_as_it_is() {
        assert_eq!(warning("plain"), "plain");
        let line = r#"{"vehicle":"a","severity":"critical","rule":"overheating","text":"Stop."}"#;
        assert_eq!(warning(line), "a          critical  overheating  Stop.");
    }
}
