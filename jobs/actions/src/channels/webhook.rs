//! To a webhook, signed as the Standard Webhooks specification has it (<https://www.standardwebhooks.com>).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use millrace_contract::Alert;
use serde::Serialize;
use sha2::Sha256;
use ureq::http::Uri;
use ureq::tls::RootCerts;

use super::http::{self, LONGEST_ATTEMPT};
use super::{Attempt, Channel};
use crate::ActionError;
use crate::assess::{Advice, Assessment, Urgency};
use crate::render::Rendered;
use crate::secret::{Scrubber, Secret};

/// Its name among the parameters.
pub(crate) const NAME: &str = "webhook";

/// What a secret starts with when it says what it is.
const PREFIX: &str = "whsec_";

/// Bytes of a signing key: the specification asks for 24 to 64.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A part of an address as long as this may be a secret by itself.
const SECRET_PART: usize = 8;

/// What is told. Its body is the same in every attempt: receivers compare by id, and may by content.
pub(crate) struct Event {
    /// Names what it is about, for good.
    pub(crate) id: String,
    body: Vec<u8>,
}

impl Event {
    /// An event of this type, which happened at this time.
    ///
    /// # Errors
    /// [`ActionError::Encode`].
    pub(crate) fn new(
        kind: &str,
        id: &str,
        time: Timestamp,
        data: &impl Serialize,
    ) -> Result<Self, ActionError> {
        #[derive(Serialize)]
        struct Body<'a, D> {
            r#type: &'a str,
            timestamp: Timestamp,
            data: &'a D,
        }
        let body = Body {
            r#type: kind,
            timestamp: time,
            data,
        };
        Ok(Self {
            id: id.to_owned(),
            body: serde_json::to_vec(&body)
                .map_err(|error| ActionError::Encode(error.to_string()))?,
        })
    }

    /// A warning.
    ///
    /// # Errors
    /// [`ActionError::Encode`].
    pub(crate) fn warning(
        assessment: &Assessment,
        rendered: &Rendered,
    ) -> Result<Self, ActionError> {
        #[derive(Serialize)]
        struct Data<'a> {
            alert: &'a Alert,
            urgency: Urgency,
            advice: Advice,
            language: &'a str,
            text: &'a str,
        }
        let alert = &assessment.alert;
        let data = Data {
            alert,
            urgency: assessment.urgency,
            advice: assessment.advice,
            language: &rendered.language,
            text: &rendered.text,
        };
        Self::new("vehicle.warning", &alert.id, alert.detected_at, &data)
    }
}

/// An event on its way to a webhook.
pub(crate) struct Webhook {
    agent: ureq::Agent,
    url: Secret,
    /// Scheme and host: the path of a webhook's address is often a secret.
    origin: String,
    keys: Vec<Vec<u8>>,
    id: String,
    body: Vec<u8>,
}

/// The parameters of the channel.
pub(crate) struct Params<'a> {
    pub(crate) url: &'a Secret,
    pub(crate) secret: &'a Secret,
    pub(crate) ca: Option<&'a str>,
}

impl Webhook {
    /// Checks the parameters and signs nothing yet: each attempt has a time stamp of its own.
    ///
    /// # Errors
    /// [`ActionError::Input`] naming the parameter.
    pub(crate) fn new(
        params: &Params<'_>,
        event: Event,
        scrubber: &mut Scrubber,
    ) -> Result<Self, ActionError> {
        let origin = origin(params.url, scrubber).ok_or_else(|| {
            ActionError::input(
                "webhook_url",
                "***",
                "is no http:// or https:// address",
                "give the address as the receiver named it, like https://example.com/hooks/1",
            )
        })?;
        let keys = keys(params.secret, scrubber)?;
        let roots = match params.ca {
            None => RootCerts::WebPki,
            Some(pem) => http::roots(pem).ok_or_else(|| no_certificates("webhook_ca"))?,
        };
        if !event.id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ActionError::input(
                "id",
                &event.id,
                "has characters that a header cannot carry",
                "send what it is about as it was published",
            ));
        }
        Ok(Self {
            agent: http::agent(roots),
            url: params.url.clone(),
            origin,
            keys,
            id: event.id,
            body: event.body,
        })
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn receiver(&self) -> String {
        format!("webhook {}", self.origin)
    }

    fn longest(&self) -> Duration {
        LONGEST_ATTEMPT
    }

    fn attempt(&self, time: Duration) -> Attempt {
        let seconds = Timestamp::now().as_second();
        let headers = [
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            (
                "webhook-signature",
                signatures(&self.keys, &self.id, seconds, &self.body),
            ),
        ];
        match http::post(&self.agent, self.url.expose(), &headers, &self.body, time) {
            Ok(answer) if answer.is_success() => Attempt::Told {
                duplicate: false,
                refused: None,
            },
            Ok(answer) => answer.failure("correct webhook_url or webhook_secret, or the receiver"),
            Err(attempt) => attempt,
        }
    }
}

/// A parameter that should hold certificates and does not.
pub(crate) fn no_certificates(parameter: &str) -> ActionError {
    ActionError::input(
        parameter,
        "***",
        "holds no certificate in PEM",
        "give the certificates of the authorities to trust, each between BEGIN and END CERTIFICATE",
    )
}

/// Scheme, host and port of an address; what else it holds is kept from messages.
fn origin(url: &Secret, scrubber: &mut Scrubber) -> Option<String> {
    let uri: Uri = url.expose().parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|s| matches!(*s, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = uri
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    scrubber.hide(url.expose());
    if let Some(path) = uri.path_and_query() {
        scrubber.hide(path.as_str());
        for part in path.as_str().split(['/', '?', '&', '=']) {
            if part.len() >= SECRET_PART {
                scrubber.hide(part);
            }
        }
    }
    if let Some((login, _)) = uri.authority().and_then(|a| a.as_str().rsplit_once('@')) {
        scrubber.hide(login);
    }
    Some(format!("{scheme}://{host}{port}"))
}

/// The signing keys: several, separated by blanks, while a secret is being replaced.
fn keys(secret: &Secret, scrubber: &mut Scrubber) -> Result<Vec<Vec<u8>>, ActionError> {
    let wrong = |problem: &str| {
        ActionError::input(
            "webhook_secret",
            "***",
            problem,
            "give `whsec_` and the Base64 of 24 to 64 random bytes (`openssl rand -base64 32`)",
        )
    };
    scrubber.hide(secret.expose());
    let mut keys = Vec::new();
    for part in secret.expose().split_whitespace() {
        let text = part.strip_prefix(PREFIX).unwrap_or(part);
        scrubber.hide(text);
        let key = STANDARD.decode(text).map_err(|_| wrong("is no Base64"))?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(wrong("is shorter than 24 bytes or longer than 64"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(keys)
}

/// The header `webhook-signature`: one signature a key.
fn signatures(keys: &[Vec<u8>], id: &str, seconds: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = keys
        .iter()
        // An HMAC takes a key of any length.
        .filter_map(|key| Hmac::<Sha256>::new_from_slice(key).ok())
        .map(|mut mac| {
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signs_like_the_reference() {
        // The example that the authors' own libraries are tested with.
        let keys = keys(&Secret::from(SECRET), &mut Scrubber::default()).unwrap();
        let signed = signatures(
            &keys,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_being_replaced_signs_twice() {
        let both = format!("{SECRET} {}", STANDARD.encode([7; 32]));
        let keys = keys(&Secret::from(both.as_str()), &mut Scrubber::default()).unwrap();
        assert_eq!(signatures(&keys, "a", 1, b"{}").split(' ').count(), 2);
    }

    #[test]
    fn bad_secrets_are_refused_unseen() {
        for (secret, problem) in [
            ("", "is empty"),
            ("whsec_hunter-two!", "is no Base64"),
            ("aHVudGVyMg==", "is shorter than 24 bytes"),
        ] {
            let error = keys(&Secret::from(secret), &mut Scrubber::default())
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("webhook_secret: ***: {problem}")),
                "{error}"
            );
        }
    }

    #[test]
    fn of_an_address_only_the_host_is_told() {
        let mut scrubber = Scrubber::default();
        let url = Secret::from("https://user:pass@example.com:8443/hooks/T0KEN?key=1");
        assert_eq!(
            origin(&url, &mut scrubber).as_deref(),
            Some("https://example.com:8443")
        );
        assert_eq!(scrubber.clean("no /hooks/T0KEN?key=1 here"), "no *** here");
        for bad in ["", "ftp://example.com", "example.com", "/x", "https://"] {
            assert_eq!(origin(&Secret::from(bad), &mut scrubber), None, "{bad}");
        }
    }
}
