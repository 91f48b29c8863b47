//! Reading over https.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use millrace_contract::Invalid;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::CodeError;

/// A whole transfer: 36 MiB at 2 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(150);
const CONNECT: Duration = Duration::from_secs(10);
/// Until an answer begins: others wait for their code meanwhile.
const BEGINNING: Duration = Duration::from_secs(20);
/// Registries send blobs from elsewhere.
const REDIRECTS: u32 = 5;
/// Of an answer, this much is told.
const SHOWN: usize = 200;
/// Where systems keep the authorities that they trust: Debian, Fedora, Alpine.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Whom to trust.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The authorities of the system, or of `SSL_CERT_FILE`; those of Mozilla where it has none.
    System,
    /// These.
    Given(RootCerts),
}

impl Roots {
    /// The certificates of a bundle in PEM; `None` when it holds none or is broken.
    #[must_use]
    pub fn of(pem: &[u8]) -> Option<Self> {
        certificates(pem).map(Self::Given)
    }

    fn certificates(&self) -> RootCerts {
        match self {
            Self::Given(given) => given.clone(),
            Self::System => system().unwrap_or(RootCerts::WebPki),
        }
    }
}

fn certificates(pem: &[u8]) -> Option<RootCerts> {
    let items: Result<Vec<_>, _> = parse_pem(pem).collect();
    let certificates: Vec<Certificate<'static>> = items
        .ok()?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::from(certificates))
}

fn system() -> Option<RootCerts> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let named = named.as_deref().map(Path::new);
    named
        .into_iter()
        .chain(BUNDLES.iter().map(Path::new))
        .find_map(|path| certificates(&std::fs::read(path).ok()?))
}

/// A client that speaks nothing but https, wherever it is sent on to.
#[must_use]
pub fn agent(roots: &Roots, patience: Duration) -> Agent {
    agent_of(roots, patience, None)
}

fn agent_of(roots: &Roots, patience: Duration, beginning: Option<Duration>) -> Agent {
    let tls = TlsConfig::builder().root_certs(roots.certificates());
    Agent::config_builder()
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(patience))
        .timeout_recv_response(beginning)
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into()
}

/// A client for code.
pub(super) fn for_code(roots: &Roots) -> Agent {
    agent_of(roots, PATIENCE, Some(BEGINNING))
}

/// What reading is for, as it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) field: &'a str,
    pub(super) shown: &'a str,
}

impl Place<'_> {
    pub(super) fn unreachable(&self, error: &ureq::Error) -> CodeError {
        // An address that it sends on to may hold a key.
        let problem = match error {
            ureq::Error::RequireHttpsOnly(_) => "it sends on to where it is not https".to_owned(),
            ureq::Error::BadUri(_) => "it sends on to no address".to_owned(),
            other => other.to_string(),
        };
        CodeError::Unreachable(Invalid::new(
            self.field,
            self.shown,
            format!("cannot be read: {problem}"),
            "see that it can be reached from the operator, and that its certificate is of an authority that is trusted (authority)",
        ))
    }

    pub(super) fn unusable(&self, problem: impl Into<String>, cure: &str) -> CodeError {
        CodeError::Unusable(Invalid::new(self.field, self.shown, problem.into(), cure))
    }

    /// The body of an answer of status 200.
    pub(super) fn body(
        &self,
        mut answer: Response<ureq::Body>,
        most: u64,
    ) -> Result<Vec<u8>, CodeError> {
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(self.refused(status, &said(&mut answer)));
        }
        let mut bytes = Vec::new();
        // One more than is taken, to tell what is too large.
        let mut reader = answer.body_mut().as_reader().take(most + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| self.unreachable(&ureq::Error::from(error)))?;
        if bytes.len() as u64 > most {
            return Err(self.unusable(
                format!("has more than {most} bytes"),
                "make the program smaller (opt-level = \"z\", strip, fewer dependencies)",
            ));
        }
        // What it grew by may be as much again, and it is kept.
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    pub(super) fn refused(&self, status: u16, said: &str) -> CodeError {
        let problem = if said.is_empty() {
            format!("answers {status}")
        } else {
            format!("answers {status}: {said}")
        };
        let cure = match status {
            401 | 403 => "give a login that may read it",
            404 => "correct the address, or bring the content back",
            _ => "see to the server",
        };
        let invalid = Invalid::new(self.field, self.shown, problem, cure);
        match status {
            408 | 429 | 500.. => CodeError::Unreachable(invalid),
            _ => CodeError::Refused(invalid),
        }
    }
}

/// The beginning of what an answer says, on one line.
fn said(answer: &mut Response<ureq::Body>) -> String {
    let mut bytes = Vec::new();
    let mut reader = answer.body_mut().as_reader().take(4096);
    // What cannot be read is not told.
    let _ = reader.read_to_end(&mut bytes);
    told(&String::from_utf8_lossy(&bytes))
}

/// Nothing but JSON is told: what object stores say has a number of the request, another one each time, and stands in a status.
fn told(text: &str) -> String {
    let text = text.trim();
    if !text.starts_with('{') {
        return String::new();
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_json_is_told() {
        assert_eq!(told(" {\"a\":\n1}\n"), "{\"a\": 1}");
        assert_eq!(told(&format!("{{{}", "a".repeat(SHOWN))).len(), SHOWN);
        let store = "<?xml version=\"1.0\"?><Error><RequestId>4442587FB7D0A2F9</RequestId></Error>";
        assert_eq!(told(store), "");
    }

    #[test]
    fn an_address_that_is_sent_on_to_is_not_shown() {
        let place = Place {
            field: "f",
            shown: "https://a/b.zip",
        };
        for (error, told) in [
            (
                ureq::Error::RequireHttpsOnly("http://c/d?sig=key".into()),
                "it sends on to where it is not https",
            ),
            (
                ureq::Error::BadUri("?sig=key".into()),
                "it sends on to no address",
            ),
        ] {
            let text = place.unreachable(&error).to_string();
            assert!(text.contains(told) && !text.contains("key"), "{text}");
        }
    }
}
