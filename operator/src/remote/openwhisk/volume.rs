//! How full the volume of an embedded OpenWhisk is, as it says itself.

use serde::Deserialize;

use crate::disk::Room;
use crate::remote::http;

#[derive(Deserialize)]
struct Told {
    total: u64,
    usable: u64,
}

/// The room on the volume of the server at `http://host:port`; `None` when it does not say.
pub async fn room(uri: &str) -> Option<Room> {
    match http::text(&format!("{uri}/volume")).await {
        Ok(answer) => parse(&answer),
        Err(problem) => {
            tracing::debug!(uri, problem, "an OpenWhisk does not say how full it is");
            None
        }
    }
}

fn parse(answer: &str) -> Option<Room> {
    let Told { total, usable } = serde_json::from_str(answer).ok()?;
    (total > 0).then_some(Room { total, usable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let room = parse(r#"{"total": 1000, "usable": 150}"#).unwrap();
        assert_eq!(room.percent(), 85);
        assert_eq!(parse("pong"), None);
    }
}
