//! Messages of the wire protocol: OP_MSG, and OP_QUERY with which a client may begin.

use std::io::{self, Cursor};

use mongodb::bson::Document;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// A command of a client.
pub struct Message {
    id: i32,
    opcode: i32,
    pub command: Document,
}

fn broken(problem: impl ToString) -> io::Error {
    io::Error::other(problem.to_string())
}

/// The next message; `None` at the end.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let mut header = [0; 16];
    if stream.read_exact(&mut header).await.is_err() {
        return Ok(None);
    }
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let (length, id, opcode) = (number(0), number(4), number(12));
    let rest = usize::try_from(length).map_err(broken)?.checked_sub(16);
    let mut body = vec![0; rest.ok_or_else(|| broken("short"))?];
    stream.read_exact(&mut body).await?;
    let from = match opcode {
        // Flags, and the kind of the first section, which is a document.
        OP_MSG => 5,
        // Flags, the name of a collection, two numbers.
        OP_QUERY => body.iter().skip(4).position(|b| *b == 0).unwrap_or(0) + 4 + 1 + 8,
        other => return Err(broken(format!("opcode {other}"))),
    };
    let command = Document::from_reader(Cursor::new(&body[from..])).map_err(broken)?;
    Ok(Some(Message {
        id,
        opcode,
        command,
    }))
}

/// Answers a message, in the form in which it came.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    to: &Message,
    answer: &Document,
) -> io::Result<()> {
    let mut body = Vec::new();
    let opcode = if to.opcode == OP_QUERY {
        // Flags, cursor, where it starts, one document.
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&1_i32.to_le_bytes());
        OP_REPLY
    } else {
        body.extend_from_slice(&[0; 5]);
        OP_MSG
    };
    answer.to_writer(&mut body).map_err(broken)?;
    let length = i32::try_from(body.len() + 16).map_err(broken)?;
    let mut message = Vec::new();
    for number in [length, 1, to.id, opcode] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.extend_from_slice(&body);
    stream.write_all(&message).await?;
    stream.flush().await
}
