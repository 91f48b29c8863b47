//! The settings of servers and clients.

use super::super::roles::{Role, RoleKind};
use super::super::validate::ValidatedHdfs;
use super::super::{
    DATA_NODE_HTTP_PORT, DATA_NODE_IPC_PORT, DATA_NODE_PORT, FAIL_OVER_PORT,
    JOURNAL_NODE_HTTP_PORT, JOURNAL_NODE_PORT, NAME_NODE_HTTP_PORT, NAME_NODE_PORT,
};
use super::sites::Settings;
use super::{EXCLUDES, FILES, scripts};

/// The name by which clients know several NameNodes.
fn nameservice(hdfs: &ValidatedHdfs) -> &str {
    &hdfs.owner.name
}

/// The ids of several NameNodes, which are the names of their pods.
pub(super) fn name_node_ids(hdfs: &ValidatedHdfs) -> Vec<String> {
    let nodes = hdfs.nodes(&hdfs.name_nodes).into_iter();
    nodes.map(|node| node.pod).collect()
}

fn own<const N: usize>(settings: [(&str, String); N]) -> Settings {
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// `core-site.xml` of clients.
pub(super) fn client_core(hdfs: &ValidatedHdfs) -> Settings {
    own([
        ("fs.defaultFS", hdfs.uri()),
        ("fs.trash.interval", hdfs.trash_minutes.to_string()),
        // A pod that is gone says nothing: neither to who connects, nor to who waits for its answer.
        ("ipc.client.connect.timeout", "5000".into()),
        ("ipc.client.rpc-timeout.ms", "30000".into()),
    ])
}

/// `core-site.xml` of servers.
pub(super) fn core(hdfs: &ValidatedHdfs) -> Settings {
    let mut settings = client_core(hdfs);
    settings.extend(own([
        ("hadoop.tmp.dir", "/tmp/hadoop".into()),
        ("hadoop.prometheus.endpoint.enabled", "true".into()),
        // Users of this file system are no users of its servers' machines: each owns its files, and has no groups.
        (
            "hadoop.security.group.mapping",
            "org.apache.hadoop.security.NullGroupsMapping".into(),
        ),
    ]));
    if let Some(servers) = &hdfs.zookeeper {
        settings.extend(own([
            ("ha.zookeeper.quorum", servers.clone()),
            (
                "ha.zookeeper.parent-znode",
                format!("/millrace/{}", hdfs.owner.namespace),
            ),
            // So long a NameNode may be gone before another takes over.
            ("ha.zookeeper.session-timeout.ms", "6000".into()),
        ]));
    }
    if hdfs.racks.is_some() {
        settings.extend(own([(
            "net.topology.script.file.name",
            scripts::RACK_SCRIPT.into(),
        )]));
    }
    settings
}

/// `hdfs-site.xml` of clients.
pub(super) fn client_hdfs(hdfs: &ValidatedHdfs) -> Settings {
    let mut settings = own([
        ("dfs.replication", hdfs.replication.to_string()),
        // A file goes on being written on the DataNodes that are left, where no other can take the place of a lost one.
        (
            "dfs.client.block.write.replace-datanode-on-failure.best-effort",
            "true".into(),
        ),
    ]);
    settings.extend(addresses(hdfs));
    settings
}

/// `hdfs-site.xml` of clients outside of HDFS, such as Druid: what [`client_hdfs`] has, and how long they try again.
pub(super) fn outside_hdfs(hdfs: &ValidatedHdfs) -> Settings {
    let mut settings = client_hdfs(hdfs);
    if !hdfs.is_ha() {
        // A NameNode that is back refuses writes until it knows its blocks. Of several, clients are told so in a way that they try
        // again for; of the only one they take the refusal as final, unless this says otherwise (RetryUtils of hadoop-common).
        settings.extend(own([
            ("dfs.client.retry.policy.enabled", "true".into()),
            // Milliseconds between tries and how many, in turn: three minutes.
            ("dfs.client.retry.policy.spec", "2000,15,10000,15".into()),
        ]));
    }
    settings
}

/// Where NameNodes are.
fn addresses(hdfs: &ValidatedHdfs) -> Settings {
    let nodes = hdfs.nodes(&hdfs.name_nodes);
    let mut settings = Settings::new();
    let name = nameservice(hdfs);
    if hdfs.is_ha() {
        settings.extend(own([("dfs.nameservices", name.to_owned())]));
        settings.extend([
            (
                format!("dfs.ha.namenodes.{name}"),
                name_node_ids(hdfs).join(","),
            ),
            (
                format!("dfs.client.failover.proxy.provider.{name}"),
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider".into(),
            ),
        ]);
    }
    for node in nodes {
        let of = if hdfs.is_ha() {
            format!(".{name}.{}", node.pod)
        } else {
            String::new()
        };
        for (address, port) in [("rpc", NAME_NODE_PORT), ("http", NAME_NODE_HTTP_PORT)] {
            settings.push((
                format!("dfs.namenode.{address}-address{of}"),
                format!("{}:{port}", node.host),
            ));
        }
    }
    settings
}

/// `hdfs-site.xml` of the servers of a role.
pub(super) fn hdfs(hdfs: &ValidatedHdfs, role: &Role) -> Settings {
    let (mut settings, own) = match role.kind {
        // It tells clients that do not know better how many copies they are to write.
        RoleKind::NameNode => (client_hdfs(hdfs), name_node(hdfs)),
        RoleKind::JournalNode => (addresses(hdfs), journal_node(hdfs)),
        RoleKind::DataNode => (addresses(hdfs), data_node(hdfs, role)),
    };
    settings.extend(own);
    settings
}

fn shared_edits(hdfs: &ValidatedHdfs) -> Option<(String, String)> {
    let journal_nodes = hdfs.nodes(hdfs.journal_nodes.as_ref()?);
    let hosts: Vec<String> = journal_nodes
        .iter()
        .map(|node| format!("{}:{JOURNAL_NODE_PORT}", node.host))
        .collect();
    let value = format!("qjournal://{}/{}", hosts.join(";"), nameservice(hdfs));
    Some(("dfs.namenode.shared.edits.dir".into(), value))
}

fn name_node(hdfs: &ValidatedHdfs) -> Settings {
    let mut settings = own([
        ("dfs.namenode.name.dir", "file:///data/name".into()),
        ("dfs.namenode.rpc-bind-host", "0.0.0.0".into()),
        ("dfs.namenode.http-bind-host", "0.0.0.0".into()),
        ("dfs.hosts.exclude", format!("{FILES}/{EXCLUDES}")),
        // Addresses of pods lead to no names.
        (
            "dfs.namenode.datanode.registration.ip-hostname-check",
            "false".into(),
        ),
        ("dfs.namenode.safemode.extension", "5000".into()),
        // A DataNode that has not been heard of for half a minute is asked last.
        ("dfs.namenode.avoid.read.stale.datanode", "true".into()),
        ("dfs.namenode.avoid.write.stale.datanode", "true".into()),
        // DataNodes that are to go are looked at more often than each half minute.
        ("dfs.namenode.decommission.interval", "10s".into()),
        // Each client looks at names all the time, and nothing of a file is known by that.
        (
            "dfs.namenode.audit.log.debug.cmdlist",
            "getfileinfo,listStatus,contentSummary,checkAccess,datanodeReport,safemode_get".into(),
        ),
    ]);
    if hdfs.racks.is_some() {
        // By default a DataNode whose rack could not be learned is in the default one until its NameNode ends. It registers
        // again in a moment.
        settings.extend(own([(
            "dfs.namenode.reject-unresolved-dn-topology-mapping",
            "true".into(),
        )]));
    }
    if let Some(shared) = shared_edits(hdfs) {
        settings.push(shared);
        settings.extend(own([
            ("dfs.ha.namenode.id", "${env.HOSTNAME}".into()),
            ("dfs.ha.automatic-failover.enabled", "true".into()),
            ("dfs.ha.zkfc.port", FAIL_OVER_PORT.to_string()),
            // JournalNodes take no writes of a NameNode that is active no more; there is nothing else to fence.
            ("dfs.ha.fencing.methods", "shell(/bin/true)".into()),
            // A JournalNode that was away takes part again from the next segment of the log on.
            ("dfs.ha.log-roll.period", "30s".into()),
        ]));
    }
    settings
}

fn journal_node(hdfs: &ValidatedHdfs) -> Settings {
    let mut settings: Settings = shared_edits(hdfs).into_iter().collect();
    settings.extend(own([
        ("dfs.journalnode.edits.dir", "/data/edits".into()),
        (
            "dfs.journalnode.rpc-address",
            format!("0.0.0.0:{JOURNAL_NODE_PORT}"),
        ),
        (
            "dfs.journalnode.http-address",
            format!("0.0.0.0:{JOURNAL_NODE_HTTP_PORT}"),
        ),
    ]));
    settings
}

fn data_node(hdfs: &ValidatedHdfs, role: &Role) -> Settings {
    let directories: Vec<String> = role
        .mounts()
        .map(|(_, path)| format!("file://{path}/blocks"))
        .collect();
    let (name, namespace) = (&hdfs.owner.name, &hdfs.owner.namespace);
    own([
        ("dfs.datanode.data.dir", directories.join(",")),
        // A DataNode writes for clients of WebHDFS, and would write three copies where they do not say how many.
        ("dfs.replication", hdfs.replication.to_string()),
        (
            "dfs.datanode.hostname",
            format!("${{env.HOSTNAME}}.{name}-nodes.{namespace}.svc"),
        ),
        ("dfs.datanode.address", format!("0.0.0.0:{DATA_NODE_PORT}")),
        (
            "dfs.datanode.http.address",
            format!("0.0.0.0:{DATA_NODE_HTTP_PORT}"),
        ),
        (
            "dfs.datanode.ipc.address",
            format!("0.0.0.0:{DATA_NODE_IPC_PORT}"),
        ),
        // The last of a volume is never written: what was begun can be ended, and a file system that is full to the last
        // byte is hard to help.
        (
            "dfs.datanode.du.reserved.calculator",
            "org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.ReservedSpaceCalculator$ReservedSpaceCalculatorPercentage"
                .into(),
        ),
        ("dfs.datanode.du.reserved.pct", "5".into()),
        // By default a volume with less than 1 GiB left takes no block, and its NameNode does not know.
        (
            "dfs.datanode.round-robin-volume-choosing-policy.additional-available-space",
            "0".into(),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{ha, one, valid};
    use super::super::{client, fixed};
    use super::*;
    use serde_json::json;

    fn sites(hdfs: &ValidatedHdfs, role: &Role) -> String {
        let files = fixed(hdfs, role);
        files["core-site.xml"].clone() + &files["hdfs-site.xml"]
    }

    #[test]
    fn the_settings_of_one_name_node() {
        let hdfs = valid(one());
        insta::assert_snapshot!(sites(&hdfs, &hdfs.name_nodes));
    }

    #[test]
    fn the_settings_of_several_name_nodes() {
        let hdfs = valid(ha());
        let mut text = sites(&hdfs, &hdfs.name_nodes);
        text += &fixed(&hdfs, hdfs.journal_nodes.as_ref().unwrap())["hdfs-site.xml"];
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_settings_of_data_nodes_and_clients() {
        let mut spec = ha();
        spec["rack"] = json!({});
        spec["hdfsSite"] = json!({"dfs.blocksize": "64m"});
        let hdfs = valid(spec);
        let mut text = fixed(&hdfs, &hdfs.data_nodes)["hdfs-site.xml"].clone();
        for site in client(&hdfs).values() {
            text += site;
        }
        insta::assert_snapshot!(text);
    }
}
