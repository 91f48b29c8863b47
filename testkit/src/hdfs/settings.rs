//! The settings of the servers, and of the clients that read them.

use std::path::Path;

use crate::process::free_port;

/// What kind of HDFS a test needs. By default one NameNode and one DataNode on the disk of the machine.
#[derive(Debug, Clone, Copy)]
pub struct HdfsPlan {
    /// Two NameNodes that share their edits through JournalNodes; the test says which one is active.
    pub pair: bool,
    /// So many DataNodes.
    pub data_nodes: u8,
    /// Replication of files that ask for none.
    pub replication: u8,
    /// The DataNodes' blocks lie on a volume of so many MiB of memory each, which a test can fill, and which is lost with
    /// the process.
    pub volume: Option<u32>,
}

impl Default for HdfsPlan {
    fn default() -> Self {
        Self {
            pair: false,
            data_nodes: 1,
            replication: 1,
            volume: None,
        }
    }
}

/// The name of the pair for clients.
pub(super) const SERVICE: &str = "tests";

/// So many JournalNodes has a pair: the fewest of which one may be lost.
const JOURNAL_NODES: usize = 3;

pub(super) struct Ports {
    // RPC and HTTP.
    pub(super) name: Vec<(u16, u16)>,
    pub(super) journal: Vec<(u16, u16)>,
    // Data, HTTP, IPC.
    pub(super) data: Vec<(u16, u16, u16)>,
}

impl Ports {
    pub(super) fn free(plan: &HdfsPlan) -> anyhow::Result<Self> {
        let two = || anyhow::Ok((free_port()?, free_port()?));
        let name_nodes = if plan.pair { 2 } else { 1 };
        let journal_nodes = if plan.pair { JOURNAL_NODES } else { 0 };
        Ok(Self {
            name: (0..name_nodes).map(|_| two()).collect::<Result<_, _>>()?,
            journal: (0..journal_nodes)
                .map(|_| two())
                .collect::<Result<_, _>>()?,
            data: (0..plan.data_nodes)
                .map(|_| anyhow::Ok((free_port()?, free_port()?, free_port()?)))
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Writes what all servers and clients share; what one server alone has is on its command line.
pub(super) fn write(
    folder: &Path,
    uri: &str,
    plan: &HdfsPlan,
    ports: &Ports,
) -> anyhow::Result<()> {
    let core = [
        ("fs.defaultFS", uri.to_owned()),
        // Minutes. Without it there is no trash.
        ("fs.trash.interval", "60".to_owned()),
        // Whoever asks a server that was killed is told so at once.
        ("ipc.client.connect.max.retries", "1".to_owned()),
        ("ipc.client.connect.retry.interval", "200".to_owned()),
    ];
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut hdfs = vec![
        text("dfs.namenode.safemode.extension", "0"),
        text("dfs.replication", &plan.replication.to_string()),
        // Small files with several blocks.
        text("dfs.namenode.fs-limits.min-block-size", "4096"),
        text("dfs.heartbeat.interval", "1"),
    ];
    if plan.volume.is_some() {
        // A DataNode takes no block for which it may not have room.
        hdfs.push(text("dfs.blocksize", "1048576"));
        hdfs.push(text(
            "dfs.datanode.round-robin-volume-choosing-policy.additional-available-space",
            "0",
        ));
    }
    if let Some(nodes) = (!ports.journal.is_empty()).then_some(&ports.journal) {
        let nodes: Vec<String> = nodes.iter().map(|(rpc, _)| at(*rpc)).collect();
        let edits = format!("qjournal://{}/{SERVICE}", nodes.join(";"));
        hdfs.extend([
            text("dfs.nameservices", SERVICE),
            text(&format!("dfs.ha.namenodes.{SERVICE}"), "nn0,nn1"),
            text("dfs.namenode.shared.edits.dir", &edits),
            text("dfs.ha.fencing.methods", "shell(/bin/true)"),
            text(
                &format!("dfs.client.failover.proxy.provider.{SERVICE}"),
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
            ),
        ]);
        for (n, (rpc, http)) in ports.name.iter().enumerate() {
            let key = |part: &str| format!("dfs.namenode.{part}-address.{SERVICE}.nn{n}");
            hdfs.push((key("rpc"), at(*rpc)));
            hdfs.push((key("http"), at(*http)));
        }
    } else if let Some((rpc, http)) = ports.name.first() {
        hdfs.push(text("dfs.namenode.rpc-address", &at(*rpc)));
        hdfs.push(text("dfs.namenode.http-address", &at(*http)));
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("core-site.xml"),
        site(core.iter().map(|(k, v)| (*k, v))),
    )?;
    std::fs::write(
        folder.join("hdfs-site.xml"),
        site(hdfs.iter().map(|(k, v)| (k.as_str(), v))),
    )?;
    std::fs::write(folder.join("log4j.properties"), LOGGING)?;
    Ok(())
}

fn site<'a>(settings: impl Iterator<Item = (&'a str, &'a String)>) -> String {
    let properties = settings.map(|(name, value)| {
        format!("<property><name>{name}</name><value>{value}</value></property>\n")
    });
    format!(
        "<configuration>\n{}</configuration>\n",
        properties.collect::<String>()
    )
}

const LOGGING: &str = "log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
";
