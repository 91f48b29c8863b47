//! The directory of a dataset, in an HdfsCluster: made for the job's user, who may write nowhere else.

use millrace_contract::Invalid;

use super::lake::Lake;
use super::validate::ValidatedJob;
use crate::context::Context;
use crate::hdfs::crd::HdfsCluster;
use crate::hdfs::name_node_addresses;
use crate::reconcile::Error;
use crate::remote::hdfs::directory::{Directory, DirectoryError, ensure as ensure_at};

/// Who reads the lake is another user.
const PERMISSION: &str = "755";

/// Makes the directory, where the lake is in an HdfsCluster. Gives why it is not as it is to be, if it is not.
///
/// # Errors
/// Kubernetes could not be asked.
pub(super) async fn ensure(
    context: &Context,
    job: &ValidatedJob,
) -> Result<Option<Invalid>, Error> {
    let Some(lake) = &job.lake else {
        return Ok(None);
    };
    let (Some(name), Some(place)) = (&lake.hdfs, &lake.place) else {
        return Ok(None);
    };
    if job.operation.stopped {
        return Ok(None);
    }
    let namespace = &job.owner.namespace;
    let cluster = context
        .namespaced::<HdfsCluster>(namespace)
        .get_opt(name)
        .await
        .map_err(Error::doing("reading the HdfsCluster"))?;
    let Some(cluster) = cluster else {
        return Ok(Some(Invalid::new(
            "spec.lake.hdfs",
            name,
            "there is no HdfsCluster of that name in this namespace",
            "make it, correct the name, or name the Secret in lake.bindingSecret where it is somebody else's",
        )));
    };
    if !cluster
        .status
        .as_ref()
        .is_some_and(|status| status.formatted)
    {
        return Ok(Some(Invalid::new(
            "spec.lake.hdfs",
            name,
            "no NameNode of it has worked yet",
            format!("see kubectl describe hdfscluster {name}"),
        )));
    }
    let wanted = wanted(lake, &place.root, &place.user);
    let nodes = name_node_addresses(name, namespace, cluster.spec.name_nodes.replicas);
    match ensure_at(&nodes, &wanted).await {
        Ok(done) => {
            if !done.is_empty() {
                tracing::info!(
                    path = wanted.path,
                    owner = wanted.owner,
                    ?done,
                    job = job.owner.name,
                    "directory made in HDFS"
                );
            }
            Ok(None)
        }
        Err(error) => Ok(Some(refused(name, &wanted, &error))),
    }
}

fn wanted(lake: &Lake, root: &str, user: &str) -> Directory {
    Directory {
        path: format!("{root}/{}", lake.dataset),
        owner: user.to_owned(),
        permission: PERMISSION.to_owned(),
    }
}

fn refused(name: &str, wanted: &Directory, error: &DirectoryError) -> Invalid {
    let (path, owner) = (&wanted.path, &wanted.owner);
    match error {
        DirectoryError::Away(_) => Invalid::new(
            "spec.lake.hdfs",
            name,
            format!("the directory {path} could not be looked at: {error}"),
            format!("see kubectl describe hdfscluster {name}"),
        ),
        DirectoryError::Taken { .. } => Invalid::new(
            "spec.lake.user",
            owner,
            error.to_string(),
            format!(
                "name its owner in lake.user, give the job another dataset, or change its owner: hdfs dfs -chown -R {owner} {path}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_with_the_cure() {
        let wanted = Directory {
            path: "/millrace/lake/telemetry".into(),
            owner: "a".into(),
            permission: PERMISSION.into(),
        };
        let taken = DirectoryError::Taken {
            path: wanted.path.clone(),
            problem: "belongs to b".into(),
        };
        let told = refused("h", &wanted, &taken).to_string();
        assert!(
            told.starts_with("spec.lake.user: a: /millrace/lake/telemetry: belongs to b; "),
            "{told}"
        );
        assert!(
            told.contains("chown -R a /millrace/lake/telemetry"),
            "{told}"
        );
        let away = DirectoryError::Away("h-namenode-0.ns.svc:9870: refused".into());
        let told = refused("h", &wanted, &away).to_string();
        assert!(
            told.starts_with("spec.lake.hdfs: h: ") && told.ends_with("describe hdfscluster h"),
            "{told}"
        );
    }
}
