//! The authority of a cluster and the certificate of its servers, each in a Secret of its own. Pure but for random numbers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;

use super::Error;
use crate::pki::{Authority, Issued, PkiError, Request, is_good};
use crate::pods::secret_data;

type Data = BTreeMap<String, ByteString>;

/// Name of the Secret with the authority, which no pod mounts.
#[must_use]
pub fn authority_name(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// Name of the Secret with the certificate of the servers.
#[must_use]
pub fn certificate_name(cluster: &str) -> String {
    format!("{cluster}-certificate")
}

/// The authority, and what it has issued.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority.
    pub authority: Authority,
    /// Whom clients and servers are to trust: the authority, and for a while the one before it, whose certificate a server
    /// may still show.
    pub trusted: String,
    /// The certificate of the servers.
    pub server: Issued,
}

/// Keeps what is good, and makes what is missing, ends soon, or was issued by another authority. `services` is what clients
/// connect to; the certificate is called after the first.
///
/// # Errors
/// No random numbers.
pub fn complete(
    (authority, server): (&Data, &Data),
    services: &[&str],
    (cluster, namespace): (&str, &str),
    now: Timestamp,
) -> Result<Certificates, Error> {
    let kept = read(authority, "ca.crt")
        .zip(read(authority, "ca.key"))
        .and_then(|(certificate, key)| Authority::read(certificate, key).ok())
        .filter(|authority| !authority.ends_soon(now));
    let authority = match kept {
        Some(kept) => kept,
        None => Authority::make(&format!("{cluster} {namespace}"), now).map_err(failed)?,
    };
    let request = request(services, cluster, namespace);
    let known = read(server, "ca.crt").unwrap_or_default();
    let same_authority = known.starts_with(&authority.certificate);
    let kept = read(server, "tls.crt")
        .zip(read(server, "tls.key"))
        .filter(|(certificate, _)| same_authority && is_good(certificate, &request, now))
        .map(|(certificate, key)| Issued {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
    let trusted = match (&kept, same_authority) {
        (Some(_), _) => known.to_owned(),
        // The former one has had its time.
        (None, true) => authority.certificate.clone(),
        (None, false) => format!("{}{}", authority.certificate, first(known)),
    };
    let server = match kept {
        Some(kept) => kept,
        None => authority.issue(&request, now).map_err(failed)?,
    };
    Ok(Certificates {
        authority,
        trusted,
        server,
    })
}

/// The first certificate of a text; empty when there is none.
fn first(text: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----\n";
    text.find(END).map_or("", |at| &text[..at + END.len()])
}

fn request(services: &[&str], cluster: &str, namespace: &str) -> Request {
    let mut names = BTreeSet::from([
        // A replica or the server itself, by the name of its pod.
        format!("*.{cluster}-nodes.{namespace}.svc"),
        // By a forwarded port.
        "localhost".into(),
    ]);
    for service in services {
        names.insert((*service).to_owned());
        names.insert(format!("{service}.{namespace}"));
        names.insert(format!("{service}.{namespace}.svc"));
    }
    let first = services.first().unwrap_or(&cluster);
    Request {
        common_name: format!("{first}.{namespace}"),
        names,
    }
}

impl Certificates {
    /// The content of the Secret with the authority.
    #[must_use]
    pub fn authority_data(&self) -> Data {
        secret_data([
            ("ca.crt", self.authority.certificate.clone()),
            ("ca.key", self.authority.key.clone()),
        ])
    }

    /// The content of the Secret that the servers mount.
    #[must_use]
    pub fn server_data(&self) -> Data {
        secret_data([
            ("ca.crt", self.trusted.clone()),
            ("tls.crt", self.server.certificate.clone()),
            ("tls.key", self.server.key.clone()),
        ])
    }
}

fn read<'a>(data: &'a Data, key: &str) -> Option<&'a str> {
    std::str::from_utf8(&data.get(key)?.0).ok()
}

fn failed(error: PkiError) -> Error {
    Error::Build {
        what: "certificates",
        problem: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn days(days: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn what_is_good_is_kept_and_made_anew_before_its_end() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let none = Data::new();
        let first = complete((&none, &none), &["p-primary"], ("p", "ns"), now).unwrap();
        let (ca, server) = (first.authority_data(), first.server_data());
        let again = |at| complete((&ca, &server), &["p-primary"], ("p", "ns"), at).unwrap();
        assert_eq!(again(now).server, first.server);
        let later = again(now + days(310));
        assert_eq!(later.authority, first.authority);
        assert_ne!(later.server, first.server, "55 days are left");
        let last = again(now + days(3650 - 400));
        assert_ne!(last.authority, first.authority);
        // Who takes the authority away gets another one, and a certificate of it.
        let other = complete((&none, &server), &["p-primary"], ("p", "ns"), now).unwrap();
        assert_ne!(other.authority, first.authority);
        assert_ne!(other.server, first.server);
        // Servers that show the former certificate are trusted until the next one is made.
        let both = format!(
            "{}{}",
            other.authority.certificate, first.authority.certificate
        );
        assert_eq!(other.trusted, both);
        let (ca, server) = (other.authority_data(), other.server_data());
        let then = |at| complete((&ca, &server), &["p-primary"], ("p", "ns"), at).unwrap();
        assert_eq!(then(now).trusted, both);
        assert_eq!(then(now).server, other.server);
        assert_eq!(then(now + days(310)).trusted, other.authority.certificate);
    }
}
