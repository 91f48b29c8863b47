//! How full the volume of a JournalNode is. It says nothing of it itself: its start script leaves what `df` says beside its
//! logs, which it serves by HTTP.

use crate::disk::Room;
use crate::remote::http;

/// Where that lies.
pub const PATH: &str = "/logs/volume";

/// The room on the volume of the server at `host:port`; `None` when it does not say.
pub async fn room(address: &str) -> Option<Room> {
    match http::text(&format!("http://{address}{PATH}")).await {
        Ok(answer) => parse(&answer),
        Err(problem) => {
            tracing::debug!(
                address,
                problem,
                "a JournalNode does not say how full it is"
            );
            None
        }
    }
}

// The bytes of the whole, and those that can still be written.
fn parse(answer: &str) -> Option<Room> {
    let mut numbers = answer.split_whitespace().map(str::parse);
    let (total, usable) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (total > 0).then_some(Room { total, usable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_df_says_is_read() {
        let room = Room {
            total: 503_316_480,
            usable: 477_155_328,
        };
        assert_eq!(parse(" 503316480 477155328\n"), Some(room));
        assert_eq!(parse("503316480\n"), None, "cut short");
        assert_eq!(parse("<html>"), None);
    }
}
