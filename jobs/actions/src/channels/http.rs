//! One POST, as the vehicle's gateway and webhooks take it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::Attempt;

/// The longest that one POST may take.
pub(crate) const LONGEST_ATTEMPT: Duration = Duration::from_secs(5);

/// Answers are read up to this size.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// Of an answer, this many characters are told.
const SHOWN: usize = 300;

/// A client that follows no redirections (a warning goes to the address that was named, and nowhere else) and takes no
/// proxy from the environment.
pub(crate) fn agent(roots: RootCerts) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
        // Attempts are seconds apart and the process may be frozen in between: a kept connection would be a stale one.
        .max_idle_connections(0)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .into()
}

/// The certificates of a PEM bundle; `None` when it holds none or is broken.
pub(crate) fn roots(pem: &str) -> Option<RootCerts> {
    let items: Result<Vec<_>, _> = parse_pem(pem.as_bytes()).collect();
    let certificates: Vec<_> = items
        .ok()?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::from(certificates))
}

/// What the receiver answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    wait: Option<Duration>,
}

/// Posts once.
///
/// # Errors
/// What went wrong on the way; it may be tried again.
pub(crate) fn post(
    agent: &ureq::Agent,
    url: &str,
    headers: &[(&str, String)],
    body: &[u8],
    time: Duration,
) -> Result<Answer, Attempt> {
    let mut request = agent
        .post(url)
        .config()
        .timeout_global(Some(time))
        .build()
        .header("Content-Type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let again = |problem: String| Attempt::Again {
        problem,
        wait: None,
    };
    let mut response = request
        .send(body)
        .map_err(|error| again(error.to_string()))?;
    let status = response.status().as_u16();
    let wait = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, Timestamp::now()));
    let text = response
        .body_mut()
        .with_config()
        .limit(LARGEST_ANSWER)
        .lossy_utf8(true)
        .read_to_string();
    match text {
        Ok(text) => Ok(Answer { status, text, wait }),
        // What was taken is taken, whatever became of the rest of the answer.
        Err(_) if (200..300).contains(&status) => Ok(Answer {
            status,
            text: String::new(),
            wait,
        }),
        Err(error) => Err(again(format!("answered {status}, then: {error}"))),
    }
}

impl Answer {
    /// Whether it was taken.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What an answer other than success means; `cure` is told with a refusal.
    pub(crate) fn failure(self, cure: &str) -> Attempt {
        let problem = match self.shown() {
            text if text.is_empty() => format!("answered {}", self.status),
            text => format!("answered {}: {text}", self.status),
        };
        match self.status {
            408 | 429 | 500.. => Attempt::Again {
                problem,
                wait: self.wait,
            },
            _ => Attempt::Refused(format!("{problem}; {cure}")),
        }
    }

    /// The answer in one line of bounded length.
    fn shown(&self) -> String {
        let line: String = self
            .text
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SHOWN)
            .collect();
        line
    }
}

/// The header Retry-After: seconds, or a date.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_to_wait_is_read_as_seconds_or_date() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Mon, 23 Nov 2026 10:01:00 GMT"), Some(60));
        assert_eq!(seconds("Mon, 23 Nov 2026 09:01:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn statuses_are_told_apart() {
        let attempt = |status| {
            Answer {
                status,
                text: "a\nb".to_owned(),
                wait: None,
            }
            .failure("cure")
        };
        for status in [408, 429, 500, 503, 599] {
            assert!(
                matches!(attempt(status), Attempt::Again { problem, .. } if problem == format!("answered {status}: a b"))
            );
        }
        for status in [301, 400, 401, 404, 410] {
            assert!(
                matches!(attempt(status), Attempt::Refused(problem) if problem.ends_with("a b; cure"))
            );
        }
    }

    #[test]
    fn a_bundle_without_certificates_is_none() {
        assert!(roots("").is_none());
        assert!(roots("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_none());
    }
}
