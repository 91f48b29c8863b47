//! From what was asked for to what can be built. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use millrace_contract::Invalid;

use super::crd::{DruidCluster, DruidClusterSpec};
use super::memory::Given;
use super::roles::{Node, Role, RoleKind};
use super::security::{ADMIN, FoundSecurity, Security};
use super::{HDFS_USER, asked};
use crate::context::Images;
use crate::job::lake;
use crate::reconcile::secrets;
use crate::reconcile::{Error, Owner};
use crate::remote::druid::Credentials;
use crate::types::{DeletionPolicy, Storage, Windows};

/// What was read of Kubernetes before anything is decided.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The claim templates of the live StatefulSets, by name.
    pub templates: BTreeMap<String, Vec<PersistentVolumeClaim>>,
    /// The servers of the ZooKeeper, as `host:port` separated by commas.
    pub zookeeper: Option<String>,
    /// The binding of the HDFS.
    pub hdfs: Option<Secret>,
    /// The binding of the PostgreSQL.
    pub postgres: Option<Secret>,
    /// Passwords and certificates.
    pub security: FoundSecurity,
}

/// Where segments are kept for good.
#[derive(Clone, Debug, PartialEq)]
pub enum DeepStorage {
    /// In HDFS.
    Hdfs(Hdfs),
    /// On a volume that all share.
    Volume(Storage),
}

/// An HDFS.
#[derive(Clone, Debug, PartialEq)]
pub struct Hdfs {
    /// The HdfsCluster, where it is one of this namespace.
    pub cluster: Option<String>,
    /// The Secret with the connection details.
    pub binding: String,
    /// The directory, with the address.
    pub uri: String,
    /// The directory.
    pub path: String,
    /// The user that files belong to.
    pub user: String,
    /// Where NameNodes listen, as `host:port`; none where that is not known.
    pub name_nodes: Vec<String>,
}

/// Where Druid keeps what it knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Metadata {
    /// In the only coordinator.
    Derby(Storage),
    /// In a PostgreSQL.
    Postgres(Postgres),
}

/// A PostgreSQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// The Secret with the connection details.
    pub binding: String,
    /// The address for Java.
    pub uri: String,
    /// The user.
    pub user: String,
    /// Changes with the password.
    pub login: String,
    /// Whether the Secret has the authority that the server's certificate is of.
    pub has_authority: bool,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedDruid {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// All roles, in the order in which they are restarted.
    pub roles: Vec<Role>,
    /// The servers of the ZooKeeper.
    pub zookeeper: String,
    /// Where segments are kept for good.
    pub deep_storage: DeepStorage,
    /// Where Druid keeps what it knows.
    pub metadata: Metadata,
    /// Who is let in, and by which certificates servers speak.
    pub security: Security,
    /// Extensions beside those that are needed.
    pub extensions: Vec<String>,
    /// Secrets by which tasks log in to a Kafka.
    pub kafka_secrets: Vec<String>,
    /// Settings in the place of computed ones.
    pub config: BTreeMap<String, String>,
    /// What becomes of data when the cluster is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether no server is to run.
    pub stopped: bool,
}

impl ValidatedDruid {
    /// The servers that do this; none where none are asked for.
    #[must_use]
    pub fn role(&self, kind: RoleKind) -> Option<&Role> {
        self.roles.iter().find(|role| role.kind == kind)
    }

    /// The servers of a role.
    #[must_use]
    pub fn nodes(&self, kind: RoleKind) -> Vec<Node> {
        let role = self.role(kind);
        role.map(|role| role.nodes(&self.owner)).unwrap_or_default()
    }

    /// The address of a role that has one Service.
    #[must_use]
    pub fn uri(&self, kind: RoleKind) -> String {
        let (set, namespace) = (kind.set(&self.owner.name), &self.owner.namespace);
        let scheme = self.scheme();
        format!("{scheme}://{set}.{namespace}.svc:{}", kind.port())
    }

    /// What servers speak: `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.security.certificates {
            None => "http",
            Some(_) => "https",
        }
    }

    /// The role that clients ask for everything but questions: routers, where there are any.
    #[must_use]
    pub fn front(&self) -> RoleKind {
        match self.role(RoleKind::Router) {
            Some(_) => RoleKind::Router,
            None => RoleKind::Coordinator,
        }
    }

    /// As whom clients get in, and whom they trust.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        let passwords = self.security.passwords.as_ref();
        let certificates = self.security.certificates.as_ref();
        Credentials {
            login: passwords.map(|all| (ADMIN.to_owned(), all.admin.clone())),
            authorities: certificates.map(|all| all.trusted.clone()),
        }
    }

    /// The address where questions in SQL are answered.
    #[must_use]
    pub fn sql(&self) -> String {
        format!("{}/druid/v2/sql", self.uri(RoleKind::Broker))
    }

    /// Name of the claim of the volume that all share.
    #[must_use]
    pub fn segments_name(&self) -> String {
        format!("{}-segments", self.owner.name)
    }
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &DruidCluster,
    found: &Found,
    images: &Images,
) -> Result<ValidatedDruid, Error> {
    let spec = &cluster.spec;
    let owner = Owner {
        windows: Windows::check(&spec.maintenance_windows, "spec.maintenanceWindows")?,
        ..Owner::of(cluster)?
    };
    check_config(&spec.config)?;
    let metadata = metadata(spec, found)?;
    if spec.coordinators.replicas != 1 && matches!(metadata, Metadata::Derby(_)) {
        return Err(Invalid::new(
            "spec.coordinators.replicas",
            spec.coordinators.replicas.to_string(),
            "several coordinators share what they know in a PostgreSQL",
            "set spec.metadata.bindingSecret, or one coordinator",
        )
        .into());
    }
    let zookeeper = found
        .zookeeper
        .clone()
        .ok_or_else(|| zookeeper_missing(spec))?;
    let deep_storage = deep_storage(&owner, spec, found)?;
    let given = Given::read(&spec.config).map_err(|name| {
        Invalid::new(
            format!("spec.config[{name}]"),
            spec.config.get(name).cloned().unwrap_or_default(),
            "is no number above zero",
            "write for example 4, or 64MiB for a size",
        )
    })?;
    let roles = asked::roles(spec, &owner, &metadata, given, found)?;
    Ok(ValidatedDruid {
        security: Security::of(spec, &owner, &found.security)?,
        image: spec.image.clone().unwrap_or_else(|| images.druid.clone()),
        roles,
        zookeeper,
        deep_storage,
        metadata,
        extensions: spec.extensions.clone(),
        kafka_secrets: spec.kafka_secrets.clone(),
        config: spec.config.clone(),
        deletion_policy: spec.deletion_policy,
        stopped: spec.stopped,
        owner,
    })
}

fn check_config(config: &BTreeMap<String, String>) -> Result<(), Invalid> {
    let bad = |text: &str| text.chars().any(char::is_control);
    match config.iter().find(|(name, value)| {
        bad(name) || bad(value) || name.is_empty() || name.contains(['=', ':', ' ', '\\', '#', '!'])
    }) {
        Some((name, value)) => Err(Invalid::new(
            format!("spec.config[{name}]"),
            value,
            "is no setting on one line",
            "write the name as Druid has it, and the value without line ends",
        )),
        None => Ok(()),
    }
}

fn zookeeper_missing(spec: &DruidClusterSpec) -> Error {
    let name = spec.zookeeper.ensemble.clone();
    let name = name.or_else(|| spec.zookeeper.binding_secret.clone());
    Error::Missing {
        reason: "ZooKeeperMissing",
        invalid: Invalid::new(
            "spec.zookeeper",
            name.unwrap_or_default(),
            "its connection details are not there",
            "create it, or name one that exists",
        ),
    }
}

fn text(secret: Option<&Secret>, key: &str) -> Option<String> {
    secrets::text(secret?.data.as_ref(), key).map(str::to_owned)
}

fn metadata(spec: &DruidClusterSpec, found: &Found) -> Result<Metadata, Error> {
    let asked = &spec.metadata;
    let Some(binding) = &asked.binding_secret else {
        let storage = asked.storage.clone().unwrap_or(Storage {
            size: "1Gi".into(),
            storage_class: None,
        });
        return Ok(Metadata::Derby(storage));
    };
    let secret = found.postgres.as_ref();
    crate::postgres::external::check(binding, secret, "spec.metadata.bindingSecret").map_err(
        |invalid| Error::Missing {
            reason: "MetadataMissing",
            invalid,
        },
    )?;
    let get = |key: &str| text(secret, key).unwrap_or_default();
    let port = text(secret, "port").unwrap_or_else(|| crate::postgres::PORT.to_string());
    let has_authority = text(secret, "ca.crt").is_some();
    let (host, database) = (get("host"), get("database"));
    let tls = if has_authority {
        format!(
            "sslmode=verify-full&sslrootcert={}/ca.crt",
            super::files::POSTGRES
        )
    } else {
        "sslmode=prefer".to_owned()
    };
    Ok(Metadata::Postgres(Postgres {
        uri: format!("jdbc:postgresql://{host}:{port}/{database}?{tls}"),
        user: get("username"),
        login: crate::reconcile::fingerprint(&Some(get("password"))),
        has_authority,
        binding: binding.clone(),
    }))
}

fn deep_storage(
    owner: &Owner,
    spec: &DruidClusterSpec,
    found: &Found,
) -> Result<DeepStorage, Error> {
    let asked = &spec.deep_storage;
    let (name, binding, field) = match (&asked.hdfs, &asked.binding_secret, &asked.volume) {
        (Some(hdfs), None, None) => (
            hdfs,
            crate::hdfs::binding_name(hdfs),
            "spec.deepStorage.hdfs",
        ),
        (None, Some(secret), None) => (secret, secret.clone(), "spec.deepStorage.bindingSecret"),
        (None, None, Some(volume)) => return Ok(DeepStorage::Volume(volume.clone())),
        _ => {
            return Err(Invalid::new(
                "spec.deepStorage",
                "none or several",
                "segments are kept in one place",
                "set exactly one of hdfs, bindingSecret and volume",
            )
            .into());
        }
    };
    let secret = found.hdfs.as_ref();
    let of_binding = lake::check(name, secret, field).map_err(|invalid| Error::Missing {
        reason: "DeepStorageMissing",
        invalid,
    })?;
    let path = asked.path.clone();
    let path = path.unwrap_or_else(|| format!("/millrace/druid/{}", owner.name));
    let place = of_binding.place(Some(path), None, HDFS_USER);
    let told = text(secret, "name-nodes").unwrap_or_default();
    let mut name_nodes: Vec<String> = told.split(',').map(|node| node.trim().to_owned()).collect();
    name_nodes.retain(|node| !node.is_empty());
    if name_nodes.is_empty() {
        // An address without a port is the name of several NameNodes, which only the files know.
        let single = place.address.strip_prefix("hdfs://");
        name_nodes.extend(single.filter(|host| host.contains(':')).map(str::to_owned));
    }
    Ok(DeepStorage::Hdfs(Hdfs {
        cluster: asked.hdfs.clone(),
        binding,
        uri: place.uri(),
        path: place.root,
        user: place.user,
        name_nodes,
    }))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(crate) mod tests;
