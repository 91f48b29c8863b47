//! What a ZooKeeper server says of itself, by the four-letter words `srvr` and `dirs`.

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
    parse(&ask(address, "srvr").await?)
}

/// How many bytes its snapshots and its log take; `None` when it does not say.
pub async fn stored(address: &str) -> Option<u64> {
    parse_stored(&ask(address, "dirs").await?)
}

async fn ask(address: &str, word: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(address, word, %error, "a ZooKeeper server could not be asked");
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

// Of each of the two directories it says how much is in it, and both are the same one.
fn parse_stored(answer: &str) -> Option<u64> {
    let sizes = answer.lines().filter_map(|line| {
        let (_, bytes) = line.split_once("dir_size: ")?;
        bytes.trim().parse().ok()
    });
    sizes.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_from_the_answer() {
        // As ZooKeeper 3.9 answers.
        let answer = "datadir_size: 1048597\nlogdir_size: 1048597\n";
        assert_eq!(parse_stored(answer), Some(1_048_597));
        let refused = "dirs is not executed because it is not in the whitelist.\n";
        assert_eq!(parse_stored(refused), None);
    }

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
