//! The start script of a node.

use super::super::certificates::PATH;
use super::super::nodes::Pool;
use super::super::validate::ValidatedKafka;
use super::{FILES, LIVE, SMALL_HEAP_MEBIBYTES};
use crate::pods::exporter;

/// How a node ends that may not found the cluster anew.
pub const REFUSED: &str = "this controller's volume is empty and the cluster has worked before: it would begin anew, \
without its topics; bring the volume back, or let it by the annotation millrace.dev/allow-format";

/// The start script: formats empty volumes, once and as a whole, then becomes the node.
pub(super) fn start_script(kafka: &ValidatedKafka, pool: &Pool) -> String {
    let heap = pool.heap_mebibytes;
    let collector = if heap < SMALL_HEAP_MEBIBYTES {
        // One thread and the first compiler only: a third of the memory and a start that is a second shorter.
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    } else {
        "-XX:+UseG1GC -XX:MaxGCPauseMillis=20"
    };
    let host = format!(
        "$HOSTNAME.{}-nodes.{}.svc",
        kafka.owner.name, kafka.owner.namespace
    );
    let paths: Vec<&str> = pool.volumes.iter().map(|v| v.path.as_str()).collect();
    let first_id = pool.first_node_id;
    let how = if pool.controller { CONTROLLER } else { BROKER };
    let how = how
        .replace("@FIRST@", paths.first().copied().unwrap_or_default())
        .replace("@REFUSED@", REFUSED);
    format!(
        r#"# -f: the class path has a star that is for java.
set -euf
id=$(({first_id} + ${{HOSTNAME##*-}}))
# What the operator says while nodes run.
told() {{
  until [ -s "{FILES}/{LIVE}$1" ]; do
    echo "waiting to be told: $1" >&2
    sleep 2
  done
  cat "{FILES}/{LIVE}$1"
}}
quorum=$(told quorum)
{more}sed -e "s/@ID@/$id/g" -e "s/@HOST@/{host}/g" -e "s/@QUORUM@/$quorum/g" {FILES}/server.properties >/tmp/server.properties
{after}java() {{
  command java -Dlog4j2.configurationFile={FILES}/log4j2.properties -cp '/opt/kafka/libs/*' "$@"
}}
missing= logs=
for volume in {volumes}; do
  if [ -e "$volume/log" ]; then
    logs="$logs,$volume/log"
  else
    rm -rf "$volume/format"
    missing="$missing $volume"
    logs="$logs,$volume/format"
  fi
done
if [ -n "$missing" ]; then
  cluster=$(told cluster-id)
  version=$(told metadata-version)
{how}  if [ "$version" != latest ]; then
    how="$how --release-version $version"
  fi
  # Formatted aside and moved into place: a format that was cut short leaves nothing half made.
  sed "s#^log.dirs=.*#log.dirs=${{logs#,}}#" /tmp/server.properties >/tmp/format.properties
  java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format --cluster-id="$cluster" $how --ignore-formatted --config /tmp/format.properties
  for volume in $missing; do
    mv "$volume/format" "$volume/log"
  done
fi
{agent}exec java -Xmx{heap}m {collector} $agent -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile={FILES}/log4j2.properties -cp '/opt/kafka/libs/*' kafka.Kafka /tmp/server.properties
"#,
        volumes = paths.join(" "),
        agent = exporter::script("/opt/kafka/libs", FILES),
        more = before_settings(kafka, pool),
        after = after_settings(kafka, pool),
    )
}

/// What has to be known before the settings are complete.
fn before_settings(kafka: &ValidatedKafka, pool: &Pool) -> String {
    let mut text = String::new();
    if kafka.is_secure() {
        text.push_str(&format!(
            r#"until [ -s "{PATH}/node-$id.pem" ]; do
  echo "waiting for a certificate" >&2
  sleep 2
done
"#
        ));
    }
    if kafka.external.is_some() && pool.broker {
        text.push_str(&format!(
            r#"external=$(told "advertised-$id")
# Clients compare the name with the certificate.
name=$(echo "${{external%:*}}" | tr -d '[]')
until grep -qxF "$name" "{PATH}/node-$id.names"; do
  echo "waiting for a certificate with the name $name" >&2
  sleep 2
done
"#
        ));
    }
    text
}

/// What is added to the settings.
fn after_settings(kafka: &ValidatedKafka, pool: &Pool) -> String {
    let mut text = String::new();
    if kafka.external.is_some() && pool.broker {
        text.push_str("sed -i \"s/@EXTERNAL@/$external/g\" /tmp/server.properties\n");
    }
    if kafka.racks.is_some() && pool.broker {
        text.push_str(&format!(
            r#"until rack=$(grep "^$NODE_NAME " {FILES}/{LIVE}racks); do
  echo "waiting to be told the rack of $NODE_NAME" >&2
  sleep 2
done
rack=${{rack#* }}
if [ -n "$rack" ]; then
  echo "broker.rack=$rack" >>/tmp/server.properties
fi
"#
        ));
    }
    text
}

/// Only one controller ever founds the cluster; all others join it.
const CONTROLLER: &str = r#"  how=--no-initial-controllers
  if [ ! -e @FIRST@/log ]; then
    founder=$(told founder)
    if [ "$founder" = "$id" ]; then
      how=--standalone
    elif [ "$founder" = refused ]; then
      echo "@REFUSED@" | tee /dev/termination-log >&2
      # Not at once, so that what is told meanwhile is seen without a long pause.
      sleep 20
      exit 3
    fi
  fi
"#;

const BROKER: &str = "  how=\n";

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_start_of_a_combined_node() {
        let kafka = valid(json!({"nodes": 3, "storage": {"size": "1Gi"}}));
        insta::assert_snapshot!(start_script(&kafka, &kafka.pools[0]));
    }

    #[test]
    fn a_broker_alone_founds_nothing() {
        let kafka = valid(json!({"pools": [
            {"name": "c", "roles": ["controller"], "replicas": 1, "firstNodeId": 0, "lastNodeId": 9, "volumes": [{"size": "1Gi"}]},
            {"name": "b", "roles": ["broker"], "replicas": 2, "firstNodeId": 10, "lastNodeId": 19, "resources": {"memory": "8Gi"},
             "volumes": [{"size": "1Gi"}, {"size": "2Gi"}]}]}));
        let script = start_script(&kafka, &kafka.pools[1]);
        assert!(!script.contains("standalone"), "{script}");
        assert!(script.contains("id=$((10 + ${HOSTNAME##*-}))"));
        assert!(script.contains("for volume in /var/lib/kafka/data /var/lib/kafka/data-1; do"));
        assert!(script.contains("UseG1GC"));
    }
}
