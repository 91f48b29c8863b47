//! What a ZooKeeper server says of itself, by the four-letter word `srvr`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(3);
/// An answer has a few hundred bytes.
const ANSWER_MAX: u64 = 16 * 1024;

/// What a server does in its ensemble.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It leads.
    Leader,
    /// It follows the leader.
    Follower,
    /// It is alone.
    Standalone,
}

/// Asks the server at `host:port`; `None` when it does not answer, or has no majority with others.
pub async fn mode(address: &str) -> Option<Mode> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => parse(&answer),
        Ok(Err(error)) => {
            tracing::debug!(address, %error, "a ZooKeeper server could not be asked");
            None
        }
        Err(_) => None,
    }
}

fn parse(answer: &str) -> Option<Mode> {
    let mode = answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode: "))?;
    match mode.trim() {
        "leader" => Some(Mode::Leader),
        "follower" => Some(Mode::Follower),
        "standalone" => Some(Mode::Standalone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_read_from_the_answer() {
        let answer =
            |mode: &str| format!("Zookeeper version: 3.9.5\nZxid: 0x1\n{mode}Node count: 5\n");
        assert_eq!(parse(&answer("Mode: leader\n")), Some(Mode::Leader));
        assert_eq!(parse(&answer("Mode: standalone\n")), Some(Mode::Standalone));
        assert_eq!(
            parse("This ZooKeeper instance is not currently serving requests\n"),
            None
        );
    }
}
