//! The files of a server: settings, logging, the start script. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::TASK_PORT;
use super::memory::{BUFFER, MERGES, Memory, THREADS};
use super::metrics::{self, METRICS};
use super::roles::{Role, RoleKind};
use super::start::{start_script, task_options};
use super::validate::{DeepStorage, Metadata, ValidatedDruid};
use crate::pods::exporter;

/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";
/// Where the files of clients of HDFS are mounted.
pub(super) const HDFS: &str = "/etc/hdfs";
/// Where the authority of PostgreSQL is mounted.
pub(super) const POSTGRES: &str = "/etc/postgres";
/// Where the volume of a server is mounted.
pub(super) const DATA: &str = "/data";
/// Where the volume that all share is mounted.
pub(super) const SEGMENTS: &str = "/segments";
/// Where servers have what they log in to a Kafka by: each Secret is a directory of its name.
pub const KAFKA_SECRETS: &str = "/etc/kafka-secrets";
/// The password in PostgreSQL.
pub(super) const PASSWORD: &str = "MILLRACE_METADATA_PASSWORD";
/// Where Derby listens, for the coordinator beside it.
const DERBY_PORT: i32 = 1527;
/// Where Druid is, as in the upstream image.
pub(super) const HOME: &str = "/opt/druid";

/// All files: when one of them changes, servers have to be restarted.
#[must_use]
pub fn files(druid: &ValidatedDruid, role: &Role) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("runtime.properties".into(), properties(druid, role)),
        ("log4j2.xml".into(), LOGGING.into()),
        ("start.sh".into(), start_script(druid, role)),
        (exporter::FILE.into(), exporter::config(METRICS)),
    ])
}

type Settings = Vec<(String, String)>;

fn set(settings: &mut Settings, name: &str, value: impl ToString) {
    settings.push((name.to_owned(), value.to_string()));
}

fn properties(druid: &ValidatedDruid, role: &Role) -> String {
    let mut settings = common(druid, role);
    match role.kind {
        RoleKind::Historical => historical(&mut settings, role),
        RoleKind::Worker => worker(&mut settings, druid, role),
        RoleKind::Broker => broker(&mut settings),
        RoleKind::Router => router(&mut settings),
        RoleKind::Coordinator => coordinator(&mut settings, druid),
    }
    if role.tasks.is_none_or(|tasks| tasks.each.is_none()) {
        processing(&mut settings, "druid.processing", &role.memory);
    }
    if role.kind.uses_deep_storage() {
        deep_storage(&mut settings, druid);
    }
    // What was asked for wins.
    settings.retain(|(name, _)| !druid.config.contains_key(name));
    let given = druid.config.iter().map(|(k, v)| (k.clone(), v.clone()));
    let mut text = String::new();
    for (name, value) in settings.into_iter().chain(given) {
        // Writing into a String cannot fail; a backslash would begin an escape.
        let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\"));
    }
    text
}

fn common(druid: &ValidatedDruid, role: &Role) -> Settings {
    let mut all = Settings::new();
    let owner = &druid.owner;
    set(&mut all, "druid.service", service(role.kind));
    if druid.security.certificates.is_none() {
        set(&mut all, "druid.plaintextPort", role.kind.port());
    }
    all.extend(druid.security.settings(role.kind));
    set(
        &mut all,
        "druid.extensions.directory",
        format!("{HOME}/extensions"),
    );
    set(
        &mut all,
        "druid.extensions.loadList",
        extensions(druid, role.kind),
    );
    set(&mut all, "druid.zk.service.host", &druid.zookeeper);
    // Several may share a ZooKeeper.
    let base = format!("/druid/{}/{}", owner.namespace, owner.name);
    set(&mut all, "druid.zk.paths.base", base);
    set(&mut all, "druid.selectors.indexing.serviceName", OVERLORD);
    set(
        &mut all,
        "druid.selectors.coordinator.serviceName",
        service(RoleKind::Coordinator),
    );
    set(&mut all, "druid.startup.logging.logProperties", false);
    // Who keeps what is measured, the start script says: not each image has it.
    set(&mut all, "druid.monitoring.emissionPeriod", metrics::PERIOD);
    all.extend(metrics::settings());
    set(&mut all, "druid.lookup.enableLookupSyncOnStartup", false);
    // A server must have more threads than all brokers have connections to it.
    let brokers = u64::try_from(druid.nodes(RoleKind::Broker).len()).unwrap_or(1);
    let threads = brokers * u64::from(connections(druid)) + 10;
    set(&mut all, "druid.server.http.numThreads", threads.max(12));
    all
}

const OVERLORD: &str = "druid/overlord";

fn service(kind: RoleKind) -> String {
    format!("druid/{}", kind.name())
}

/// Connections of each broker to each server.
fn connections(druid: &ValidatedDruid) -> u32 {
    let small = |role: &Role| role.memory.heap < 1024;
    if druid.roles.iter().any(small) { 8 } else { 20 }
}

/// Those that a role needs, as a list in JSON. HDFS is not among those of coordinators and brokers: they go on while it is away.
fn extensions(druid: &ValidatedDruid, kind: RoleKind) -> String {
    let mut all: Vec<&str> = Vec::new();
    if kind != RoleKind::Router {
        all.extend(["druid-datasketches", "druid-kafka-indexing-service"]);
    }
    if kind.uses_deep_storage() && matches!(druid.deep_storage, DeepStorage::Hdfs(_)) {
        all.push("druid-hdfs-storage");
    }
    if kind == RoleKind::Coordinator && matches!(druid.metadata, Metadata::Postgres(_)) {
        all.push("postgresql-metadata-storage");
    }
    all.extend(druid.security.extensions());
    for extension in &druid.extensions {
        if !all.contains(&extension.as_str()) {
            all.push(extension);
        }
    }
    serde_json::json!(all).to_string()
}

fn processing(settings: &mut Settings, at: &str, memory: &Memory) {
    let Some(processing) = memory.processing else {
        return;
    };
    for (name, value) in [
        (THREADS, processing.threads),
        (MERGES, processing.merges),
        (BUFFER, processing.buffer_bytes),
    ] {
        set(settings, &name.replace("druid.processing", at), value);
    }
}

fn historical(settings: &mut Settings, role: &Role) {
    let size = role
        .storage
        .as_ref()
        .and_then(|storage| storage.size.bytes());
    // What is left is for segments that are being fetched, and for the file system itself.
    let most = size.unwrap_or_default() / 10 * 9;
    let location = serde_json::json!([{"path": format!("{DATA}/segments"), "maxSize": most}]);
    set(settings, "druid.segmentCache.locations", location);
    let monitors = serde_json::json!(["org.apache.druid.server.metrics.HistoricalMetricsMonitor"]);
    set(settings, "druid.monitoring.monitors", monitors);
}

fn worker(settings: &mut Settings, druid: &ValidatedDruid, role: &Role) {
    let Some(tasks) = role.tasks else {
        return;
    };
    set(settings, "druid.worker.capacity", tasks.capacity);
    set(
        settings,
        "druid.indexer.task.baseDir",
        format!("{DATA}/tasks"),
    );
    // A task ends when it hears that its segments are loaded; it is asked for once a minute otherwise.
    set(settings, "druid.segment.handoff.pollDuration", "PT10S");
    // What a task has read stays on the volume, and it goes on with it when its worker is back.
    set(settings, "druid.indexer.task.restoreTasksOnRestart", true);
    set(
        settings,
        "druid.indexer.task.gracefulShutdownTimeout",
        "PT60S",
    );
    if let Some(each) = tasks.each {
        set(settings, "druid.indexer.runner.startPort", TASK_PORT);
        let options: Vec<String> = task_options(&each).split(' ').map(str::to_owned).collect();
        let options = serde_json::json!(options);
        set(settings, "druid.indexer.runner.javaOptsArray", options);
        // Nobody could ask a task, whose port comes and goes. An emitter that was asked for is the tasks' too.
        if !druid.config.contains_key("druid.emitter") {
            set(
                settings,
                "druid.indexer.fork.property.druid.emitter",
                "noop",
            );
        }
        processing(
            settings,
            "druid.indexer.fork.property.druid.processing",
            &each,
        );
    }
}

fn broker(settings: &mut Settings) {
    set(settings, "druid.sql.planner.metadataRefreshPeriod", "PT5S");
}

fn router(settings: &mut Settings) {
    set(settings, "druid.router.managementProxy.enabled", true);
    set(settings, "druid.router.http.numConnections", 20);
    set(
        settings,
        "druid.router.defaultBrokerServiceName",
        service(RoleKind::Broker),
    );
    set(
        settings,
        "druid.router.coordinatorServiceName",
        service(RoleKind::Coordinator),
    );
}

fn coordinator(settings: &mut Settings, druid: &ValidatedDruid) {
    set(settings, "druid.coordinator.asOverlord.enabled", true);
    set(
        settings,
        "druid.coordinator.asOverlord.overlordService",
        OVERLORD,
    );
    set(settings, "druid.coordinator.startDelay", "PT5S");
    set(settings, "druid.coordinator.period", "PT15S");
    set(settings, "druid.indexer.queue.startDelay", "PT1S");
    set(settings, "druid.indexer.runner.type", "httpRemote");
    // A worker that is back within this time goes on with its tasks; those of one that is not are begun anew elsewhere.
    set(settings, "druid.indexer.runner.taskCleanupTimeout", "PT2M");
    // A worker that was given a task and died before it heard of it is waited for so long, and not for five minutes.
    set(
        settings,
        "druid.indexer.runner.taskAssignmentTimeout",
        "PT1M",
    );
    set(settings, "druid.indexer.storage.type", "metadata");
    let at = "druid.metadata.storage";
    match &druid.metadata {
        Metadata::Derby(_) => {
            set(settings, &format!("{at}.type"), "derby");
            let uri = format!("jdbc:derby://127.0.0.1:{DERBY_PORT}/{DATA}/metadata;create=true");
            set(settings, &format!("{at}.connector.connectURI"), uri);
            set(settings, &format!("{at}.connector.host"), "127.0.0.1");
            set(settings, &format!("{at}.connector.port"), DERBY_PORT);
        }
        Metadata::Postgres(postgres) => {
            set(settings, &format!("{at}.type"), "postgresql");
            set(
                settings,
                &format!("{at}.connector.connectURI"),
                &postgres.uri,
            );
            set(settings, &format!("{at}.connector.user"), &postgres.user);
            let password = serde_json::json!({"type": "environment", "variable": PASSWORD});
            set(settings, &format!("{at}.connector.password"), password);
        }
    }
    // It reads no segments, and gives logs of tasks only where they are on the volume.
    match druid.deep_storage {
        DeepStorage::Volume(_) => deep_storage(settings, druid),
        DeepStorage::Hdfs(_) => set(settings, "druid.indexer.logs.type", "noop"),
    }
}

fn deep_storage(settings: &mut Settings, druid: &ValidatedDruid) {
    let (type_, logs, place) = match &druid.deep_storage {
        DeepStorage::Hdfs(hdfs) => ("hdfs", "hdfs", hdfs.uri.clone()),
        DeepStorage::Volume(_) => ("local", "file", SEGMENTS.to_owned()),
    };
    set(settings, "druid.storage.type", type_);
    set(
        settings,
        "druid.storage.storageDirectory",
        format!("{place}/segments"),
    );
    set(settings, "druid.indexer.logs.type", logs);
    set(
        settings,
        "druid.indexer.logs.directory",
        format!("{place}/logs"),
    );
}

const LOGGING: &str = r#"<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"#;

#[cfg(test)]
mod tests {
    use super::super::memory::MEBIBYTE;
    use super::super::validate::tests::{large, small, valid};
    use super::*;
    use serde_json::json;

    fn of(druid: &ValidatedDruid) -> String {
        let mut text = String::new();
        for role in &druid.roles {
            let files = files(druid, role);
            for name in ["runtime.properties", "start.sh"] {
                let _ = write!(text, "--- {} {name}\n{}", role.set, files[name]);
            }
        }
        text
    }

    #[test]
    fn the_files_of_the_smallest() {
        insta::assert_snapshot!(of(&valid(small())));
    }

    #[test]
    fn the_files_of_several_on_hdfs_and_postgres() {
        insta::assert_snapshot!(of(&valid(large())));
    }

    #[test]
    fn what_was_asked_for_takes_the_place_of_what_was_computed() {
        let mut spec = small();
        spec["config"] = json!({"druid.processing.numThreads": "2", "druid.x": "a\\b"});
        let druid = valid(spec);
        let broker = druid.role(RoleKind::Broker).unwrap();
        let text = properties(&druid, broker);
        assert_eq!(text.matches("druid.processing.numThreads=").count(), 1);
        assert!(text.contains("druid.processing.numThreads=2\n"), "{text}");
        assert!(text.contains("druid.x=a\\\\b\n"), "{text}");
        let direct = broker.memory.direct * MEBIBYTE;
        assert!(direct >= broker.memory.processing.unwrap().needed());
    }

    #[test]
    fn tasks_have_the_emitter_that_was_asked_for() {
        let mut spec = large();
        let tasks = |spec: serde_json::Value| {
            let druid = valid(spec);
            let worker = druid.role(RoleKind::Worker).unwrap();
            properties(&druid, worker)
        };
        let (own, theirs) = ("fork.property.druid.emitter=noop", "druid.emitter=statsd");
        assert!(tasks(spec.clone()).contains(own));
        spec["config"] = json!({"druid.emitter": "statsd"});
        let asked = tasks(spec);
        assert!(!asked.contains(own) && asked.contains(theirs), "{asked}");
    }

    #[test]
    fn only_who_holds_segments_knows_hdfs() {
        let druid = valid(large());
        for role in &druid.roles {
            let knows = properties(&druid, role).contains("druid-hdfs-storage");
            assert_eq!(knows, role.kind.uses_deep_storage(), "{}", role.set);
        }
    }
}
