//! Connection details for clients.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::super::validate::ValidatedHdfs;
use super::super::{COMPONENT, NAME_NODE_PORT, binding_name, files};
use crate::pods;

/// What clients are given: addresses, and the two files that every client of HDFS reads.
pub(super) fn binding(hdfs: &ValidatedHdfs) -> Secret {
    let nodes = hdfs.nodes(&hdfs.name_nodes);
    let hosts: Vec<&str> = nodes.iter().map(|node| node.host.as_str()).collect();
    let addresses: Vec<String> = hosts
        .iter()
        .map(|host| format!("{host}:{NAME_NODE_PORT}"))
        .collect();
    let mut data = pods::secret_data([
        ("type", "hdfs".to_owned()),
        ("provider", "millrace".to_owned()),
        (
            "host",
            hosts.first().map(|h| (*h).to_owned()).unwrap_or_default(),
        ),
        ("port", NAME_NODE_PORT.to_string()),
        ("uri", hdfs.uri()),
        ("name-nodes", addresses.join(",")),
    ]);
    let sites = files::client(hdfs).into_iter();
    data.extend(sites.map(|(name, text)| (name, ByteString(text.into_bytes()))));
    Secret {
        metadata: hdfs.owner.meta(binding_name(&hdfs.owner.name), COMPONENT),
        type_: Some("servicebinding.io/hdfs".into()),
        data: Some(data),
        ..Secret::default()
    }
}
