//! As whom the servers of a Druid are asked, and by which authorities their certificates are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use reqwest::{Method, StatusCode};

use crate::reconcile::secrets::text;
use crate::remote::code::Roots;
use crate::remote::transport::{Request, Transport, basic};

/// Name and password, and whom to trust. Nothing of it where Druid asks nobody who he is, and speaks plain text.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Credentials {
    /// Name and password.
    pub login: Option<(String, String)>,
    /// The authorities that servers' certificates may be of, in PEM; those of the system when absent.
    pub authorities: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password is never shown.
        f.debug_struct("Credentials")
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the data of a binding: `username` and `password`, and `certificates`, where there are such.
    #[must_use]
    pub fn of(data: Option<&BTreeMap<String, ByteString>>) -> Self {
        let text = |key: &str| text(data, key).map(str::to_owned);
        Self {
            login: text("username").zip(text("password")),
            authorities: text("certificates"),
        }
    }
}

/// Where a Druid is asked, and as whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DruidAt {
    /// The coordinator, which is the overlord too, or a router: `http://host:port` or `https://host:port`.
    pub coordinator: String,
    /// The broker, or a router.
    pub broker: String,
    /// As whom.
    pub credentials: Credentials,
}

/// The way to servers that are asked in the same scheme as the same user.
#[derive(Clone)]
pub(super) struct Way {
    transport: Transport,
    authorization: Option<String>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

impl Way {
    /// The way in this scheme, `http` or `https`.
    pub(super) fn new(
        scheme: &str,
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Self, String> {
        let roots = match &credentials.authorities {
            None => Roots::System,
            Some(pem) => Roots::of(pem.as_bytes())
                .ok_or_else(|| "certificates holds no certificate in PEM".to_owned())?,
        };
        let login = credentials.login.as_ref();
        Ok(Self {
            transport: Transport::new(scheme, timeout, &roots)?,
            authorization: login.map(|(user, password)| basic(user, password)),
        })
    }

    /// Status and body of the answer, or why there is none.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let request = Request {
            method,
            url,
            authorization: self.authorization.clone(),
            body,
            timeout: None,
        };
        let (status, bytes) = self.transport.send(request).await?;
        let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        Ok((status, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::secret_data;

    #[test]
    fn a_binding_says_as_whom_and_a_password_is_not_shown() {
        let data = secret_data([
            ("username", "admin".to_owned()),
            ("password", "hidden".to_owned()),
        ]);
        let read = Credentials::of(Some(&data));
        assert_eq!(read.login, Some(("admin".into(), "hidden".into())));
        let shown = format!("{read:?}");
        assert!(shown.contains("admin") && !shown.contains("hidden"));
        assert_eq!(Credentials::of(None), Credentials::default());
        let half = secret_data([("username", "admin".to_owned())]);
        assert_eq!(Credentials::of(Some(&half)).login, None);
    }

    #[test]
    fn what_is_no_certificate_is_no_authority() {
        let credentials = Credentials {
            authorities: Some("PEM".into()),
            ..Credentials::default()
        };
        let told = Way::new("https", &credentials, Duration::from_secs(1)).unwrap_err();
        assert!(told.contains("certificates"), "{told}");
    }
}
