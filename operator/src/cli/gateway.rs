//! A client of the gateway's administration.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The gateway of a platform, with the token of a role.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// Why the gateway did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The client cannot be made.
    #[error("--ca-file: {0}; give a certificate in PEM")]
    Client(reqwest::Error),
    /// It cannot be reached.
    #[error("{url}: {source}; see whether the gateway runs")]
    Reach {
        /// Its address.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// It refused.
    #[error("the gateway answered {status}: {said}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words.
        said: String,
    },
    /// Its answer is no JSON.
    #[error("the gateway answered what is no JSON: {0}; see whether --gateway names one")]
    Answer(String),
}

impl Gateway {
    /// A gateway at `url`; `authority` is the certificate, in PEM, that has signed its own.
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub fn new(url: &str, token: String, authority: Option<&[u8]>) -> Result<Self, GatewayError> {
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        if let Some(pem) = authority {
            let certificate = reqwest::Certificate::from_pem(pem).map_err(GatewayError::Client)?;
            builder = builder.add_root_certificate(certificate);
        }
        Ok(Self {
            client: builder.build().map_err(GatewayError::Client)?,
            url: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Asks for `path`, whose query is `query`.
    ///
    /// # Errors
    /// The gateway cannot be reached or refuses.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value, GatewayError> {
        let url = format!("{}{path}", self.url);
        let reach = |source: reqwest::Error| GatewayError::Reach {
            url: self.url.clone(),
            source: source.without_url(),
        };
        let answer = self
            .client
            .request(method, with_query(&url, query))
            .bearer_auth(&self.token)
            .send()
            .await
            .map_err(reach)?;
        let status = answer.status();
        let text = answer.text().await.map_err(reach)?;
        if !status.is_success() {
            return Err(GatewayError::Refused {
                status,
                said: said(&text),
            });
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|_| GatewayError::Answer(text.chars().take(120).collect()))
    }
}

/// What a refusal says: `field: value: problem; cure` where the gateway gives these.
fn said(text: &str) -> String {
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return text.chars().take(300).collect();
    };
    let part = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    match (part("problem"), part("cure")) {
        (problem, cure) if !problem.is_empty() => {
            let place: Vec<String> = [part("field"), part("value")]
                .into_iter()
                .filter(|p| !p.is_empty())
                .collect();
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{}: ", place.join(": "))
            };
            format!("{place}{problem}; {cure}")
        }
        _ => part("error"),
    }
}

fn with_query(url: &str, query: &[(&str, String)]) -> String {
    let mut whole = url.to_owned();
    for (at, (name, value)) in query.iter().enumerate() {
        whole.push(if at == 0 { '?' } else { '&' });
        whole.push_str(name);
        whole.push('=');
        whole.push_str(&encoded(value));
    }
    whole
}

/// A part of a path or a query, percent-encoded after RFC 3986.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_field_value_and_cure() {
        let text = r#"{"field":"vehicle","value":"a b","problem":"not an id","cure":"use A-Z"}"#;
        assert_eq!(said(text), "vehicle: a b: not an id; use A-Z");
        assert_eq!(
            said(r#"{"problem":"no token","cure":"send one"}"#),
            "no token; send one"
        );
        assert_eq!(said("plain"), "plain");
    }

    #[test]
    fn what_is_put_into_a_url_stays_in_its_place() {
        assert_eq!(encoded("a/b?c&d e"), "a%2Fb%3Fc%26d%20e");
        assert_eq!(
            with_query("http://h/p", &[("a", "1&2".into()), ("b", "x".into())]),
            "http://h/p?a=1%262&b=x"
        );
    }
}
