//! Says where JSON is malformed, in the words of the real server's parser.

/// Describes the first problem; `error` stands in for what this reader takes for well-formed.
pub fn describe(bytes: &[u8], error: &serde_json::Error) -> String {
    let mut reader = Reader {
        bytes,
        at: 0,
        depth: 0,
    };
    match reader.document() {
        Err(expected) => reader.problem(&expected),
        Ok(()) => error.to_string(),
    }
}

/// Deeper nesting is left to the error of the parser that counts.
const DEEPEST: usize = 100;

/// Reads JSON up to its first problem, and knows what it would have liked to see there.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), String> {
        self.blanks();
        self.value()?;
        if self.at < self.bytes.len() {
            Err("end-of-input".to_owned())
        } else {
            Ok(())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn require(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(format!("'{}'", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<(), String> {
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.list(b'}', |reader| {
                reader.string()?;
                reader.blanks();
                reader.require(b':')?;
                reader.blanks();
                reader.value()
            })?,
            Some(b'[') => self.list(b']', Self::value)?,
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ if self.word(b"true") || self.word(b"false") || self.word(b"null") => {}
            _ => {
                self.at = start;
                return Err("JSON Value".to_owned());
            }
        }
        self.blanks();
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn list(
        &mut self,
        close: u8,
        item: impl Fn(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.at = self.bytes.len();
            return Ok(());
        }
        self.at += 1;
        self.blanks();
        if self.peek() != Some(close) {
            loop {
                item(self)?;
                self.blanks();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.blanks();
            }
        }
        self.depth -= 1;
        self.require(close)
    }

    fn string(&mut self) -> Result<(), String> {
        self.require(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(byte) if byte >= b' ' => self.at += 1,
                _ => return Err("'\"'".to_owned()),
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err("DIGIT".to_owned())
        } else {
            Ok(())
        }
    }

    fn problem(&self, expected: &str) -> String {
        let at = self.at.min(self.bytes.len());
        let text = String::from_utf8_lossy(&self.bytes[..at]).into_owned();
        let line_number = text.matches('\n').count() + 1;
        let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let start = self.bytes[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let end = self.bytes[at..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.bytes.len(), |length| at + length);
        let line = String::from_utf8_lossy(&self.bytes[start..end]);
        let found = match String::from_utf8_lossy(&self.bytes[at..]).chars().next() {
            Some(character) => format!("Unexpected character '{character}'"),
            None => "Unexpected end-of-input".to_owned(),
        };
        format!(
            "{found} at input index {at} (line {line_number}, position {column}), expected {expected}:\n{line}\n{}^\n",
            " ".repeat(column - 1)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn described(text: &str) -> String {
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        describe(text.as_bytes(), &error)
    }

    #[test]
    fn problems_are_told_in_the_real_servers_words() {
        assert_eq!(
            described(""),
            "Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n"
        );
        assert_eq!(
            described("{\"exec\":"),
            "Unexpected end-of-input at input index 8 (line 1, position 9), expected JSON Value:\n{\"exec\":\n        ^\n"
        );
        assert_eq!(
            described("{x"),
            "Unexpected character 'x' at input index 1 (line 1, position 2), expected '\"':\n{x\n ^\n"
        );
        assert!(described("[1 2]").contains("expected ']'"));
        assert!(described("{} x").contains(
            "Unexpected character 'x' at input index 3 (line 1, position 4), expected end-of-input"
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_described_without_a_fault(text in "[\\[\\]{}\",:0-9a-z\\\\ \n\u{e9}-]{0,40}") {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert!(!describe(text.as_bytes(), &error).is_empty());
            }
        }
    }
}
