//! By mail, over SMTP.

use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, TlsParameters,
};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::webhook::no_certificates;
use super::{Attempt, Channel, Letter};
use crate::ActionError;
use crate::secret::{Scrubber, Secret};

mod message;
mod url;

use message::message;
pub(crate) use message::warning;
use url::{Server, Tls};

/// Its name among the parameters.
pub(crate) const NAME: &str = "smtp";

/// The longest that one attempt may take: mail servers think longer than others, some on purpose.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);

/// The least that one step of the dialogue is given.
const SHORTEST_STEP: Duration = Duration::from_millis(250);

/// Steps of the dialogue between the login and the receipt.
const STEPS: u32 = 4;

/// The parameters of the channel.
pub(crate) struct Params<'a> {
    pub(crate) url: &'a Secret,
    pub(crate) from: &'a str,
    pub(crate) to: &'a [String],
    pub(crate) ca: Option<&'a str>,
    /// Whether to send only when the other channels are through.
    pub(crate) last: bool,
}

/// A mail on its way.
pub(crate) struct Mail {
    server: Server,
    tls: TlsParameters,
    envelope: Envelope,
    message: Vec<u8>,
    last: bool,
}

impl Mail {
    /// Checks the parameters and writes the mail.
    ///
    /// # Errors
    /// [`ActionError::Input`] naming the parameter.
    pub(crate) fn new(
        params: &Params<'_>,
        letter: &Letter,
        scrubber: &mut Scrubber,
    ) -> Result<Self, ActionError> {
        let server = url::parse(params.url, scrubber)?;
        let message = message(params, letter)?;
        Ok(Self {
            tls: tls(&server.host, params.ca)?,
            server,
            envelope: message.envelope().clone(),
            message: message.formatted(),
            last: params.last,
        })
    }

    /// The dialogue. Gives what the server says of addresses that it will never take.
    fn send(&self, time: Duration) -> Result<Vec<String>, Trouble> {
        let started = Instant::now();
        let left = || Some(time.saturating_sub(started.elapsed()).max(SHORTEST_STEP));
        let server = &self.server;
        let hello = server
            .hello
            .clone()
            .map_or_else(ClientId::default, ClientId::Domain);
        let wrapper = (server.tls == Tls::Wrapped).then_some(&self.tls);
        let mut connection = SmtpConnection::connect(
            (server.host.as_str(), server.port),
            left(),
            &hello,
            wrapper,
            None,
        )?;
        if matches!(server.tls, Tls::Offered | Tls::Required) && connection.can_starttls() {
            connection.set_timeout(left())?;
            connection.starttls(&self.tls, &hello)?;
        }
        if !connection.is_encrypted() {
            let problem = match (server.tls, &server.login) {
                (Tls::Required, _) => Some(
                    "offers no STARTTLS; use smtps://, or leave `tls=required` out of smtp_url",
                ),
                (Tls::Offered, Some(_)) => Some(
                    "offers no STARTTLS, and the password would go unencrypted; use smtps://, or add `?tls=off` to smtp_url",
                ),
                _ => None,
            };
            if let Some(problem) = problem {
                connection.abort();
                return Err(Trouble::Final(problem.to_owned()));
            }
        }
        if let Some((user, password)) = &server.login {
            connection.set_timeout(left())?;
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)?;
        }
        connection.set_timeout(left().map(|left| (left / STEPS).max(SHORTEST_STEP)))?;
        let refused = self.hand_over(&mut connection);
        // Taken or not: how the goodbye goes does not matter.
        let _ = connection.quit();
        refused
    }

    /// The mail, to everybody whom the server takes it for: one wrong address among many keeps it from nobody else.
    /// While one may be taken later it goes to nobody, since a second mail to the others would show.
    fn hand_over(&self, connection: &mut SmtpConnection) -> Result<Vec<String>, Trouble> {
        let mut parameters = Vec::new();
        let mut addresses = self.envelope.to().iter().chain(self.envelope.from());
        if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight)
            {
                return Err(Trouble::Final(
                    "takes no addresses with such letters (SMTPUTF8); use others in smtp_from and smtp_to"
                        .to_owned(),
                ));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        connection.command(commands::Mail::new(
            self.envelope.from().cloned(),
            parameters,
        ))?;
        let mut refused = Vec::new();
        for address in self.envelope.to() {
            match connection.command(commands::Rcpt::new(address.clone(), Vec::new())) {
                Ok(_) => {}
                Err(error) if error.is_permanent() => refused.push(format!("{address}: {error}")),
                Err(error) => return Err(error.into()),
            }
        }
        if refused.len() == self.envelope.to().len() {
            return Err(Trouble::Final(format!(
                "{}; correct smtp_url, smtp_from or smtp_to, or ask the mail server's operator",
                refused.join("; ")
            )));
        }
        connection.command(commands::Data)?;
        connection.message(&self.message)?;
        Ok(refused)
    }
}

impl Channel for Mail {
    fn name(&self) -> &'static str {
        NAME
    }

    fn receiver(&self) -> String {
        self.server.shown()
    }

    fn longest(&self) -> Duration {
        LONGEST_ATTEMPT
    }

    fn goes_last(&self) -> bool {
        self.last
    }

    fn attempt(&self, time: Duration) -> Attempt {
        match self.send(time) {
            Ok(refused) => Attempt::Told {
                duplicate: false,
                refused: (!refused.is_empty())
                    .then(|| format!("{}; correct smtp_to", refused.join("; "))),
            },
            Err(Trouble::Final(problem)) => Attempt::Refused(problem),
            Err(Trouble::Passing(problem)) => Attempt::Again {
                problem,
                wait: None,
            },
        }
    }
}

/// What stopped the dialogue.
enum Trouble {
    Passing(String),
    Final(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let problem = error.to_string();
        if error.is_permanent() || error.is_client() {
            Self::Final(format!(
                "{problem}; correct smtp_url, smtp_from or smtp_to, or ask the mail server's operator"
            ))
        } else {
            Self::Passing(problem)
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Whom to trust: Mozilla's authorities, or those of the parameter.
fn tls(host: &str, ca: Option<&str>) -> Result<TlsParameters, ActionError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(no_certificates("smtp_ca"));
        }
        let certificates =
            Certificate::from_pem(pem.as_bytes()).map_err(|_| no_certificates("smtp_ca"))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificates);
    }
    builder.build().map_err(|error| {
        ActionError::input(
            "smtp_url",
            host,
            &format!("cannot be asked for a certificate ({error})"),
            "give the name by which the mail server's certificate knows it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_must_be_certificates() {
        let error = tls("mail", Some("no certificate"))
            .err()
            .map(|error| error.to_string())
            .unwrap();
        assert!(
            error.starts_with("smtp_ca: ***: holds no certificate"),
            "{error}"
        );
    }
}
