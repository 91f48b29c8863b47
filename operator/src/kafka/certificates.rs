//! The certificates of a cluster: what is there is kept as long as it is good. Pure but for random numbers.
//!
//! Three Secrets: `{cluster}-ca` with the authorities and how far their change is, `{cluster}-certificates` with what the
//! nodes hold, and `{cluster}-admin` with the operator's own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::nodes::Node;
use crate::pki::{
    Authority, Cause, Issued, Phase, PkiError, Request, Rotation, is_good, not_after,
};
use crate::reconcile::{Error, approval, fingerprint, roll};

/// Who a node is, by its certificate.
pub const NODE: &str = "millrace-node";
/// Who the operator is, by its certificate.
pub const OPERATOR: &str = "millrace-operator";
/// On a pod: the revision of the certificates that it runs.
pub const REVISION: &str = approval::CERTIFICATES;
/// On a cluster: asks for a new authority. Each new value asks once.
pub const ROTATE: &str = "millrace.dev/rotate-ca";

/// Where nodes find them.
pub const PATH: &str = "/etc/millrace-certificates";
/// The certificates that are trusted.
pub const TRUSTED: &str = "trusted.pem";

/// Name of the Secret with the authorities.
#[must_use]
pub fn authority_name(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// Name of the Secret with what the nodes hold.
#[must_use]
pub fn secret_name(cluster: &str) -> String {
    format!("{cluster}-certificates")
}

type Data = BTreeMap<String, ByteString>;

/// The Secrets as they were found.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The authorities, if there are any.
    pub authority: Option<Data>,
    /// The authority that the user gives.
    pub given: Option<Data>,
    /// What the nodes hold.
    pub nodes: Data,
    /// The operator's own.
    pub operator: Data,
}

/// The certificates of a cluster.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authorities.
    pub rotation: Rotation,
    /// The nodes' own, by node id.
    pub nodes: BTreeMap<i32, Issued>,
    /// The names of each node, as it advertises them.
    pub names: BTreeMap<i32, BTreeSet<String>>,
    /// The operator's own.
    pub operator: Issued,
}

/// What the certificates of a cluster are decided from.
pub(super) struct Wanted<'a> {
    /// Of which cluster.
    pub(super) cluster: &'a str,
    /// In which namespace.
    pub(super) namespace: &'a str,
    /// Every node that is there or is to be.
    pub(super) nodes: &'a [Node],
    /// Names of nodes for clients outside Kubernetes, by node id.
    pub(super) external: &'a BTreeMap<i32, String>,
    /// Names of all nodes for clients outside Kubernetes.
    pub(super) shared: Option<&'a str>,
    /// The Secret that the user gives the authority by.
    pub(super) given: Option<&'a str>,
    /// What the annotation asks.
    pub(super) asked: Option<&'a str>,
    /// The pods that are there.
    pub(super) pods: &'a [Pod],
    /// How many of them there are to be.
    pub(super) expected: usize,
    /// The time.
    pub(super) now: Timestamp,
}

/// Takes the next step of a change of the authority if there is one to take, and issues what is missing.
///
/// # Errors
/// The authority that is given is not one, or there are no random numbers.
pub(super) fn decide(secrets: &Secrets, wanted: &Wanted<'_>) -> Result<Certificates, Error> {
    let given = given(secrets, wanted)?;
    let make = |generation: i64| {
        let name = format!("{}.{} {generation}", wanted.cluster, wanted.namespace);
        Authority::make(&name, wanted.now)
    };
    let mut rotation = match &secrets.authority {
        Some(data) => read(data, wanted.cluster)?,
        None => {
            let first = match &given {
                Some(given) => given.clone(),
                None => make(1).map_err(failed)?,
            };
            begin(secrets, first, wanted.asked)
        }
    };
    let all_run = wanted.pods.len() == wanted.expected
        && wanted
            .pods
            .iter()
            .all(|pod| runs(pod, rotation.revision) && roll::is_ready(pod));
    let cause = Cause {
        asked: wanted.asked,
        given: given.as_ref(),
    };
    rotation
        .advance(&cause, all_run, wanted.now, make)
        .map_err(failed)?;
    let issuer = issuer(&rotation);
    let same_issuer = text(&secrets.nodes, "issuer") == Some(issuer.as_str());
    let mut renewed = false;
    let (mut nodes, mut names) = (BTreeMap::new(), BTreeMap::new());
    for node in wanted.nodes {
        let request = Request {
            common_name: NODE.into(),
            names: names_of(node, wanted),
        };
        let found = kept(&secrets.nodes, &format!("node-{}", node.id));
        let good = found
            .as_ref()
            .filter(|found| same_issuer && is_good(&found.certificate, &request, wanted.now));
        let issued = match good {
            Some(good) => good.clone(),
            // Without its key the former authority issues nothing more; nodes keep what they have meanwhile.
            None if rotation.issuer().key.is_empty() && found.is_some() => {
                found.clone().ok_or_else(no_key)?
            }
            None => {
                renewed |= found.is_some();
                let issued = rotation.issuer().issue(&request, wanted.now);
                issued.map_err(failed)?
            }
        };
        names.insert(node.id, request.names);
        nodes.insert(node.id, issued);
    }
    // What was made anew without a step of the rotation has to be loaded too. A step that was noted and not yet carried
    // out has its revision already.
    let noted = text(&secrets.nodes, "revision").and_then(|text| text.parse().ok());
    if renewed && noted == Some(rotation.revision) {
        rotation.revision += 1;
    }
    Ok(Certificates {
        operator: operator(secrets, &rotation, &issuer, wanted.now)?,
        rotation,
        nodes,
        names,
    })
}

fn begin(secrets: &Secrets, first: Authority, asked: Option<&str>) -> Rotation {
    let former = text(&secrets.nodes, TRUSTED);
    let mut rotation = Rotation::first(first, asked);
    if let Some(former) = former {
        // Somebody took the authority away from running nodes: they go on trusting what they trust until all of them trust
        // the new one too.
        let former = Authority {
            certificate: former.to_owned(),
            key: String::new(),
        };
        rotation.next = Some(std::mem::replace(&mut rotation.authority, former));
        rotation.phase = Phase::TrustBoth;
        let noted = text(&secrets.nodes, "revision").and_then(|text| text.parse::<i64>().ok());
        rotation.revision = noted.unwrap_or(1) + 1;
    }
    rotation
}

fn given(secrets: &Secrets, wanted: &Wanted<'_>) -> Result<Option<Authority>, Error> {
    let Some(name) = wanted.given else {
        return Ok(None);
    };
    let field = "spec.listeners.secure.certificateAuthority.secretName";
    if name == authority_name(wanted.cluster) {
        return Err(Invalid::new(
            field,
            name,
            "is the name under which the operator itself keeps authorities",
            "give your Secret another name",
        )
        .into());
    }
    let missing = |problem: String| Error::Missing {
        reason: "AuthorityMissing",
        invalid: Invalid::new(
            field,
            name,
            problem,
            "make a Secret with ca.crt and ca.key in PEM",
        ),
    };
    let data = secrets
        .given
        .as_ref()
        .ok_or_else(|| missing("there is no such Secret".into()))?;
    let certificate = text(data, "ca.crt").ok_or_else(|| missing("it has no ca.crt".into()))?;
    let key = text(data, "ca.key").ok_or_else(|| missing("it has no ca.key".into()))?;
    let authority =
        Authority::read(certificate, key).map_err(|error| missing(error.to_string()))?;
    Ok(Some(authority))
}

fn operator(
    secrets: &Secrets,
    rotation: &Rotation,
    issuer: &str,
    now: Timestamp,
) -> Result<Issued, Error> {
    let request = Request {
        common_name: OPERATOR.into(),
        names: BTreeSet::new(),
    };
    let found = text(&secrets.operator, "client-certificate")
        .zip(text(&secrets.operator, "private-key"))
        .map(|(certificate, key)| Issued {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
    let same_issuer = text(&secrets.operator, "issuer") == Some(issuer);
    match found {
        Some(found) if rotation.issuer().key.is_empty() => Ok(found),
        Some(found) if same_issuer && is_good(&found.certificate, &request, now) => Ok(found),
        _ => rotation.issuer().issue(&request, now).map_err(failed),
    }
}

fn names_of(node: &Node, wanted: &Wanted<'_>) -> BTreeSet<String> {
    let (cluster, namespace) = (wanted.cluster, wanted.namespace);
    let mut names = BTreeSet::from([node.host.clone()]);
    if node.broker {
        names.extend([
            format!("{cluster}-bootstrap"),
            format!("{cluster}-bootstrap.{namespace}"),
            format!("{cluster}-bootstrap.{namespace}.svc"),
            format!("{cluster}-internal.{namespace}.svc"),
        ]);
        names.extend(wanted.external.get(&node.id).cloned());
        names.extend(wanted.shared.map(str::to_owned));
    }
    names
}

fn runs(pod: &Pod, revision: i64) -> bool {
    pod.annotations().get(REVISION).map(String::as_str) == Some(revision.to_string().as_str())
}

fn failed(error: PkiError) -> Error {
    Error::Build {
        what: "certificates",
        problem: error.to_string(),
    }
}

fn no_key() -> Error {
    Error::Build {
        what: "certificates",
        problem: "the key of the authority is gone".into(),
    }
}

fn text<'a>(data: &'a Data, key: &str) -> Option<&'a str> {
    std::str::from_utf8(&data.get(key)?.0).ok()
}

fn issuer(rotation: &Rotation) -> String {
    fingerprint(&rotation.issuer().certificate)
}

fn kept(data: &Data, name: &str) -> Option<Issued> {
    let whole = text(data, &format!("{name}.pem"))?;
    // The key comes first, as Kafka wants it.
    let at = whole.find("-----BEGIN CERTIFICATE-----")?;
    Some(Issued {
        key: whole[..at].to_owned(),
        certificate: whole[at..].to_owned(),
    })
}

/// What the Secret of the authorities says.
fn read(data: &Data, cluster: &str) -> Result<Rotation, Error> {
    let lacks = |key: &str| {
        Invalid::new(
            format!("Secret {cluster}-ca"),
            key,
            "is missing or damaged, so that nothing can be issued",
            "put the Secret back as it was, or delete it to get a new authority",
        )
    };
    let get = |key: &str| text(data, key).ok_or_else(|| lacks(key));
    let number = |key: &str| get(key)?.parse::<i64>().map_err(|_| lacks(key));
    let next = match (text(data, "next.crt"), text(data, "next.key")) {
        (Some(certificate), Some(key)) => Some(Authority {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        _ => None,
    };
    Ok(Rotation {
        phase: Phase::named(get("phase")?).ok_or_else(|| lacks("phase"))?,
        generation: number("generation")?,
        revision: number("revision")?,
        authority: Authority {
            certificate: get("ca.crt")?.to_owned(),
            key: get("ca.key")?.to_owned(),
        },
        next,
        rotated_for: text(data, "rotated-for").map(str::to_owned),
    })
}

impl Certificates {
    /// The content of the Secret of the authorities.
    #[must_use]
    pub fn authority_data(&self) -> BTreeMap<String, ByteString> {
        let rotation = &self.rotation;
        let mut entries = vec![
            ("ca.crt", rotation.authority.certificate.clone()),
            ("ca.key", rotation.authority.key.clone()),
            ("phase", rotation.phase.name().to_owned()),
            ("generation", rotation.generation.to_string()),
            ("revision", rotation.revision.to_string()),
        ];
        if let Some(next) = &rotation.next {
            entries.push(("next.crt", next.certificate.clone()));
            entries.push(("next.key", next.key.clone()));
        }
        if let Some(asked) = &rotation.rotated_for {
            entries.push(("rotated-for", asked.clone()));
        }
        data(entries)
    }

    /// The content of the Secret of the nodes.
    #[must_use]
    pub fn node_data(&self) -> BTreeMap<String, ByteString> {
        let mut entries = vec![
            (TRUSTED.to_owned(), self.rotation.trusted()),
            ("issuer".to_owned(), issuer(&self.rotation)),
            ("revision".to_owned(), self.rotation.revision.to_string()),
        ];
        for (id, issued) in &self.nodes {
            let whole = format!("{}{}", issued.key, issued.certificate);
            entries.push((format!("node-{id}.pem"), whole));
        }
        for (id, names) in &self.names {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            entries.push((format!("node-{id}.names"), names.join("\n") + "\n"));
        }
        data(entries)
    }

    /// The fingerprint of the authority that issued the operator's certificate.
    #[must_use]
    pub fn issuer(&self) -> String {
        issuer(&self.rotation)
    }

    /// When the first certificate of a node ends.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.nodes
            .values()
            .filter_map(|issued| not_after(&issued.certificate))
            .min()
    }
}

fn data<K: Into<String>>(entries: Vec<(K, String)>) -> BTreeMap<String, ByteString> {
    entries
        .into_iter()
        .map(|(key, value)| (key.into(), ByteString(value.into_bytes())))
        .collect()
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
