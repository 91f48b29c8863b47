//! The log of one activation: lines with time and stream, up to a size.

use jiff::Timestamp;

/// Which stream a line came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// Lines longer than this are told in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// What stands before each line: the time, and the stream's name.
const HEAD: usize = "2026-01-01T00:00:00.000000000Z stdout: ".len();

/// Collects lines.
#[derive(Debug)]
pub struct Log {
    lines: Vec<String>,
    partial: [Vec<u8>; 2],
    bytes: usize,
    limit: usize,
    truncated: bool,
}

impl Log {
    /// Collects up to `limit` bytes; none after the first line that is too much.
    pub fn new(limit: usize) -> Self {
        Self {
            lines: Vec::new(),
            partial: [Vec::new(), Vec::new()],
            bytes: 0,
            limit,
            truncated: false,
        }
    }

    /// Takes what was read from a stream.
    pub fn push(&mut self, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.partial[stream as usize].extend_from_slice(&bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        let partial = &mut self.partial[stream as usize];
        partial.extend_from_slice(bytes);
        if partial.len() > LONGEST_LINE {
            self.end_line(stream);
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let text = std::mem::take(&mut self.partial[stream as usize]);
        // What a record keeps counts, time and stream with it: else a flood of empty lines would have no end.
        if self.truncated || self.bytes + HEAD + text.len() > self.limit {
            self.truncated = true;
            return;
        }
        self.bytes += HEAD + text.len();
        self.lines
            .push(line(stream, &String::from_utf8_lossy(&text)));
    }

    /// The lines; what did not end in a newline is a line too.
    pub fn finish(mut self) -> Vec<String> {
        for stream in [Stream::Out, Stream::Err] {
            if !self.partial[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        if self.truncated {
            let text = format!(
                "Logs were truncated because the total bytes size exceeds the limit of {} bytes.",
                self.limit
            );
            self.lines.push(line(Stream::Err, &text));
        }
        self.lines
    }
}

/// A line as records hold it.
pub fn line(stream: Stream, text: &str) -> String {
    format!("{:.9} {}: {text}", Timestamp::now(), stream.name())
}

/// Stream and text of a line as records hold it.
pub fn parts(line: &str) -> (Stream, &str) {
    let stream = match line.get(HEAD - "stdout: ".len()..HEAD) {
        Some("stderr: ") => Stream::Err,
        _ => Stream::Out,
    };
    (stream, line.get(HEAD..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: Log) -> Vec<String> {
        log.finish()
            .iter()
            .map(|line| line[31..].to_owned())
            .collect()
    }

    #[test]
    fn lines_are_put_together_by_stream() {
        let mut log = Log::new(1000);
        log.push(Stream::Out, b"he");
        log.push(Stream::Err, b"bad\n");
        log.push(Stream::Out, b"llo\nend");
        assert_eq!(texts(log), ["stderr: bad", "stdout: hello", "stdout: end"]);
    }

    #[test]
    fn a_flood_is_cut() {
        for text in ["12345\n", "\n"] {
            let mut log = Log::new(2 * (HEAD + text.len()));
            for _ in 0..1000 {
                log.push(Stream::Out, text.as_bytes());
            }
            let lines = texts(log);
            assert_eq!(lines.len(), 3, "{lines:?}");
            assert!(lines[2].contains("exceeds the limit of"), "{lines:?}");
        }
        let mut log = Log::new(10);
        log.push(Stream::Out, &vec![b'x'; 1 << 20]);
        assert_eq!(log.partial[0].capacity(), 0);
        assert_eq!(line(Stream::Out, "").len(), HEAD);
        assert_eq!(parts(&line(Stream::Err, "a: b")), (Stream::Err, "a: b"));
        assert_eq!(parts(&line(Stream::Out, "")), (Stream::Out, ""));
    }
}
