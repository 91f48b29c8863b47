//! The files of a server: settings, logging, the start script. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millrace_contract::metric::MetricKind::{Counter, Gauge};

use super::validate::ValidatedZooKeeper;
use super::{CLIENT_PORT, ELECTION_PORT, PEER_PORT};
use crate::pods::exporter::{self, Exported};

/// Where the volume is mounted, as in the upstream image.
pub const DATA: &str = "/data";
/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";

/// Says whether a server serves: one without a majority has its port open too. For bash, which can speak TCP.
pub const READY: &str =
    "exec 3<>/dev/tcp/127.0.0.1/2181 && printf srvr >&3 && grep -q '^Mode: ' <&3";

/// All files: when one of them changes, servers have to be restarted.
#[must_use]
pub fn files(zookeeper: &ValidatedZooKeeper) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("zoo.cfg".into(), settings(zookeeper)),
        ("logback.xml".into(), LOGGING.into()),
        ("start.sh".into(), start_script(zookeeper)),
        (exporter::FILE.into(), exporter::config(METRICS)),
    ])
}

fn settings(zookeeper: &ValidatedZooKeeper) -> String {
    let mut settings: Vec<(String, String)> = [
        ("dataDir", DATA.to_owned()),
        ("clientPort", CLIENT_PORT.to_string()),
        ("tickTime", "2000".into()),
        ("initLimit", "10".into()),
        ("syncLimit", "5".into()),
        ("maxClientCnxns", "0".into()),
        // Old snapshots are removed, or they fill the volume.
        ("autopurge.snapRetainCount", "3".into()),
        ("autopurge.purgeInterval", "6".into()),
        // The log is made longer in steps of this, in KiB. With the 64 MiB of its own a server that has hardly anything says
        // by `dirs` that a small volume is full.
        ("preAllocSize", "1024".into()),
        ("4lw.commands.whitelist", "srvr,mntr,ruok,dirs".into()),
        // Nobody administers a server by HTTP; without it, it is a third smaller.
        ("admin.enableServer", "false".into()),
        ("reconfigEnabled", "false".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if zookeeper.servers > 1 {
        settings.extend([
            ("standaloneEnabled".into(), "false".into()),
            // A pod's own name may lead to no address yet when it starts.
            ("quorumListenOnAllIPs".into(), "true".into()),
        ]);
        settings.extend(zookeeper.pods().enumerate().map(|(ordinal, pod)| {
            let host = zookeeper.host(&pod);
            (
                format!("server.{}", ordinal + 1),
                format!("{host}:{PEER_PORT}:{ELECTION_PORT}"),
            )
        }));
    }
    // What was asked for wins.
    settings.retain(|(name, _)| !zookeeper.config.contains_key(name));
    let given = zookeeper.config.iter().map(|(k, v)| (k.clone(), v.clone()));
    let mut text = String::new();
    for (name, value) in settings.into_iter().chain(given) {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

const LOGGING: &str = r#"<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %p %c{1}: %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="console"/></root>
</configuration>
"#;

/// A server alone, and one of several while it leads or follows: that bean is there only while the server serves.
const SERVER: &[&str] = &[
    "org.apache.ZooKeeperService:name0=*",
    "org.apache.ZooKeeperService:name0=*,name1=*,name2=*",
];
const TREE: &[&str] = &[
    "org.apache.ZooKeeperService:name0=*,name1=InMemoryDataTree",
    "org.apache.ZooKeeperService:name0=*,name1=*,name2=*,name3=InMemoryDataTree",
];
const LEADER: &[&str] = &[
    "org.apache.ZooKeeperService:name0=*",
    "org.apache.ZooKeeperService:name0=*,name1=*,name2=Leader",
];
const FOLLOWER: &[&str] = &["org.apache.ZooKeeperService:name0=*,name1=*,name2=Follower"];
#[rustfmt::skip]
const LEADS: Exported = Exported::new("zookeeper_leader", Gauge, "1 while this server leads, or is alone; 0 while it follows; nothing while it does not serve", LEADER, "TickTime");

/// What a server tells Prometheus of itself.
#[rustfmt::skip]
pub const METRICS: &[Exported] = &[
    LEADS.telling(1.0),
    Exported { beans: FOLLOWER, ..LEADS.telling(0.0) },
    Exported::new("zookeeper_outstandingrequests", Gauge, "Requests that wait", SERVER, "OutstandingRequests"),
    Exported::new("zookeeper_avgrequestlatency_seconds", Gauge, "Mean time of a request since the start of the server", SERVER, "AvgRequestLatency").unit("seconds").times(0.001),
    Exported::new("zookeeper_numaliveconnections", Gauge, "Clients that are connected", SERVER, "NumAliveConnections"),
    Exported::new("zookeeper_packetsreceived", Counter, "Packets received", SERVER, "PacketsReceived"),
    Exported::new("zookeeper_packetssent", Counter, "Packets sent", SERVER, "PacketsSent"),
    Exported::new("zookeeper_fsyncthresholdexceedcount", Counter, "Times that the volume took more than a second to write", SERVER, "FsyncThresholdExceedCount"),
    Exported::new("zookeeper_nodecount", Gauge, "Nodes of the tree", TREE, "NodeCount"),
    Exported::new("zookeeper_watchcount", Gauge, "Watches that clients have set", TREE, "WatchCount"),
];

fn start_script(zookeeper: &ValidatedZooKeeper) -> String {
    let heap = zookeeper.heap_mebibytes;
    let collector = if heap < 1024 {
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    } else {
        "-XX:+UseG1GC -XX:MaxGCPauseMillis=50"
    };
    format!(
        r#"# -f: the class path has a star that is for java.
set -euf
echo $((${{HOSTNAME##*-}} + 1)) >{DATA}/myid
{agent}exec java -Xmx{heap}m {collector} $agent -XX:+ExitOnOutOfMemoryError -Dlogback.configurationFile={FILES}/logback.xml -cp 'lib/*' org.apache.zookeeper.server.quorum.QuorumPeerMain {FILES}/zoo.cfg
"#,
        agent = exporter::script("lib", FILES),
    )
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_files_of_three_servers() {
        let three = valid(json!({"servers": 3, "config": {"tickTime": "1000"}})).unwrap();
        let files = files(&three);
        insta::assert_snapshot!(files["zoo.cfg"].clone() + "---\n" + &files["start.sh"]);
    }

    #[test]
    fn one_server_knows_of_no_others() {
        let one = settings(&valid(json!({})).unwrap());
        assert!(!one.contains("server."), "{one}");
    }
}
