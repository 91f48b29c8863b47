//! The files of servers and clients: settings, logging, start scripts, and what servers are told while they run. Pure.

mod scripts;
mod settings;
mod sites;

use std::collections::BTreeMap;

use super::decommission;
use super::roles::{Role, RoleKind};
use super::validate::{Founding, ValidatedHdfs};
use crate::reconcile::{approval, racks};

pub use scripts::{CEDED, FAIL_OVER_MEMORY, REFUSED};
use settings::name_node_ids;

/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";
/// What the names of the files begin with that are read while a server runs.
const LIVE: &str = approval::LIVE;
/// DataNodes that are to go, as a file of NameNodes.
pub(super) const EXCLUDES: &str = "live.excludes";

/// The files that a server reads at its start only: when one of them changes, it has to be restarted.
#[must_use]
pub fn fixed(hdfs: &ValidatedHdfs, role: &Role) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        (
            "core-site.xml".into(),
            sites::site(&settings::core(hdfs), &hdfs.core_site),
        ),
        (
            "hdfs-site.xml".into(),
            sites::site(&settings::hdfs(hdfs, role), &hdfs.hdfs_site),
        ),
        ("log4j.properties".into(), logging(role)),
        ("start.sh".into(), scripts::start(hdfs, role)),
    ]);
    if role.kind == RoleKind::NameNode {
        if hdfs.is_ha() {
            files.insert("zkfc.sh".into(), scripts::fail_over_controller());
            files.insert("cede.sh".into(), scripts::cede(hdfs));
        }
        if hdfs.racks.is_some() {
            files.insert("rack.sh".into(), scripts::rack_of_a_node(hdfs));
        }
    }
    files
}

/// What a server is told while it runs: none has to be restarted for it.
#[must_use]
pub fn live(hdfs: &ValidatedHdfs, role: &Role) -> BTreeMap<String, String> {
    let mut told: Vec<(&str, String)> = Vec::new();
    match role.kind {
        RoleKind::NameNode => {
            let founder = match hdfs.founding {
                Founding::Allowed => "0",
                Founding::Done => "none",
                Founding::Refused => "refused",
            };
            told.push(("founder", founder.to_owned()));
            told.push(("excludes", decommission::excludes(hdfs)));
        }
        RoleKind::DataNode => {
            if let Some(racks) = &hdfs.racks {
                told.push(("racks", racks::table(racks)));
            }
        }
        RoleKind::JournalNode => {}
    }
    told.into_iter()
        .map(|(name, text)| (format!("{LIVE}{name}"), text))
        .collect()
}

/// The files of clients.
#[must_use]
pub fn client(hdfs: &ValidatedHdfs) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "core-site.xml".into(),
            sites::site(&settings::client_core(hdfs), &hdfs.core_site),
        ),
        (
            "hdfs-site.xml".into(),
            sites::site(&settings::outside_hdfs(hdfs), &hdfs.hdfs_site),
        ),
    ])
}

fn logging(role: &Role) -> String {
    let audit = match role.kind {
        RoleKind::NameNode => AUDIT,
        RoleKind::JournalNode | RoleKind::DataNode => "",
    };
    format!("{LOGGING}{audit}")
}

/// Logging: warnings to standard error, so that the output of tools is their own.
const LOGGING: &str = "log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.ha.ZKFailoverController=INFO
log4j.logger.org.apache.hadoop.ha.ActiveStandbyElector=INFO
";
/// Who opens which file, and who changes what: a line for each in the log of the NameNode that is asked. Looks at names and
/// folders are not among them (`dfs.namenode.audit.log.debug.cmdlist`).
const AUDIT: &str =
    "log4j.logger.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=INFO,audit
log4j.additivity.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=false
log4j.appender.audit=org.apache.log4j.ConsoleAppender
log4j.appender.audit.target=System.err
log4j.appender.audit.layout=org.apache.log4j.PatternLayout
log4j.appender.audit.layout.ConversionPattern=%d{ISO8601} AUDIT %m%n
";

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{ha, valid};
    use super::*;

    #[test]
    fn name_nodes_alone_tell_who_reads() {
        let hdfs = valid(ha());
        let tells = |role: &Role| fixed(&hdfs, role)["log4j.properties"].contains("AUDIT");
        assert!(tells(&hdfs.name_nodes));
        assert!(!tells(&hdfs.data_nodes));
        assert!(!tells(hdfs.journal_nodes.as_ref().unwrap()));
    }
}
