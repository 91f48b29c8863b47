//! A certificate authority, and what it issues.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::x509::X509Version;

use super::PkiError;

/// How long an authority of our own is valid.
const AUTHORITY_DAYS: i64 = 3650;
/// How long what it issues is valid.
const ISSUED_DAYS: i64 = 365;
/// What is issued is made anew when no more than this is left: two months for whoever has to approve nothing, and time
/// enough to see that it went wrong.
const RENEW_DAYS: i64 = 60;
/// An authority is replaced when no more than this is left: longer than anything that it issues.
const REPLACE_DAYS: i64 = 425;
/// Clocks differ.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A certificate authority: its certificate and its key, in PEM.
#[derive(Clone, Eq, PartialEq)]
pub struct Authority {
    /// The certificate; more than one where it is itself issued by another.
    pub certificate: String,
    /// The key, as PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is never shown.
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What a certificate is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Its common name, which is who the holder is.
    pub common_name: String,
    /// The DNS names and IP addresses at which the holder is reached; empty for one that only calls.
    pub names: BTreeSet<String>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Eq, PartialEq)]
pub struct Issued {
    /// The certificate, and the certificates that lead to the root.
    pub certificate: String,
    /// The key, as PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is never shown.
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority that is its own root.
    ///
    /// # Errors
    /// No random numbers, or the name is not one.
    pub fn make(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = params(name, Vec::new(), AUTHORITY_DAYS, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Takes an authority that was given.
    ///
    /// # Errors
    /// The certificate or the key is not readable, they do not belong together, or it may not issue.
    pub fn read(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let wrong = |what, problem: &str| PkiError::Read {
            what,
            problem: problem.to_owned(),
        };
        let pair = KeyPair::from_pem(key)
            .map_err(|e| wrong("ca.key", &format!("is not a key in PEM as PKCS#8: {e}")))?;
        let pem =
            first(certificate).ok_or_else(|| wrong("ca.crt", "is not a certificate in PEM"))?;
        let parsed = pem
            .parse_x509()
            .map_err(|e| wrong("ca.crt", &format!("is not a certificate: {e}")))?;
        if parsed.version() != X509Version::V3 || !parsed.is_ca() {
            return Err(wrong("ca.crt", "is not the certificate of an authority"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != pair.public_key_raw() {
            return Err(wrong("ca.key", "is not the key of the certificate ca.crt"));
        }
        Ok(Self {
            certificate: certificate.trim_end().to_owned() + "\n",
            key: key.to_owned(),
        })
    }

    /// Issues a certificate.
    ///
    /// # Errors
    /// No random numbers, or a name that is not one.
    pub fn issue(&self, request: &Request, now: Timestamp) -> Result<Issued, PkiError> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let names: Vec<String> = request.names.iter().cloned().collect();
        let mut params = params(&request.common_name, names, ISSUED_DAYS, now)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let own = params.signed_by(&key, &issuer)?.pem();
        // What lies between the certificate and the root goes along; the root itself is known to whoever trusts it.
        let between = Pem::iter_from_buffer(self.certificate.as_bytes()).count() > 1;
        Ok(Issued {
            certificate: if between {
                own + &self.certificate
            } else {
                own
            },
            key: key.serialize_pem(),
        })
    }

    /// Whether it ends so soon that the next one must take over.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        !lasts(&self.certificate, now, REPLACE_DAYS)
    }
}

/// Whether a certificate is what is asked for, and will be for a while.
#[must_use]
pub fn is_good(certificate: &str, request: &Request, now: Timestamp) -> bool {
    let Some(pem) = first(certificate) else {
        return false;
    };
    let Ok(parsed) = pem.parse_x509() else {
        return false;
    };
    let mut names = BTreeSet::new();
    if let Ok(Some(extension)) = parsed.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.insert((*name).to_owned()),
                GeneralName::IPAddress(bytes) => address(bytes).is_some_and(|ip| names.insert(ip)),
                _ => false,
            };
        }
    }
    let wanted: BTreeSet<String> = request.names.iter().map(|name| canonical(name)).collect();
    let common_name = parsed
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .map(str::to_owned);
    names == wanted
        && common_name.as_deref() == Some(request.common_name.as_str())
        && lasts(certificate, now, RENEW_DAYS)
}

/// When the first certificate of a text ends.
#[must_use]
pub fn not_after(certificate: &str) -> Option<Timestamp> {
    let pem = first(certificate)?;
    let parsed = pem.parse_x509().ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn lasts(certificate: &str, now: Timestamp, days: i64) -> bool {
    not_after(certificate).is_some_and(|end| end > now + SignedDuration::from_hours(days * 24))
}

fn first(text: &str) -> Option<Pem> {
    Pem::iter_from_buffer(text.as_bytes())
        .next()?
        .ok()
        .filter(|pem| pem.label == "CERTIFICATE")
}

fn address(bytes: &[u8]) -> Option<String> {
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(ip.to_string())
}

/// An IP address can be written in several ways.
fn canonical(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => name.to_owned(),
    }
}

fn params(
    name: &str,
    names: Vec<String>,
    days: i64,
    now: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let at = |at: Timestamp| {
        // Every moment that Timestamp knows is one that OffsetDateTime knows.
        OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(now - SKEW);
    params.not_after = at(now + SignedDuration::from_hours(days * 24));
    Ok(params)
}

#[cfg(test)]
pub(in crate::pki) mod tests {
    use super::*;
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    fn now() -> Timestamp {
        "2026-11-28T00:00:00Z".parse().unwrap()
    }

    fn request(names: &[&str]) -> Request {
        Request {
            common_name: "node".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Whether a client that trusts `roots` accepts the certificate at this name.
    pub(in crate::pki) fn accepts(roots: &str, certificate: &str, name: &str) -> bool {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            store.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                .build()
                .unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .map(Result::unwrap)
            .collect();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            now().as_second() as u64 + 60,
        ));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &name, &[], at)
            .is_ok()
    }

    #[test]
    fn what_an_authority_issues_is_accepted_by_those_who_trust_it_and_by_nobody_else() {
        let authority = Authority::make("ours", now()).unwrap();
        let other = Authority::make("other", now()).unwrap();
        let issued = authority
            .issue(&request(&["k-0.k-nodes.ns.svc", "192.0.2.7"]), now())
            .unwrap();
        for name in ["k-0.k-nodes.ns.svc", "192.0.2.7"] {
            assert!(accepts(&authority.certificate, &issued.certificate, name));
            assert!(!accepts(&other.certificate, &issued.certificate, name));
        }
        assert!(!accepts(
            &authority.certificate,
            &issued.certificate,
            "k-1.k-nodes.ns.svc"
        ));
        assert!(issued.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn a_certificate_is_good_for_its_names_and_until_shortly_before_its_end() {
        let authority = Authority::make("ours", now()).unwrap();
        let wanted = request(&["a.example.org", "2001:db8:0::7"]);
        let issued = authority.issue(&wanted, now()).unwrap();
        assert!(is_good(&issued.certificate, &wanted, now()));
        assert!(!is_good(
            &issued.certificate,
            &request(&["a.example.org"]),
            now()
        ));
        let later = |days: i64| now() + SignedDuration::from_hours(24 * days);
        assert!(is_good(&issued.certificate, &wanted, later(300)));
        assert!(!is_good(&issued.certificate, &wanted, later(310)));
        let other = Request {
            common_name: "else".into(),
            ..wanted
        };
        assert!(!is_good(&issued.certificate, &other, now()));
        assert!(!is_good("nothing", &other, now()));
        // The authority outlives what it issues.
        assert!(!authority.ends_soon(later(3200)));
        assert!(authority.ends_soon(later(3240)));
    }

    #[test]
    fn a_given_authority_is_checked() {
        let (one, two) = (
            Authority::make("one", now()).unwrap(),
            Authority::make("two", now()).unwrap(),
        );
        assert!(Authority::read(&one.certificate, &one.key).is_ok());
        let wrong = |certificate: &str, key: &str| match Authority::read(certificate, key) {
            Err(PkiError::Read { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(wrong(&one.certificate, &two.key), "ca.key");
        assert_eq!(wrong("x", &one.key), "ca.crt");
        assert_eq!(wrong(&one.certificate, "x"), "ca.key");
        let leaf = one.issue(&request(&["a"]), now()).unwrap();
        assert_eq!(wrong(&leaf.certificate, &leaf.key), "ca.crt");
    }

    #[test]
    fn keys_are_not_shown() {
        let one = Authority::make("one", now()).unwrap();
        assert!(!format!("{one:?}").contains("KEY"));
    }
}
