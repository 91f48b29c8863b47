//! The harness around an action: one function in, the ActionLoop protocol out.
//!
//! ActionLoop: each line on standard input is one activation, `{"value": …, "deadline": …}`;
//! the answer is exactly one line on file descriptor 3. Logs are flushed before the answer is
//! written, because the server takes what it has read by then as the activation's log.
//! With an argument the same binary serves a single activation instead: the argument is the
//! input, the last line of standard output the answer (the protocol of `--native` actions).

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ActionError;

/// Where an ActionLoop child finds its answer channel. Opening the path instead of adopting
/// the number needs no unsafe code, and works for the pipe that every server passes.
const ANSWERS: &str = "/proc/self/fd/3";

/// The same on systems that mount no `/proc` but have `/dev/fd`.
const ANSWERS_FALLBACK: &str = "/dev/fd/3";

/// The names under which a server asks for an acknowledgement before the first activation.
const WAIT_FOR_ACK: [&str; 2] = ["__OW_WAIT_FOR_ACK", "OW_WAIT_FOR_ACK"];

/// What an activation may know about itself besides its input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The activation's id, empty when the server names none.
    pub activation_id: String,
    /// The moment at which the server gives up on this activation.
    pub deadline: Option<Timestamp>,
}

impl Context {
    /// Time left until the deadline; `None` when there is none.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.deadline.map(|deadline| {
            let milliseconds = deadline
                .as_millisecond()
                .saturating_sub(now.as_millisecond());
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
        })
    }

    fn of(envelope: &Value) -> Self {
        // The server sends milliseconds as a string; a number is taken as well.
        let deadline = match envelope.get("deadline") {
            Some(Value::String(text)) => text.parse::<i64>().ok(),
            Some(Value::Number(number)) => number.as_i64(),
            _ => None,
        };
        Self {
            activation_id: envelope
                .get("activation_id")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            deadline: deadline
                .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()),
        }
    }
}

/// Runs an action that needs nothing but its input. See [`run_with_context`].
pub fn run<I, O>(action: impl Fn(I) -> Result<O, ActionError>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
{
    run_with_context(|input, _| action(input))
}

/// Runs `action` until the server closes standard input, or once when an argument is given.
///
/// Answers `{"error": …}` for input that does not fit, for an `Err` and for a panic; the process
/// goes on afterwards. Fails only when it was started by something that is no server.
pub fn run_with_context<I, O>(action: impl Fn(I, &Context) -> Result<O, ActionError>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
{
    match std::env::args().nth(1).as_deref() {
        Some("--version" | "-V") => {
            println!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h") => {
            println!(
                "An action of Millrace. An OpenWhisk server runs it: activations as lines on standard input,\n\
                 answers as lines on file descriptor 3 (ActionLoop). To try it: give the input as a JSON argument."
            );
            ExitCode::SUCCESS
        }
        Some(input) => one_shot(&action, input),
        None => serve(&action),
    }
}

/// One activation from an argument; the exit status tells a shell what the answer tells a server.
fn one_shot<I, O>(action: &impl Fn(I, &Context) -> Result<O, ActionError>, input: &str) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
{
    let answer = match serde_json::from_str::<Value>(input) {
        Ok(value) => guarded(action, value, &Context::default()),
        Err(error) => failure(&ActionError::Shape(error.to_string())),
    };
    println!("{answer}");
    if answer.get("error").is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn serve<I, O>(action: &impl Fn(I, &Context) -> Result<O, ActionError>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
{
    let opened = OpenOptions::new()
        .write(true)
        .open(ANSWERS)
        .or_else(|_| OpenOptions::new().write(true).open(ANSWERS_FALLBACK));
    let answers = match opened {
        Ok(answers) => answers,
        Err(error) => {
            eprintln!(
                "file descriptor 3 cannot be written ({error}): an OpenWhisk server opens it; \
                 to try the action from a shell, give its input as an argument"
            );
            return ExitCode::from(2);
        }
    };
    let acknowledge = WAIT_FOR_ACK
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    match serve_lines(action, io::stdin().lock(), answers, acknowledge) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the action's pipes broke: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The loop itself, over any pair of streams.
///
/// # Errors
/// When reading an activation or writing an answer fails.
pub fn serve_lines<I, O>(
    action: &impl Fn(I, &Context) -> Result<O, ActionError>,
    mut lines: impl BufRead,
    mut answers: impl Write,
    acknowledge: bool,
) -> io::Result<()>
where
    I: DeserializeOwned,
    O: Serialize,
{
    if acknowledge {
        answers.write_all(b"{\"ok\":true}\n")?;
        answers.flush()?;
    }
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let answer = match serde_json::from_slice::<Value>(&line) {
            Ok(mut envelope) => {
                let context = Context::of(&envelope);
                let value = envelope
                    .get_mut("value")
                    .map_or_else(|| json!({}), Value::take);
                guarded(action, value, &context)
            }
            Err(error) => failure(&ActionError::Shape(error.to_string())),
        };
        io::stdout().flush()?;
        io::stderr().flush()?;
        // One write per answer: a reader that polls never sees half a line of a short answer.
        let mut text = answer.to_string().into_bytes();
        text.push(b'\n');
        answers.write_all(&text)?;
        answers.flush()?;
    }
}

/// Runs the action on one input; whatever happens becomes a JSON object.
fn guarded<I, O>(
    action: &impl Fn(I, &Context) -> Result<O, ActionError>,
    value: Value,
    context: &Context,
) -> Value
where
    I: DeserializeOwned,
    O: Serialize,
{
    let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<Value, ActionError> {
        let input = serde_json::from_value::<I>(value)
            .map_err(|error| ActionError::Shape(error.to_string()))?;
        let output = action(input, context)?;
        serde_json::to_value(output).map_err(|error| ActionError::Encode(error.to_string()))
    }));
    match outcome {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            eprintln!("{error}");
            failure(&error)
        }
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            failure(&ActionError::Panicked(text))
        }
    }
}

fn failure(error: &ActionError) -> Value {
    json!({ "error": error.to_string() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Number {
        number: i64,
    }

    fn double(input: Number, context: &Context) -> Result<Value, ActionError> {
        match input.number {
            0 => panic!("zero"),
            n if n < 0 => Err(ActionError::input(
                "number",
                n,
                "is negative",
                "give 1 or more",
            )),
            n => Ok(json!({ "double": n * 2, "id": context.activation_id })),
        }
    }

    fn answers(input: &str, acknowledge: bool) -> Vec<String> {
        let mut out = Vec::new();
        serve_lines(&double, input.as_bytes(), &mut out, acknowledge).unwrap();
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn answers_one_line_per_activation_whatever_happens() {
        let input = concat!(
            "{\"value\":{\"number\":2},\"activation_id\":\"a\"}\n",
            "{\"value\":{\"number\":-1}}\n",
            "{\"value\":{\"number\":0}}\n",
            "\n",
            "{\"value\":{\"other\":0}}\n",
            "garbage\n",
            "{\"value\":{\"number\":3}}\n",
        );
        let answers = answers(input, false);
        assert_eq!(answers.len(), 6, "{answers:?}");
        assert_eq!(answers[0], r#"{"double":4,"id":"a"}"#);
        assert_eq!(
            answers[1],
            r#"{"error":"number: -1: is negative; give 1 or more"}"#
        );
        assert!(answers[2].contains("panicked: zero"), "{}", answers[2]);
        assert!(
            answers[3].contains("missing field `number`"),
            "{}",
            answers[3]
        );
        assert!(
            answers[4].starts_with(r#"{"error":"input: "#),
            "{}",
            answers[4]
        );
        assert_eq!(answers[5], r#"{"double":6,"id":""}"#);
    }

    #[test]
    fn acknowledges_first_when_asked() {
        let answers = answers("{\"value\":{\"number\":1}}\n", true);
        assert_eq!(answers, [r#"{"ok":true}"#, r#"{"double":2,"id":""}"#]);
    }

    #[test]
    fn reads_the_deadline_as_text_or_number() {
        let text = Context::of(&json!({ "deadline": "1500", "activation_id": "x" }));
        let number = Context::of(&json!({ "deadline": 1500 }));
        assert_eq!(text.deadline, number.deadline);
        let now = Timestamp::from_millisecond(1000).unwrap();
        assert_eq!(text.remaining(now), Some(Duration::from_millis(500)));
        let late = Timestamp::from_millisecond(9000).unwrap();
        assert_eq!(text.remaining(late), Some(Duration::ZERO));
        assert_eq!(Context::of(&json!({})).remaining(now), None);
    }
}
