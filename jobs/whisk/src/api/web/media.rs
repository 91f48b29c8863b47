//! Media types: what is text, and with which charset it goes out. Pure.

/// Types of other families whose bodies are text, as far as the real server knows them.
const TEXTS: [&str; 15] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/problem+json",
    "application/rss+xml",
    "application/soap+xml",
    "application/vnd.google-earth.kml+xml",
    "application/vrml",
    "application/x-javascript",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
    "application/xml-dtd",
];

/// A media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// In small letters: `text/plain`.
    pub essence: String,
    /// What stands behind it, apart from a charset: `; version=1`.
    parameters: String,
    charset: bool,
}

impl Media {
    /// Reads a value of the header `Content-Type`; `None` when it names no type.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next()?.to_ascii_lowercase();
        let (main, sub) = essence.split_once('/')?;
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
        };
        if !token(main) || !token(sub) {
            return None;
        }
        let (mut parameters, mut charset) = (String::new(), false);
        for parameter in parts.filter(|part| !part.is_empty()) {
            let (name, value) = parameter.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("charset") {
                charset = true;
            } else {
                parameters.push_str(&format!("; {}={}", name.trim(), value.trim()));
            }
        }
        Some(Self {
            essence,
            parameters,
            charset,
        })
    }

    /// Whether a body of this type is JSON.
    pub fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence.ends_with("+json")
    }

    /// Whether a request's body of this type is passed on as text, not as Base64.
    pub fn is_text(&self) -> bool {
        self.charset || self.essence.starts_with("text/") || TEXTS.contains(&self.essence.as_str())
    }

    /// As a header of an answer: text of any kind but JSON says that it is UTF-8.
    pub fn header(&self) -> String {
        let charset = match self.is_text() && !self.is_json() {
            true => "; charset=UTF-8",
            false => "",
        };
        format!("{}{}{charset}", self.essence, self.parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_charsets() {
        let shown = |text| Media::parse(text).map(|media| media.header());
        assert_eq!(
            shown("Text/HTML").as_deref(),
            Some("text/html; charset=UTF-8")
        );
        assert_eq!(
            shown("text/csv;header=present; charset=utf-8").as_deref(),
            Some("text/csv; header=present; charset=UTF-8")
        );
        assert_eq!(shown("image/png").as_deref(), Some("image/png"));
        assert_eq!(
            shown("application/json; charset=utf-8").as_deref(),
            Some("application/json")
        );
        for none in ["weird", "", "a/", "a/b c", "text/plain; x"] {
            assert_eq!(shown(none), None, "{none}");
        }
    }

    #[test]
    fn text_json_and_the_rest() {
        let media = |text| Media::parse(text).unwrap();
        assert!(media("application/ld+json").is_json() && !media("application/ld+json").is_text());
        assert!(media("application/x-thing;charset=latin1").is_text());
        assert!(!media("application/octet-stream").is_text());
        assert!(!media("image/svg+xml").is_text());
    }
}
