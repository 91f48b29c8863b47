//! The action `@NAME@`: greets whoever its input names.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What the action is given: its bound parameters, and over them what the caller sends.
#[derive(Debug, Deserialize)]
struct Input {
    name: Option<String>,
}

/// What it answers.
#[derive(Debug, PartialEq, Serialize)]
struct Output {
    greeting: String,
}

/// The work. An `Err` becomes the activation's error; name the field, what is wrong with it, and the cure.
fn greet(input: Input) -> Result<Output, String> {
    let name = input.name.unwrap_or_else(|| "stranger".to_owned());
    if name.trim().is_empty() {
        return Err("name: empty; give a name, or leave it out".to_owned());
    }
    // What is printed becomes the activation's log.
    println!("greeting {name}");
    Ok(Output {
        greeting: format!("Hello, {name}"),
    })
}

fn main() -> ExitCode {
    millrace_harness::run(greet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_by_name() {
        let input = |name: Option<&str>| Input {
            name: name.map(str::to_owned),
        };
        assert_eq!(greet(input(Some("Ada"))).unwrap().greeting, "Hello, Ada");
        assert_eq!(greet(input(None)).unwrap().greeting, "Hello, stranger");
        assert!(greet(input(Some(" "))).is_err());
    }
}
