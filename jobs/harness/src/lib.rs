//! The harness around an action: one function in, the ActionLoop protocol out.
//!
//! ActionLoop: each line on standard input is one activation, `{"value": …, "deadline": …}`;
//! the answer is exactly one line on file descriptor 3. Logs are flushed before the answer is
//! written, because the server takes what it has read by then as the activation's log.
//! With an argument the same binary serves a single activation instead: the argument is the
//! input, the last line of standard output the answer (the protocol of `--native` actions).
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! #[derive(serde::Deserialize)]
//! struct Input {
//!     number: i64,
//! }
//!
//! #[derive(serde::Serialize)]
//! struct Output {
//!     double: i64,
//! }
//!
//! fn main() -> ExitCode {
//!     millrace_harness::run(|input: Input| match input.number.checked_mul(2) {
//!         Some(double) => Ok(Output { double }),
//!         None => Err(format!("number: {}: is too large; give less", input.number)),
//!     })
//! }
//! ```

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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
    pub deadline: Option<SystemTime>,
}

impl Context {
    /// Time left until the deadline; `None` when there is none.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let left = |deadline: SystemTime| deadline.duration_since(now).unwrap_or(Duration::ZERO);
        self.deadline.map(left)
    }

    fn of(envelope: &Value) -> Self {
        // The server sends milliseconds as a string; a number is taken as well.
        let deadline = match envelope.get("deadline") {
            Some(Value::String(text)) => text.parse::<u64>().ok(),
            Some(Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        Self {
            activation_id: envelope
                .get("activation_id")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            deadline: deadline.and_then(|milliseconds| {
                UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
            }),
        }
    }
}

/// Runs an action that needs nothing but its input. See [`run_with_context`].
pub fn run<I, O, E>(action: impl Fn(I) -> Result<O, E>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
{
    run_with_context(|input, _| action(input))
}

/// Runs `action` until the server closes standard input, or once when an argument is given.
///
/// Answers `{"error": …}` for input that does not fit, for an `Err` and for a panic; the process
/// goes on afterwards. Fails only when it was started by something that is no server.
pub fn run_with_context<I, O, E>(action: impl Fn(I, &Context) -> Result<O, E>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
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
fn one_shot<I, O, E>(action: &impl Fn(I, &Context) -> Result<O, E>, input: &str) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
{
    let answer = match serde_json::from_str::<Value>(input) {
        Ok(value) => guarded(action, value, &Context::default()),
        Err(error) => failure(&Fault::Shape(error.to_string())),
    };
    println!("{answer}");
    if answer.get("error").is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn serve<I, O, E>(action: &impl Fn(I, &Context) -> Result<O, E>) -> ExitCode
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
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
pub fn serve_lines<I, O, E>(
    action: &impl Fn(I, &Context) -> Result<O, E>,
    mut lines: impl BufRead,
    mut answers: impl Write,
    acknowledge: bool,
) -> io::Result<()>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
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
            Err(error) => failure(&Fault::Shape(error.to_string())),
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
fn guarded<I, O, E>(
    action: &impl Fn(I, &Context) -> Result<O, E>,
    value: Value,
    context: &Context,
) -> Value
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
{
    let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<Value, String> {
        let input = serde_json::from_value::<I>(value)
            .map_err(|error| Fault::Shape(error.to_string()).to_string())?;
        let output = action(input, context).map_err(|error| error.to_string())?;
        serde_json::to_value(output).map_err(|error| Fault::Encode(error.to_string()).to_string())
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
            failure(&Fault::Panicked(text))
        }
    }
}

fn failure(error: &impl Display) -> Value {
    json!({ "error": error.to_string() })
}

/// What goes wrong around an action.
enum Fault {
    /// The input is no JSON of the action's shape.
    Shape(String),
    /// The action panicked, which is a fault of its own.
    Panicked(String),
    /// The answer cannot be written as JSON.
    Encode(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(problem) => write!(
                f,
                "input: {problem}; send the object that the action's documentation describes"
            ),
            Self::Panicked(problem) => write!(
                f,
                "the action panicked: {problem}; this is a fault in the action, please report it with its input"
            ),
            Self::Encode(problem) => write!(f, "the answer could not be encoded: {problem}"),
        }
    }
}
