//! How a server is started. Pure.

use super::crd::WorkerKind;
use super::files::{DATA, FILES, HDFS, HOME};
use super::memory::Memory;
use super::metrics::{EMITTER, JAR};
use super::roles::Role;
use super::validate::{DeepStorage, Hdfs, ValidatedDruid};
use crate::pods::exporter;

/// What Java 17 hides from Druid otherwise.
const OPEN: &str = "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED \
--add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/jdk.internal.ref=ALL-UNNAMED \
--add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED";

/// Druid tells log4j so itself, and the agent makes log4j begin before that.
const REGISTRY: &str =
    "-Dlog4j.shutdownCallbackRegistry=org.apache.druid.common.config.Log4jShutdown";

/// What Java is told for a task that is a process.
pub(super) fn task_options(memory: &Memory) -> String {
    format!("{} {OPEN}", options(memory))
}

fn options(memory: &Memory) -> String {
    let Memory { heap, direct, .. } = memory;
    let collector = if *heap < 1024 {
        // One thread and the first compiler only: a third of the memory, and a start that is seconds shorter.
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    } else {
        "-XX:+UseG1GC"
    };
    format!(
        "-Xmx{heap}m -XX:MaxDirectMemorySize={direct}m {collector} -XX:+ExitOnOutOfMemoryError -Duser.timezone=UTC \
-Dfile.encoding=UTF-8 -Djava.util.logging.manager=org.apache.logging.log4j.jul.LogManager"
    )
}

/// The script that a pod runs.
pub(super) fn start_script(druid: &ValidatedDruid, role: &Role) -> String {
    let name = &druid.owner.name;
    let namespace = &druid.owner.namespace;
    let mut before = String::new();
    if let (true, DeepStorage::Hdfs(hdfs)) = (role.kind.uses_deep_storage(), &druid.deep_storage) {
        before += &wait_for(hdfs);
    }
    if role.tasks.is_some() {
        before += &format!("mkdir -p {DATA}/tasks\n");
    }
    let server = match role.tasks.map(|tasks| tasks.kind) {
        Some(WorkerKind::Indexer) => "indexer",
        Some(WorkerKind::MiddleManager) => "middleManager",
        None => role.kind.name(),
    };
    let options = options(&role.memory);
    let lib = format!("{HOME}/lib");
    let mut agent = exporter::script(&lib, FILES);
    if !druid.config.contains_key("druid.emitter") {
        agent += &emitter(&lib);
    }
    format!(
        r#"# -f: the class path has a star that is for java.
set -euf
{before}{agent}exec java {options} $agent {REGISTRY} {OPEN} -Djava.io.tmpdir=/tmp -Dderby.system.home={DATA} "-Ddruid.host=$HOSTNAME.{name}-nodes.{namespace}.svc" -cp "{FILES}:{HDFS}:{lib}/*" org.apache.druid.cli.Main server {server}
"#
    )
}

/// What keeps Druid's metrics is told on the command line: an image without the module does not know it, and would not start.
fn emitter(lib: &str) -> String {
    format!(
        r#"if [ -n "$agent" ] && [ -e {lib}/{JAR} ]; then
  agent="$agent -Ddruid.emitter={EMITTER}"
fi
"#
    )
}

/// Druid ends at once when it starts while no NameNode answers.
fn wait_for(hdfs: &Hdfs) -> String {
    if hdfs.name_nodes.is_empty() {
        return String::new();
    }
    let nodes = hdfs.name_nodes.join(" ");
    format!(
        r#"listens() {{
  for node in {nodes}; do
    if (exec 3<>"/dev/tcp/${{node%:*}}/${{node##*:}}") 2>/dev/null; then return 0; fi
  done
  return 1
}}
if ! listens; then
  echo "no NameNode listens, waiting: {nodes}"
  until listens; do sleep 2; done
fi
"#
    )
}
