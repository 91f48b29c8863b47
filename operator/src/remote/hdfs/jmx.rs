//! What a NameNode says of itself. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// What a NameNode does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It serves clients.
    Active,
    /// It follows the active one.
    Standby,
    /// Something in between.
    Other,
}

/// What a NameNode says of itself and of its file system. A standby knows the same, a moment later.
#[derive(Clone, Debug, PartialEq)]
pub struct NameNodeView {
    /// What it does.
    pub state: State,
    /// Why nothing can be written, if it is in safe mode.
    pub safe_mode: Option<String>,
    /// The id of the file system.
    pub cluster_id: String,
    /// Bytes of all volumes.
    pub capacity: i64,
    /// Bytes that are to be had.
    pub remaining: i64,
    /// Blocks with too few copies, and those that are being copied for it.
    pub under_replicated: i64,
    /// Blocks without any copy.
    pub missing: i64,
    /// DataNodes that are heard of, by host.
    pub data_nodes: BTreeMap<String, DataNodeView>,
    /// The hosts of DataNodes that are not heard of any more.
    pub dead: BTreeSet<String>,
    /// Bytes of its directory with the names and its part of the log, if it says so.
    pub names_bytes: Option<u64>,
    /// Whether a JournalNode takes no writes until the next segment of the log begins.
    pub journals_behind: bool,
}

/// A DataNode, as a NameNode sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataNodeView {
    /// Where it serves blocks, if the NameNode says it in a form that is understood.
    pub address: Option<SocketAddr>,
    /// Seconds since it was heard of.
    pub last_contact: i64,
    /// Bytes of all of its volumes, without those that are never written.
    pub capacity: u64,
    /// Bytes of them that are to be had.
    pub remaining: u64,
    /// Whether all of its blocks are elsewhere.
    pub decommissioned: bool,
    /// Blocks with too few copies elsewhere, while they are brought there.
    pub blocks_left: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Live {
    #[serde(default)]
    xferaddr: String,
    last_contact: i64,
    admin_state: String,
    #[serde(default)]
    capacity: u64,
    #[serde(default)]
    remaining: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Leaving {
    under_replicated_blocks: i64,
    #[serde(default)]
    under_replicate_in_open_files: i64,
}

/// Reads the answers for the beans NameNodeStatus, FSNamesystemState and NameNodeInfo, in any order.
pub(super) fn parse(answers: &[String]) -> Result<NameNodeView, String> {
    let mut all = Map::new();
    for answer in answers {
        let answer: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
        for bean in answer["beans"].as_array().into_iter().flatten() {
            all.extend(bean.as_object().cloned().unwrap_or_default());
        }
    }
    let text = |name: &str| {
        let value = all.get(name).and_then(Value::as_str);
        value.ok_or_else(|| format!("it has no {name}"))
    };
    let number = |name: &str| {
        let value = all.get(name).and_then(Value::as_i64);
        value.ok_or_else(|| format!("it has no {name}"))
    };
    let state = match text("State")? {
        "active" => State::Active,
        "standby" => State::Standby,
        _ => State::Other,
    };
    Ok(NameNodeView {
        state,
        safe_mode: Some(text("Safemode")?.to_owned()).filter(|told| !told.is_empty()),
        cluster_id: text("ClusterId")?.to_owned(),
        capacity: number("CapacityTotal")?,
        remaining: number("CapacityRemaining")?,
        under_replicated: number("UnderReplicatedBlocks")? + number("PendingReplicationBlocks")?,
        missing: number("NumberOfMissingBlocks")?,
        data_nodes: data_nodes(text("LiveNodes")?, text("DecomNodes")?)?,
        dead: dead(text("DeadNodes")?)?,
        names_bytes: all
            .get("NameDirSize")
            .and_then(Value::as_str)
            .and_then(names_bytes),
        // The journals are told in words only.
        journals_behind: text("NameJournalStatus")?.contains("will try to re-sync on next segment"),
    })
}

/// The largest of the directories.
fn names_bytes(sizes: &str) -> Option<u64> {
    let sizes: BTreeMap<String, u64> = serde_json::from_str(sizes).ok()?;
    sizes.into_values().max()
}

fn data_nodes(live: &str, leaving: &str) -> Result<BTreeMap<String, DataNodeView>, String> {
    let live: BTreeMap<String, Live> =
        serde_json::from_str(live).map_err(|error| format!("LiveNodes: {error}"))?;
    let leaving: BTreeMap<String, Leaving> =
        serde_json::from_str(leaving).map_err(|error| format!("DecomNodes: {error}"))?;
    let left = leaving.into_iter().map(|(name, node)| {
        let left = node
            .under_replicated_blocks
            .max(node.under_replicate_in_open_files);
        (host(&name), left)
    });
    let left: BTreeMap<String, i64> = left.collect();
    let nodes = live.into_iter().map(|(name, node)| {
        let host = host(&name);
        let view = DataNodeView {
            address: node.xferaddr.parse().ok(),
            last_contact: node.last_contact,
            capacity: node.capacity,
            remaining: node.remaining,
            decommissioned: node.admin_state == "Decommissioned",
            blocks_left: left.get(&host).copied(),
        };
        (host, view)
    });
    Ok(nodes.collect())
}

// Whether one is called decommissioned says nothing: HDFS does so at once, whatever lacks copies.
fn dead(nodes: &str) -> Result<BTreeSet<String>, String> {
    let nodes: BTreeMap<String, IgnoredAny> =
        serde_json::from_str(nodes).map_err(|error| format!("DeadNodes: {error}"))?;
    Ok(nodes.keys().map(|name| host(name)).collect())
}

/// Without the port.
fn host(name: &str) -> String {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // As Hadoop 3.4.3 answered, shortened.
    fn answers(admin_state: &str, safe_mode: &str, journal: &str) -> Vec<String> {
        let live = json!({"h-datanode-0.h-nodes.ns.svc:9866": {"infoAddr": "127.0.0.1:9864", "xferaddr": "127.0.0.1:9866", "lastContact": 2,
            "usedSpace": 24576, "adminState": admin_state, "capacity": 257_025_515_316_i64, "remaining": 17_031_811_072_i64, "numBlocks": 0,
            "version": "3.4.3", "volfails": 0, "lastBlockReport": 0}});
        let leaving = json!({"h-datanode-0.h-nodes.ns.svc:9866": {"xferaddr": "127.0.0.1:9866", "underReplicatedBlocks": 7,
            "decommissionOnlyReplicas": 0, "underReplicateInOpenFiles": 0, "decommissionDuration": 8041}});
        let journals = json!([{"manager": "QJM to [10.0.0.1:8485]", "required": "true", "disabled": "false",
            "stream": format!("Writing segment beginning at txid 5. \n10.0.0.1:8485 (Written txid 7{journal})")}]);
        let leaving = if admin_state == "In Service" {
            json!({})
        } else {
            leaving
        };
        let itself = json!({"beans": [{"name": "Hadoop:service=NameNode,name=NameNodeStatus", "State": "active"}]});
        let namesystem = json!({"beans": [{"name": "Hadoop:service=NameNode,name=FSNamesystemState",
            "UnderReplicatedBlocks": 3, "PendingReplicationBlocks": 2, "CapacityTotal": 257_025_515_316_i64,
            "CapacityRemaining": 17_031_811_072_i64}]});
        let info = json!({"beans": [{"name": "Hadoop:service=NameNode,name=NameNodeInfo", "ClusterId": "millrace-x",
            "NumberOfMissingBlocks": 1, "NameDirSize": "{\"/data/name\":1066210}",
            "Safemode": safe_mode, "LiveNodes": live.to_string(), "DeadNodes": json!({"h-datanode-9.h-nodes.ns.svc:9866": {"lastContact": 900, "decommissioned": true,
            "adminState": "Decommissioned"}}).to_string(),
            "DecomNodes": leaving.to_string(), "NameJournalStatus": journals.to_string()}]});
        [itself, namesystem, info]
            .map(|answer| answer.to_string())
            .into()
    }

    #[test]
    fn an_answer_is_read() {
        let view = parse(&answers("In Service", "", "")).unwrap();
        assert_eq!(view.state, State::Active);
        assert_eq!((view.missing, view.under_replicated), (1, 5));
        assert_eq!(view.dead, ["h-datanode-9.h-nodes.ns.svc".to_owned()].into());
        assert_eq!(view.safe_mode, None);
        assert!(!view.journals_behind);
        let node = &view.data_nodes["h-datanode-0.h-nodes.ns.svc"];
        assert_eq!((node.last_contact, node.decommissioned), (2, false));
        assert_eq!(node.address, "127.0.0.1:9866".parse().ok());
        assert_eq!(node.blocks_left, None);
        assert_eq!(
            (node.capacity, node.remaining),
            (257_025_515_316, 17_031_811_072)
        );
        assert_eq!(view.names_bytes, Some(1_066_210));
    }

    #[test]
    fn nodes_that_leave_and_journals_that_are_behind_are_seen() {
        let behind = " (2 txns/10ms behind) (will try to re-sync on next segment)";
        let view = parse(&answers(
            "Decommission In Progress",
            "Safe mode is ON.",
            behind,
        ))
        .unwrap();
        assert!(view.journals_behind && view.safe_mode.is_some());
        let node = &view.data_nodes["h-datanode-0.h-nodes.ns.svc"];
        assert_eq!(node.blocks_left, Some(7));
        let done = parse(&answers("Decommissioned", "", "")).unwrap();
        assert!(done.data_nodes.values().all(|node| node.decommissioned));
    }

    #[test]
    fn what_is_no_answer_of_a_name_node_is_told() {
        assert!(parse(&["<html>".into()]).is_err());
        let told = parse(&["{\"beans\": []}".into()]).unwrap_err();
        assert_eq!(told, "it has no State");
    }
}
