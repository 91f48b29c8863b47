//! The address of a mail server: `smtp://user:password@host:port/hello?tls=required`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::Uri;

use crate::ActionError;
use crate::secret::{Scrubber, Secret};

/// Where mail is handed in (RFC 6409).
const SUBMISSION: u16 = 587;

/// The same within TLS from the first byte (RFC 8314).
const SUBMISSIONS: u16 = 465;

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// From the first byte: `smtps://`.
    Wrapped,
    /// By STARTTLS when the server offers it: `smtp://`.
    Offered,
    /// By STARTTLS, or not at all: `smtp://…?tls=required`.
    Required,
    /// Never: `smtp://…?tls=off`.
    Off,
}

/// What the address says.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    /// The name to say hello with; the address of the connection when there is none.
    pub(super) hello: Option<String>,
    /// User and password.
    pub(super) login: Option<(String, Secret)>,
}

impl Server {
    /// For messages: without the login.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls == Tls::Wrapped {
            "smtps"
        } else {
            "smtp"
        };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Reads an address; whatever part of it is secret is hidden from messages from here on.
///
/// # Errors
/// [`ActionError::Input`] without the value.
pub(super) fn parse(url: &Secret, scrubber: &mut Scrubber) -> Result<Server, ActionError> {
    scrubber.hide(url.expose());
    let wrong = |problem: &str| {
        ActionError::input(
            "smtp_url",
            "***",
            problem,
            "give one like smtps://user:password@mail.example.com, with what is special in user and password as %XX",
        )
    };
    let uri: Uri = url
        .expose()
        .parse()
        .map_err(|_| wrong("is no address of a mail server"))?;
    let option = uri.query().unwrap_or_default();
    let (tls, usual_port) = match (uri.scheme_str(), option) {
        (Some("smtps"), "") => (Tls::Wrapped, SUBMISSIONS),
        (Some("smtp"), "") => (Tls::Offered, SUBMISSION),
        (Some("smtp"), "tls=required") => (Tls::Required, SUBMISSION),
        (Some("smtp"), "tls=off") => (Tls::Off, SUBMISSION),
        (Some("smtp" | "smtps"), _) => {
            return Err(wrong(
                "has an option other than tls=required and tls=off of smtp://",
            ));
        }
        _ => return Err(wrong("begins with neither smtp:// nor smtps://")),
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong("names no host"));
    }
    let login = match uri.authority().and_then(|a| a.as_str().rsplit_once('@')) {
        None => None,
        Some((login, _)) => {
            let (user, password) = login
                .split_once(':')
                .ok_or_else(|| wrong("has a user without a password"))?;
            let user = decode(user).ok_or_else(|| wrong("has a user that is no text"))?;
            let plain = decode(password).ok_or_else(|| wrong("has a password that is no text"))?;
            for form in [
                password,
                &plain,
                &STANDARD.encode(&plain),
                &STANDARD.encode(format!("\0{user}\0{plain}")),
            ] {
                scrubber.hide(form);
            }
            Some((user, Secret::from(plain.as_str())))
        }
    };
    let hello = uri.path().trim_matches('/');
    Ok(Server {
        host: host.to_owned(),
        port: uri.port_u16().unwrap_or(usual_port),
        tls,
        hello: (!hello.is_empty()).then(|| hello.to_owned()),
        login,
    })
}

/// Undoes percent-encoding; `None` when it is broken or no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Server, String> {
        parse(&Secret::from(url), &mut Scrubber::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_say_how_to_connect() {
        let server = read("smtp://me%40example.com:p%3Ass@mail.example.com").unwrap();
        assert_eq!((server.port, server.tls), (587, Tls::Offered));
        assert_eq!(
            server.login,
            Some(("me@example.com".to_owned(), Secret::from("p:ss")))
        );
        let server = read("smtps://[::1]/hello.example.com").unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.tls),
            ("::1", 465, Tls::Wrapped)
        );
        assert_eq!(server.hello.as_deref(), Some("hello.example.com"));
        assert_eq!(read("smtp://h:25?tls=required").unwrap().tls, Tls::Required);
        assert_eq!(read("smtp://h?tls=off").unwrap().tls, Tls::Off);
        assert_eq!(server.shown(), "smtps://::1:465");
    }

    #[test]
    fn bad_addresses_are_refused_unseen() {
        for (url, problem) in [
            ("", "is no address of a mail server"),
            ("http://user:hunter22@h", "begins with neither"),
            ("smtp://user:hunter22@h?tls=maybe", "has an option other"),
            ("smtp://hunter22@h", "has a user without a password"),
            ("smtp://user:hunter22%4@h", "has a password that is no text"),
        ] {
            let error = read(url).unwrap_err();
            assert!(
                error.starts_with(&format!("smtp_url: ***: {problem}")),
                "{error}"
            );
            assert!(!error.contains("hunter22"), "{error}");
        }
    }
}
