//! The authority of a cluster and the certificate of its server. Pure but for random numbers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;

use super::primary_name;
use crate::pki::{Authority, Issued, PkiError, Request, is_good};
use crate::pods::secret_data;
use crate::reconcile::Error;

type Data = BTreeMap<String, ByteString>;

/// Name of the Secret with the authority, which no pod mounts.
#[must_use]
pub(super) fn authority_name(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// Name of the Secret with the server's certificate.
#[must_use]
pub(super) fn certificate_name(cluster: &str) -> String {
    format!("{cluster}-certificate")
}

/// The authority, and what it has issued.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority.
    pub authority: Authority,
    /// The certificate of the server.
    pub server: Issued,
}

/// Keeps what is good, and makes what is missing, ends soon, or was issued by another authority.
///
/// # Errors
/// No random numbers.
pub(super) fn complete(
    (authority, server): (&Data, &Data),
    cluster: &str,
    namespace: &str,
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
    let request = request(cluster, namespace);
    let same_authority = read(server, "ca.crt") == Some(&authority.certificate);
    let issued = read(server, "tls.crt")
        .zip(read(server, "tls.key"))
        .filter(|(certificate, _)| same_authority && is_good(certificate, &request, now))
        .map(|(certificate, key)| Issued {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
    let server = match issued {
        Some(issued) => issued,
        None => authority.issue(&request, now).map_err(failed)?,
    };
    Ok(Certificates { authority, server })
}

fn request(cluster: &str, namespace: &str) -> Request {
    let primary = primary_name(cluster);
    let names = [
        primary.clone(),
        format!("{primary}.{namespace}"),
        format!("{primary}.{namespace}.svc"),
        // A replica or the server itself, by the name of its pod.
        format!("*.{cluster}-nodes.{namespace}.svc"),
        // By a forwarded port.
        "localhost".into(),
    ];
    Request {
        common_name: format!("{primary}.{namespace}"),
        names: BTreeSet::from(names),
    }
}

impl Certificates {
    /// The content of the Secret with the authority.
    #[must_use]
    pub(super) fn authority_data(&self) -> Data {
        secret_data([
            ("ca.crt", self.authority.certificate.clone()),
            ("ca.key", self.authority.key.clone()),
        ])
    }

    /// The content of the Secret that the server mounts.
    #[must_use]
    pub(super) fn server_data(&self) -> Data {
        secret_data([
            ("ca.crt", self.authority.certificate.clone()),
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
        let first = complete((&none, &none), "p", "ns", now).unwrap();
        let (ca, server) = (first.authority_data(), first.server_data());
        let again = |at| complete((&ca, &server), "p", "ns", at).unwrap();
        assert_eq!(again(now).server, first.server);
        let later = again(now + days(310));
        assert_eq!(later.authority, first.authority);
        assert_ne!(later.server, first.server, "55 days are left");
        let last = again(now + days(3650 - 400));
        assert_ne!(last.authority, first.authority);
        // Who takes the authority away gets another one, and a certificate of it.
        let other = complete((&none, &server), "p", "ns", now).unwrap();
        assert_ne!(other.authority, first.authority);
        assert_ne!(other.server, first.server);
    }
}
