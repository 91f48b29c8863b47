//! The start scripts of servers.

use super::super::roles::{Role, RoleKind};
use super::super::validate::ValidatedHdfs;
use super::super::{NAME_NODE_PORT, SUPER_USER};
use super::{EXCLUDES, FILES, LIVE, name_node_ids};

/// How a NameNode ends that may not begin a new file system.
pub const REFUSED: &str = "this NameNode's volume is empty and the file system has worked before: it would begin anew, without \
its files; bring the volume back, or let it by the annotation millrace.dev/allow-format";
/// How a NameNode ends that finds edits of a file system which it does not know.
const EDITS_FOUND: &str = "the file system could not be formatted; where JournalNodes hold the log of a former one, bring the \
NameNode's volume back, or remove theirs";

/// Where the script lies by which a NameNode asks for the rack of a DataNode.
pub(super) const RACK_SCRIPT: &str = "/tmp/rack.sh";
/// The memory of the fail-over controller beside each NameNode.
pub const FAIL_OVER_MEMORY: &str = "256Mi";

/// What all scripts begin with.
fn prelude() -> String {
    format!(
        r#"# -f: the class path has stars that are for java.
set -euf
# WebHDFS needs it; a Java that is too old for it does not read this variable.
export HADOOP_USER_NAME={SUPER_USER} JDK_JAVA_OPTIONS=--add-opens=java.base/java.lang=ALL-UNNAMED
home=/opt/hadoop/share/hadoop
path="{FILES}:$home/common/lib/*:$home/common/*:$home/hdfs:$home/hdfs/lib/*:$home/hdfs/*"
tool() {{
  java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$path" "$@"
}}
"#
    )
}

/// The start script of a server.
pub(super) fn start(hdfs: &ValidatedHdfs, role: &Role) -> String {
    let heap = role.heap_mebibytes;
    let collector = if heap < 1024 {
        // One thread and the first compiler only: a third of the memory, and a start that is a second shorter.
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    } else {
        "-XX:+UseG1GC"
    };
    // A DataNode tells its rack as a setting, see below.
    let (before, class) = match role.kind {
        RoleKind::NameNode => (
            name_node(hdfs),
            "org.apache.hadoop.hdfs.server.namenode.NameNode",
        ),
        RoleKind::JournalNode => (
            TELL_THE_ROOM.to_owned(),
            "-Dhadoop.log.dir=/tmp/logs org.apache.hadoop.hdfs.qjournal.server.JournalNode",
        ),
        RoleKind::DataNode if hdfs.racks.is_some() => (
            rack(),
            r#"org.apache.hadoop.hdfs.server.datanode.DataNode "-Dmillrace.rack=/${rack:-default-rack}""#,
        ),
        RoleKind::DataNode => (
            String::new(),
            "org.apache.hadoop.hdfs.server.datanode.DataNode",
        ),
    };
    format!(
        "{}{before}exec java -Xmx{heap}m {collector} -XX:+ExitOnOutOfMemoryError -cp \"$path\" {class}\n",
        prelude()
    )
}

fn name_node(hdfs: &ValidatedHdfs) -> String {
    let otherwise = if hdfs.is_ha() {
        COPY.to_owned()
    } else {
        WAIT.replace("@REFUSED@", REFUSED)
    };
    let racks = if hdfs.racks.is_some() {
        format!("cp {FILES}/rack.sh {RACK_SCRIPT}\nchmod 755 {RACK_SCRIPT}\n")
    } else {
        String::new()
    };
    format!(
        r#"name=/data/name fresh=/data/format
server=org.apache.hadoop.hdfs.server.namenode.NameNode
# Made aside and moved into place as a whole: what was cut short leaves nothing that looks like a file system.
if [ ! -e $name ]; then
  founder=$(cat {FILES}/{LIVE}founder)
  if [ "$founder" = "${{HOSTNAME##*-}}" ]; then
    mkdir -p $fresh
    attempt=1
    # What an attempt of our own has begun may be overwritten, what somebody else has left may not.
    until
      force=
      [ ! -e $fresh/current/VERSION ] || force=-force
      tool $server -Ddfs.namenode.name.dir=file://$fresh -format -nonInteractive $force -clusterId millrace-{uid}
    do
      if [ $attempt = 8 ]; then
        echo "{EDITS_FOUND}" | tee /dev/termination-log >&2
        exit 3
      fi
      # All JournalNodes have to be there for it.
      attempt=$((attempt + 1))
      sleep 5
    done
{otherwise}  fi
  mv $fresh $name
fi
{racks}# DataNodes that are to go are told in a file; the names in it lead to other addresses when their pods come anew.
watch() {{
  told= round=0
  while sleep 5; do
    now=$(cat {FILES}/{EXCLUDES} 2>/dev/null || true)
    round=$((round + 1))
    if [ "$now" != "$told" ] || {{ [ -n "$now" ] && [ $((round % 12)) = 0 ]; }}; then
      if tool org.apache.hadoop.hdfs.tools.DFSAdmin -fs hdfs://127.0.0.1:{NAME_NODE_PORT} -refreshNodes >&2; then
        told=$now
      fi
    fi
  done
}}
watch &
"#,
        uid = hdfs.owner.uid,
    )
}

/// A JournalNode does not know how full its volume is, and serves what lies beside its logs.
const TELL_THE_ROOM: &str = r#"mkdir -p /tmp/logs
tell_the_room() {
  while :; do
    if df -B1 --output=size,avail /data | tail -n 1 >/tmp/logs/volume.new; then
      mv /tmp/logs/volume.new /tmp/logs/volume
    fi
    sleep 30
  done
}
tell_the_room &
"#;

/// A NameNode that is not the first, or that has lost its volume, takes over the names of another.
const COPY: &str = r#"  else
    until rm -rf $fresh && tool $server -Ddfs.namenode.name.dir=file://$fresh -bootstrapStandby -nonInteractive; do
      echo "waiting for a NameNode that has names to copy" >&2
      sleep 5
    done
"#;

/// The only NameNode has nobody to copy from.
const WAIT: &str = r#"  else
    echo "@REFUSED@" | tee /dev/termination-log >&2
    sleep 20
    exit 3
"#;

fn rack() -> String {
    format!(
        r#"until rack=$(grep "^$NODE_NAME " {FILES}/{LIVE}racks); do
  echo "waiting to be told the rack of $NODE_NAME" >&2
  sleep 2
done
rack=${{rack#* }}
"#
    )
}

/// Asks DataNodes for their racks: each knows where it runs, and a table of addresses would come too late for a pod that
/// comes anew. For bash, which can speak TCP.
///
/// A NameNode keeps each answer by address until it ends, but not that there was none. A DataNode that is not let in without
/// (`dfs.namenode.reject-unresolved-dn-topology-mapping`) registers again within seconds, so it is told nothing rather than
/// something wrong. A client is asked for at each block until there is an answer, so it needs one.
pub(super) fn rack_of_a_node(hdfs: &ValidatedHdfs) -> String {
    let (name, namespace) = (&hdfs.owner.name, &hdfs.owner.namespace);
    RACK_OF_A_NODE.replace("@NODES@", &format!("{name}-nodes.{namespace}.svc"))
}

const RACK_OF_A_NODE: &str = r#"#!/bin/bash
ask() {
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9864" &&
    printf "GET /conf?name=millrace.rack HTTP/1.1\r\nHost: datanode\r\nConnection: close\r\n\r\n" >&3 &&
    sed -n "s:.*<name>millrace.rack</name><value>\(/[^<]*\)</value>.*:\1:p" <&3' "$1"
}
for address in "$@"; do
  rack=$(ask "$address")
  if [ -z "$rack" ]; then
    # A DataNode that does not answer is not let in for now, nor is anybody while it cannot be told who is one.
    pods=$(timeout 5 getent ahosts @NODES@) || exit 1
    if printf '%s\n' "$pods" | cut -d ' ' -f 1 | grep -qxF -e "$address"; then
      exit 1
    fi
    # A client, or a DataNode that has come so lately that its name is not known yet.
    sleep 1
    rack=$(ask "$address")
  fi
  echo "${rack:-/default-rack}"
done 2>/dev/null
"#;

/// The start script of the fail-over controller beside a NameNode.
pub(super) fn fail_over_controller() -> String {
    format!(
        r#"{}controller=org.apache.hadoop.hdfs.tools.DFSZKFailoverController
if [ "${{HOSTNAME##*-}}" = 0 ]; then
  # 2: it is there already.
  until tool $controller -formatZK -nonInteractive || [ $? = 2 ]; do
    echo "waiting for ZooKeeper" >&2
    sleep 3
  done
fi
child=
trap 'kill $child 2>/dev/null; wait; exit 0' TERM
while :; do
  code=0
  java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError -cp "$path" $controller &
  child=$!
  wait $child || code=$?
  # 3: the first NameNode has not prepared ZooKeeper yet.
  [ $code = 3 ] || exit $code
  sleep 3
done
"#,
        prelude()
    )
}

/// Before a NameNode that is active ends, another one is made active: that takes a second, and to notice that one is gone
/// takes several.
pub(super) fn cede(hdfs: &ValidatedHdfs) -> String {
    format!(
        r#"{}admin=org.apache.hadoop.hdfs.tools.DFSHAAdmin
if [ "$(timeout 10 java -Xmx32m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$path" $admin -getServiceState "$HOSTNAME" 2>/dev/null)" = active ]; then
  for other in {others}; do
    [ "$other" != "$HOSTNAME" ] || continue
    if timeout 20 java -Xmx32m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$path" $admin -failover "$HOSTNAME" "$other"; then
      break
    fi
  done
fi
touch /tmp/ceded
"#,
        prelude(),
        others = name_node_ids(hdfs).join(" "),
    )
}

/// What a NameNode waits for before it ends.
pub const CEDED: &str =
    "n=0; until [ -e /tmp/ceded ] || [ $n -ge 45 ]; do sleep 1; n=$((n + 1)); done";

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{ha, one, valid};
    use super::super::fixed;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_scripts_of_one_name_node_and_its_data_nodes() {
        let hdfs = valid(one());
        let scripts = [&hdfs.name_nodes, &hdfs.data_nodes].map(|role| start(&hdfs, role));
        insta::assert_snapshot!(scripts.join("---\n"));
    }

    #[test]
    fn the_scripts_of_several_name_nodes() {
        let mut spec = ha();
        spec["rack"] = json!({});
        let hdfs = valid(spec);
        let files = fixed(&hdfs, &hdfs.name_nodes);
        let scripts = ["start.sh", "zkfc.sh", "cede.sh"].map(|name| files[name].clone());
        insta::assert_snapshot!(scripts.join("---\n"));
        let script = start(&hdfs, &hdfs.data_nodes);
        assert!(script.ends_with("DataNode \"-Dmillrace.rack=/${rack:-default-rack}\"\n"));
        // A DataNode that does not answer has no rack, and is not let in with a wrong one.
        let asks = "getent ahosts h-nodes.ns.svc) || exit 1\n";
        assert!(files["rack.sh"].contains(asks), "{}", files["rack.sh"]);
        let rejects = "dfs.namenode.reject-unresolved-dn-topology-mapping</name><value>true";
        assert!(files["hdfs-site.xml"].contains(rejects));
    }

    #[test]
    fn a_journal_node_tells_how_full_its_volume_is() {
        let hdfs = valid(ha());
        let script = start(&hdfs, hdfs.journal_nodes.as_ref().unwrap());
        let begin = script.find("tell_the_room &").unwrap();
        assert!(
            script[begin..].contains("-Dhadoop.log.dir=/tmp/logs org.apache.hadoop.hdfs.qjournal")
        );
        assert!(script.contains(crate::remote::hdfs::volume::PATH));
    }

    #[test]
    fn the_only_name_node_says_why_it_does_not_begin_anew() {
        let script = start(&valid(one()), &valid(one()).name_nodes);
        assert!(script.contains(REFUSED) && !script.contains("bootstrapStandby"));
    }
}
