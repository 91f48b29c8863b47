//! Answers over HTTP: JSON, and every refusal names field, value, problem and cure.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_contract::Invalid;
use serde_json::json;

use super::credentials::AuthError;
use super::follower::ReadUpError;
use super::ingest::StoreError;

const RETRY_AFTER_SECONDS: &str = "1";

/// A refusal.
#[derive(Debug)]
pub enum Refused {
    /// Not let in.
    Auth(AuthError),
    /// The token does not open this endpoint.
    Role {
        /// Which token does.
        token: &'static str,
    },
    /// The token is a good one, of a role that may not do this.
    Forbidden {
        /// The role of the token that was sent.
        role: &'static str,
        /// Which token opens this endpoint.
        token: &'static str,
    },
    /// Bad input.
    Invalid(Invalid),
    /// What was done before stands against it; how it is done all the same must be asked for.
    Done(Invalid),
    /// The body is too large.
    TooLarge {
        /// Its size in bytes, where it is known.
        size: Option<u64>,
        /// The limit in bytes.
        limit: u32,
    },
    /// Too many bodies at once; sending it again is right.
    Crowded(Crowd),
    /// Not stored now; sending it again is right.
    Store(StoreError),
    /// Something that it needs does not answer.
    Unavailable(String),
    /// There is no such thing.
    NotFound(Invalid),
}

/// Which bodies are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowd {
    /// Those of all vehicles together.
    OfAll {
        /// How many KiB of bodies may come at once.
        kib: u32,
    },
    /// Those of the vehicle itself.
    OfOne {
        /// How many bodies it may send at once.
        bodies: usize,
    },
}

impl From<AuthError> for Refused {
    fn from(e: AuthError) -> Self {
        Self::Auth(e)
    }
}

impl From<Invalid> for Refused {
    fn from(e: Invalid) -> Self {
        Self::Invalid(e)
    }
}

impl From<ReadUpError> for Refused {
    fn from(e: ReadUpError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

impl From<StoreError> for Refused {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl Refused {
    fn retry_after(&self) -> HeaderValue {
        match self {
            Self::Store(StoreError::Throttled { seconds }) => HeaderValue::from(*seconds),
            _ => HeaderValue::from_static(RETRY_AFTER_SECONDS),
        }
    }

    fn parts(self) -> (StatusCode, Invalid) {
        match self {
            Self::Auth(error) => {
                let (value, cure) = match &error {
                    AuthError::NoToken => (
                        "(missing)".to_owned(),
                        "send `Authorization: Bearer <token of the vehicle>`".to_owned(),
                    ),
                    AuthError::UnknownVehicle(v) => (
                        v.clone(),
                        format!(
                            "enrol it with PUT /v1/vehicles/{v} and use the token of the answer"
                        ),
                    ),
                    AuthError::WrongToken(v) => (
                        "(not shown)".to_owned(),
                        format!(
                            "use the newest token of {v}, or rotate it with PUT /v1/vehicles/{v}"
                        ),
                    ),
                };
                let (field, problem) = match error {
                    AuthError::NoToken => ("authorization", "no bearer token was sent".to_owned()),
                    AuthError::UnknownVehicle(_) => ("vehicle", "is not enrolled".to_owned()),
                    AuthError::WrongToken(v) => {
                        ("authorization", format!("is not the token of vehicle {v}"))
                    }
                };
                (
                    StatusCode::UNAUTHORIZED,
                    Invalid::new(field, value, problem, cure),
                )
            }
            Self::Role { token } => (
                StatusCode::UNAUTHORIZED,
                Invalid::new(
                    "authorization",
                    "(not shown)",
                    format!("is not the {token}"),
                    format!(
                        "send `Authorization: Bearer <{token}>`; it is in the gateway's secret"
                    ),
                ),
            ),
            Self::Forbidden { role, token } => (
                StatusCode::FORBIDDEN,
                Invalid::new(
                    "authorization",
                    format!("(the token of role {role})"),
                    format!("the role {role} may not do this"),
                    format!(
                        "send `Authorization: Bearer <{token}>` or the admin-token; both are in the gateway's secret"
                    ),
                ),
            ),
            Self::Invalid(invalid) => (StatusCode::BAD_REQUEST, invalid),
            Self::Done(invalid) => (StatusCode::CONFLICT, invalid),
            Self::TooLarge { size, limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                Invalid::new(
                    "body",
                    size.map_or_else(
                        || format!("more than {limit} bytes"),
                        |s| format!("{s} bytes"),
                    ),
                    format!("larger than {limit} bytes"),
                    "send the events in several bodies",
                ),
            ),
            Self::Crowded(crowd) => {
                let problem = match crowd {
                    Crowd::OfAll { kib } => format!("more than {kib} KiB of bodies come at once"),
                    Crowd::OfOne { bodies } => {
                        format!("more than {bodies} bodies of this vehicle come at once")
                    }
                };
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    Invalid::new(
                        "body",
                        "(not read)",
                        problem,
                        "send the body again after Retry-After",
                    ),
                )
            }
            Self::Store(error @ (StoreError::Busy { limit } | StoreError::OwnShare { limit })) => (
                StatusCode::TOO_MANY_REQUESTS,
                Invalid::new(
                    "in flight",
                    format!("{limit} events"),
                    error.to_string(),
                    "send the body again after Retry-After",
                ),
            ),
            Self::Store(error @ StoreError::Throttled { .. }) => (
                StatusCode::TOO_MANY_REQUESTS,
                Invalid::new(
                    "ingest",
                    "(not read)",
                    error.to_string(),
                    "send the body again after Retry-After; Kafka's disks need room before telemetry is taken in",
                ),
            ),
            Self::Store(error @ StoreError::Kafka(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Invalid::new(
                    "kafka",
                    "(no acknowledgement)",
                    error.to_string(),
                    "send the body again after Retry-After",
                ),
            ),
            Self::Unavailable(problem) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Invalid::new(
                    "kafka",
                    "(no answer)",
                    problem,
                    "try again after Retry-After",
                ),
            ),
            Self::NotFound(invalid) => (StatusCode::NOT_FOUND, invalid),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let (status, invalid) = self.parts();
        let mut response = (status, Json(json!({ "error": invalid }))).into_response();
        let headers = response.headers_mut();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, retry_after);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_headers() {
        let of = |refused: Refused| refused.into_response();
        let busy = of(StoreError::Busy { limit: 5 }.into());
        assert_eq!(busy.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        let crowded = of(Refused::Crowded(Crowd::OfAll { kib: 5 }));
        assert_eq!(crowded.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(crowded.headers()[header::RETRY_AFTER], "1");
        let throttled = of(StoreError::Throttled { seconds: 30 }.into());
        assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(throttled.headers()[header::RETRY_AFTER], "30");
        let away = of(StoreError::Kafka("x".into()).into());
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(away.headers().contains_key(header::RETRY_AFTER));
        let behind = ReadUpError::Behind {
            topic: "t".into(),
            partition: 0,
        };
        let behind = of(behind.into());
        assert_eq!(behind.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(behind.headers()[header::RETRY_AFTER], "1");
        let unknown = of(AuthError::UnknownVehicle("car-9".into()).into());
        assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(unknown.headers()[header::WWW_AUTHENTICATE], "Bearer");
        let other = of(Refused::Forbidden {
            role: "notify",
            token: "vehicles-token",
        });
        assert_eq!(other.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            of(Refused::TooLarge {
                size: None,
                limit: 9
            })
            .status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
