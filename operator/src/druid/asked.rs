//! The servers of a role, and how each divides its memory. Pure.

use millrace_contract::Invalid;

use super::crd::{DruidClusterSpec, WorkerKind};
use super::memory::{self, BUFFER, Given, MEBIBYTE, MERGES, Memory, Needs, THREADS};
use super::roles::{Role, RoleKind, Tasks};
use super::validate::{Found, Metadata};
use crate::reconcile::{Error, Owner};
use crate::types::{FreeForm, PodResources, Storage};

/// Memory of a middle manager itself, in mebibytes: it starts processes and looks after them.
const MIDDLE_MANAGER: u64 = 256;

/// All roles that are asked for, in the order in which they are restarted.
///
/// # Errors
/// Names the field, its value and the cure.
pub(super) fn roles(
    spec: &DruidClusterSpec,
    owner: &Owner,
    metadata: &Metadata,
    given: Given,
    found: &Found,
) -> Result<Vec<Role>, Error> {
    asked(spec, metadata)
        .into_iter()
        .map(|asked| role(spec, owner, asked, given, found))
        .collect()
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
