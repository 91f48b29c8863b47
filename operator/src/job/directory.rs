//! The directory of a dataset, in an HdfsCluster: made for the job's user, who may write nowhere else.

use millrace_contract::Invalid;

use super::crd::Retention;
use super::lake::Lake;
use super::validate::ValidatedJob;
use crate::context::Context;
use crate::hdfs::crd::HdfsCluster;
use crate::hdfs::{SUPER_USER, name_node_addresses};
use crate::reconcile::Error;
use crate::remote::hdfs::directory::{Directory, DirectoryError, ensure as ensure_at};

/// Who reads the lake is another user.
const PERMISSION: &str = "755";
/// Where homes are.
const HOMES: &str = "/user";
/// What is in the trash is for its user alone.
const HOME_PERMISSION: &str = "700";

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
    let nodes = name_node_addresses(name, namespace, cluster.spec.name_nodes.replicas);
    for wanted in wanted(lake, &place.root, &place.user) {
        let done = match ensure_at(&nodes, &wanted).await {
            Ok(done) => done,
            Err(error) => return Ok(Some(refused(name, &wanted, &error))),
        };
        if !done.is_empty() {
            tracing::info!(
                path = wanted.path,
                owner = wanted.owner,
                ?done,
                job = job.owner.name,
                "directory made in HDFS"
            );
        }
    }
    Ok(None)
}

/// The dataset's, and the user's home where retired files go to the trash in it.
fn wanted(lake: &Lake, root: &str, user: &str) -> Vec<Directory> {
    let directory = |path, owner: &str, permission: &str| Directory {
        path,
        owner: owner.to_owned(),
        permission: permission.to_owned(),
    };
    let dataset = format!("{root}/{}", lake.dataset);
    let mut all = vec![directory(dataset, user, PERMISSION)];
    let retires = |retention: &Retention| retention.older_than.is_some() && !retention.skip_trash;
    if lake.retention.as_ref().is_some_and(retires) {
        // Operators before this one closed it for all when they made the first home.
        all.push(directory(HOMES.to_owned(), SUPER_USER, PERMISSION));
        let home = format!("{HOMES}/{user}");
        all.push(directory(home, user, HOME_PERMISSION));
    }
    all
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
    fn a_home_is_made_for_the_trash() {
        let paths = |lake: serde_json::Value| {
            let asked = serde_json::from_value(lake).unwrap();
            let lake = Lake::new(
                &asked,
                &millrace_contract::archive::ArchiveConfig::default(),
            );
            let all = wanted(&lake, "/l", "u").into_iter();
            all.map(|directory| directory.path).collect::<Vec<_>>()
        };
        let with = |skip: bool| {
            let retention =
                serde_json::json!({"schedule": "@daily", "olderThan": "90d", "skipTrash": skip});
            paths(serde_json::json!({"hdfs": "h", "retention": retention}))
        };
        assert_eq!(with(false), ["/l/telemetry", "/user", "/user/u"]);
        assert_eq!(with(true), ["/l/telemetry"]);
    }

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
