//! A client of the gateway's administration.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::url::percent_encoded;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tells.
    Get,
    /// Makes.
    Put,
    /// Does.
    Post,
    /// Takes away.
    Delete,
}

/// The gateway of a platform, with the token of a role.
#[derive(Clone, Debug)]
pub struct Gateway {
    agent: Agent,
    url: String,
    token: String,
}

/// An answer that may be a part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The answer.
    pub answer: Value,
    /// Path and query of the next part, when there is one.
    pub next: Option<String>,
}

impl Page {
    /// A parameter of the query that leads to the next part, as it stands there.
    #[must_use]
    pub fn next_parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.next.as_deref()?.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

/// Why the gateway did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The certificate cannot be used.
    #[error(
        "--ca-file: no certificate in PEM; give the file of the authority that signed the gateway's certificate"
    )]
    Authority,
    /// It cannot be reached.
    #[error("{url}: {source}; see whether the gateway runs")]
    Reach {
        /// Its address.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// It refused.
    #[error("the gateway answered {status}: {said}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// Its answer is no JSON.
    #[error("the gateway answered what is no JSON: {0}; see whether --gateway names one")]
    Answer(String),
    /// The call was given up.
    #[error("the call was given up: {0}")]
    GivenUp(#[from] tokio::task::JoinError),
}

impl Gateway {
    /// A gateway at `url`; `authority` is the certificate, in PEM, that has signed its own.
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub fn new(url: &str, token: String, authority: Option<&[u8]>) -> Result<Self, GatewayError> {
        let roots = match authority {
            None => RootCerts::WebPki,
            Some(pem) => {
                let certificates: Vec<Certificate<'static>> = parse_pem(pem)
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(GatewayError::Authority);
                }
                RootCerts::from(certificates)
            }
        };
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Self {
            agent: config.new_agent(),
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
        Ok(self.turn(method, path, query).await?.answer)
    }

    /// A part of a list: its first one, or the one at the path that the part before it gave.
    ///
    /// # Errors
    /// The gateway cannot be reached or refuses.
    pub async fn page(&self, path: &str, query: &[(&str, String)]) -> Result<Page, GatewayError> {
        self.turn(Method::Get, path, query).await
    }

    async fn turn(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Page, GatewayError> {
        let (gateway, url) = (
            self.clone(),
            with_query(&format!("{}{path}", self.url), query),
        );
        // The connection through Kubernetes is served by this runtime, so the call must not hold up its thread.
        tokio::task::spawn_blocking(move || gateway.ask(method, &url, None)).await?
    }

    /// Sends a body to `path`.
    ///
    /// # Errors
    /// The gateway cannot be reached or refuses.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, GatewayError> {
        let (gateway, url) = (self.clone(), format!("{}{path}", self.url));
        let body = body.to_string();
        let asked = tokio::task::spawn_blocking(move || gateway.ask(method, &url, Some(&body)));
        Ok(asked.await??.answer)
    }

    fn ask(&self, method: Method, url: &str, body: Option<&str>) -> Result<Page, GatewayError> {
        let reach = |source: ureq::Error| GatewayError::Reach {
            url: self.url.clone(),
            source: Box::new(source),
        };
        let bearer = format!("Bearer {}", self.token);
        let answer = match method {
            Method::Get => self.agent.get(url).header("authorization", bearer).call(),
            Method::Delete => self
                .agent
                .delete(url)
                .header("authorization", bearer)
                .call(),
            Method::Put | Method::Post => {
                let request = match method {
                    Method::Put => self.agent.put(url),
                    _ => self.agent.post(url),
                };
                let request = request.header("authorization", bearer);
                match body {
                    Some(body) => request
                        .header("content-type", "application/json")
                        .send(body),
                    None => request.send_empty(),
                }
            }
        };
        let mut answer = answer.map_err(reach)?;
        let status = answer.status();
        let links = answer.headers().get_all("link").iter();
        let next = links
            .filter_map(|link| next_of(link.to_str().ok()?))
            .next()
            .map(str::to_owned);
        let text = answer.body_mut().read_to_string().map_err(reach)?;
        if !status.is_success() {
            return Err(GatewayError::Refused {
                status: status.as_u16(),
                said: said(&text),
            });
        }
        let answer = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)
                .map_err(|_| GatewayError::Answer(text.chars().take(120).collect()))?
        };
        Ok(Page { answer, next })
    }
}

// Only to the same gateway: the token goes with it.
fn next_of(link: &str) -> Option<&str> {
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    (target.starts_with('/') && rest.contains("rel=\"next\"")).then_some(target)
}

/// What a refusal says: `field: value: problem; cure` where the gateway gives these.
fn said(text: &str) -> String {
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return text.chars().take(300).collect();
    };
    // `{"error": {…}}` is the gateway's own form; a proxy before it may put the words at the top, or only one.
    let body = if json["error"].is_object() {
        &json["error"]
    } else {
        &json
    };
    let part = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
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
        whole.push_str(&percent_encoded(value));
    }
    whole
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// What a gateway of a test is asked and answers.
    pub struct Exchange {
        /// Method, path and query.
        pub asked: &'static str,
        pub status: &'static str,
        /// Path and query of the next page.
        pub next: Option<&'static str>,
        pub answer: Value,
    }

    /// A gateway that has this conversation, in this order.
    pub fn gateway(conversation: Vec<Exchange>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for exchange in conversation {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = BufReader::new(stream.try_clone().unwrap());
                let mut line = || {
                    let mut line = String::new();
                    asked.read_line(&mut line).unwrap();
                    line.trim_end().to_owned()
                };
                let first = line();
                let mut length = 0;
                loop {
                    let header = line().to_lowercase();
                    if header.is_empty() {
                        break;
                    }
                    if let Some(bytes) = header.strip_prefix("content-length: ") {
                        length = bytes.parse().unwrap();
                    }
                }
                // A connection that is closed before all was read may take the answer along.
                std::io::copy(&mut asked.take(length), &mut std::io::sink()).unwrap();
                let (status, body) = if first == format!("{} HTTP/1.1", exchange.asked) {
                    (exchange.status, exchange.answer.to_string())
                } else {
                    let problem = format!("asked {first}, expected {}", exchange.asked);
                    ("500 Wrong", Value::from(problem).to_string())
                };
                let link = exchange.next.map_or_else(String::new, |next| {
                    format!("link: <{next}>; rel=\"next\"\r\n")
                });
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\n{link}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        Gateway::new(&url, "token".to_owned(), None).unwrap()
    }

    #[test]
    fn only_a_path_of_the_same_gateway_is_followed() {
        assert_eq!(
            next_of("</v1/vehicles?after=a>; rel=\"next\""),
            Some("/v1/vehicles?after=a")
        );
        assert_eq!(next_of("</v1/vehicles>; rel=\"prev\""), None);
        assert_eq!(next_of("<https://elsewhere/>; rel=\"next\""), None);
        let page = Page {
            answer: Value::Null,
            next: Some("/v1/dead-letters?limit=5&before=0-1_1-2".to_owned()),
        };
        assert_eq!(page.next_parameter("before"), Some("0-1_1-2"));
        assert_eq!(page.next_parameter("after"), None);
    }

    #[test]
    fn refusals_name_field_value_and_cure() {
        let text =
            r#"{"error":{"field":"vehicle","value":"a b","problem":"not an id","cure":"use A-Z"}}"#;
        assert_eq!(said(text), "vehicle: a b: not an id; use A-Z");
        assert_eq!(
            said(r#"{"problem":"no token","cure":"send one"}"#),
            "no token; send one"
        );
        assert_eq!(said("plain"), "plain");
    }

    #[test]
    fn what_is_put_into_a_url_stays_in_its_place() {
        assert_eq!(
            with_query("http://h/p", &[("a", "1&2".into()), ("b", "x".into())]),
            "http://h/p?a=1%262&b=x"
        );
    }
}
