//! From what was asked for to what can be built. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use millrace_contract::Invalid;

use super::crd::{DruidCluster, DruidClusterSpec, WorkerKind};
use super::memory::{self, BUFFER, Given, MEBIBYTE, MERGES, Memory, THREADS};
use super::roles::{Node, Role, RoleKind, Tasks};
use super::{HDFS_USER, memory::Needs};
use crate::context::Images;
use crate::job::lake;
use crate::reconcile::secrets;
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, FreeForm, PodResources, Storage, Windows};

/// Memory of a middle manager itself, in mebibytes: it starts processes and looks after them.
const MIDDLE_MANAGER: u64 = 256;

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
    /// Extensions beside those that are needed.
    pub extensions: Vec<String>,
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
        format!("http://{set}.{namespace}.svc:{}", kind.port())
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
    let roles = asked(spec, &metadata)
        .into_iter()
        .map(|asked| role(spec, &owner, asked, given, found))
        .collect::<Result<_, _>>()?;
    Ok(ValidatedDruid {
        image: spec.image.clone().unwrap_or_else(|| images.druid.clone()),
        roles,
        zookeeper,
        deep_storage,
        metadata,
        extensions: spec.extensions.clone(),
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

/// What the spec asks of a role.
struct Asked<'a> {
    kind: RoleKind,
    replicas: i32,
    storage: Option<&'a Storage>,
    resources: Option<&'a PodResources>,
    overrides: &'a FreeForm,
}

fn asked<'a>(spec: &'a DruidClusterSpec, metadata: &'a Metadata) -> Vec<Asked<'a>> {
    let mut all = vec![
        Asked {
            kind: RoleKind::Historical,
            replicas: spec.historicals.replicas,
            storage: Some(&spec.historicals.storage),
            resources: spec.historicals.resources.as_ref(),
            overrides: &spec.historicals.pod_overrides,
        },
        Asked {
            kind: RoleKind::Worker,
            replicas: spec.workers.replicas,
            storage: Some(&spec.workers.storage),
            resources: spec.workers.resources.as_ref(),
            overrides: &spec.workers.pod_overrides,
        },
        Asked {
            kind: RoleKind::Broker,
            replicas: spec.brokers.replicas,
            storage: None,
            resources: spec.brokers.resources.as_ref(),
            overrides: &spec.brokers.pod_overrides,
        },
    ];
    all.extend(spec.routers.as_ref().map(|routers| Asked {
        kind: RoleKind::Router,
        replicas: routers.replicas,
        storage: None,
        resources: routers.resources.as_ref(),
        overrides: &routers.pod_overrides,
    }));
    all.push(Asked {
        kind: RoleKind::Coordinator,
        replicas: spec.coordinators.replicas,
        storage: match metadata {
            Metadata::Derby(storage) => Some(storage),
            Metadata::Postgres(_) => None,
        },
        resources: spec.coordinators.resources.as_ref(),
        overrides: &spec.coordinators.pod_overrides,
    });
    all
}

fn role(
    spec: &DruidClusterSpec,
    owner: &Owner,
    asked: Asked<'_>,
    given: Given,
    found: &Found,
) -> Result<Role, Error> {
    let kind = asked.kind;
    let memory = asked.resources.and_then(|r| r.memory.clone());
    let memory = memory.unwrap_or_else(|| kind.memory().into());
    let field = format!("{}.resources.memory", kind.field());
    let bytes = memory.bytes().ok_or_else(|| {
        Invalid::new(
            &field,
            &memory.0,
            "is not a size",
            "write it like 512Mi or 4Gi",
        )
    })?;
    let limit = bytes / MEBIBYTE;
    let workers = (kind == RoleKind::Worker).then_some((spec.workers.kind, spec.workers.capacity));
    let (own, tasks) = divide(kind, workers, limit, given).map_err(|least| {
        let set: Vec<&str> = [THREADS, MERGES, BUFFER]
            .into_iter()
            .filter(|name| spec.config.contains_key(*name))
            .collect();
        let with = match set.as_slice() {
            [] => String::new(),
            set => format!(" with {} as spec.config has it", set.join(", ")),
        };
        let problem = format!("a {}{with} does not start with so little", kind.name());
        Invalid::new(
            &field,
            &memory.0,
            problem,
            format!("give at least {least}Mi"),
        )
    })?;
    let of_all = ("spec.podOverrides".to_owned(), spec.pod_overrides.clone());
    let own_overrides = (
        format!("{}.podOverrides", kind.field()),
        asked.overrides.clone(),
    );
    let set = kind.set(&owner.name);
    Ok(Role {
        kind,
        replicas: asked.replicas,
        storage: asked.storage.cloned(),
        live_templates: found.templates.get(&set).cloned().unwrap_or_default(),
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.resources.and_then(|r| r.cpu.clone()),
        },
        memory: own,
        tasks,
        pod_overrides: [of_all, own_overrides]
            .into_iter()
            .filter(|(_, overrides)| !overrides.is_empty())
            .collect(),
        set,
    })
}

/// How a pod divides its memory; else the least that it needs, in mebibytes.
fn divide(
    kind: RoleKind,
    workers: Option<(WorkerKind, i32)>,
    limit: u64,
    given: Given,
) -> Result<(Memory, Option<Tasks>), u64> {
    let needs = kind.needs();
    let refused = |least: Option<u64>| least.unwrap_or(u64::MAX / MEBIBYTE);
    if let Some((WorkerKind::MiddleManager, capacity)) = workers {
        let count = u64::try_from(capacity).unwrap_or(1).max(1);
        let each = limit.saturating_sub(MIDDLE_MANAGER) / count;
        let least = memory::least(needs, given).map(|least| least * count + MIDDLE_MANAGER);
        let each = memory::divide(each, needs, given).ok_or_else(|| refused(least))?;
        let itself = Needs {
            heap: 48,
            queries: false,
        };
        let own = memory::divide(MIDDLE_MANAGER, itself, Given::default());
        let tasks = Tasks {
            kind: WorkerKind::MiddleManager,
            capacity,
            each: Some(each),
        };
        return Ok((own.ok_or_else(|| refused(least))?, Some(tasks)));
    }
    let own =
        memory::divide(limit, needs, given).ok_or_else(|| refused(memory::least(needs, given)))?;
    let tasks = workers.map(|(kind, capacity)| Tasks {
        kind,
        capacity,
        each: None,
    });
    Ok((own, tasks))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(crate) mod tests;
