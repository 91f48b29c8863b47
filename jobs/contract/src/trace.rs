//! What belongs together: the context of a trace by W3C Trace Context, and as an extension of CloudEvents
//! (Distributed Tracing).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The record header that carries it, `traceparent` in the binary mode of CloudEvents.
pub const HEADER: &str = "ce_traceparent";
/// What HTTP requests and MQTT 5 messages call it, as a header and as a user property.
pub const NAME: &str = "traceparent";

/// A `traceparent`: which trace an event belongs to, and which step made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A text is no `traceparent`. Whoever gets such a text begins a trace of its own, as the standard asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct NoTrace;

impl TraceParent {
    /// The first step of a trace. Which numbers it has is for the caller to choose at random; 0 is none.
    #[must_use]
    pub fn new(trace: u128, span: u64) -> Self {
        Self {
            trace: trace.max(1),
            span: span.max(1),
            flags: 0,
        }
    }

    /// The next step in the same trace.
    #[must_use]
    pub fn step(self, span: u64) -> Self {
        Self {
            span: span.max(1),
            ..self
        }
    }

    /// The id of the trace, as logs show it.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl FromStr for TraceParent {
    type Err = NoTrace;

    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let text = text.trim();
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.bytes().all(is_hex).then_some(part)
        };
        let all = (part(2), part(32), part(16), part(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = all else {
            return Err(NoTrace);
        };
        // A later version may have more at its end; this one has not.
        let ends = version != "00" || parts.next().is_none();
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NoTrace)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NoTrace)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoTrace)?;
        if version == "ff" || !ends || trace == 0 || span == 0 {
            return Err(NoTrace);
        }
        Ok(Self { trace, span, flags })
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NoTrace;

    fn try_from(text: String) -> Result<Self, NoTrace> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_keeps_its_id_from_step_to_step() {
        let first: TraceParent = TEXT.parse().unwrap();
        assert_eq!(first.to_string(), TEXT);
        let next = first.step(0x17);
        assert_eq!(
            next.to_string(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000017-01"
        );
        assert_eq!(next.trace_id(), first.trace_id());
        assert_eq!(next.to_string().parse(), Ok(next));
        assert_eq!(
            serde_json::to_string(&first).unwrap(),
            format!("\"{TEXT}\"")
        );
    }

    #[test]
    fn nothing_has_the_number_nought() {
        let made = TraceParent::new(0, 0);
        assert_eq!(made.to_string().parse(), Ok(made));
        assert_eq!(made.step(0).to_string().parse(), Ok(made));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "00",
            &TEXT[..54],
            &TEXT.replace("4bf9", "4BF9"),
            &TEXT.replace("4bf9", "+bf9"),
            &TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &TEXT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &TEXT.replacen("00", "ff", 1),
            &format!("{TEXT}-more"),
            "é0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTrace), "{text}");
        }
        // Of a later version the known part is taken.
        let later = format!("{}-more", TEXT.replacen("00", "01", 1));
        assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), TEXT);
    }
}
