//! What goes wrong with HDFS, sorted by what to do about it, and told with the cure.

use std::time::Duration;

use hdfs_native::HdfsError;

use crate::storage::{StorageError, StorageKind};

pub(super) const TO_THE_TRASH: &str = "move to the trash";

// A user without rights is told what gives them: the NameNode names the folder that lacks them, not the one that is wanted.
pub(super) fn with_cure(root: &str, doing: &str, path: &str, problem: String) -> String {
    let Some((_, of_user)) = problem.split_once("Permission denied: user=") else {
        return problem;
    };
    let user = of_user.split([',', ' ']).next().unwrap_or_default();
    let closed = of_user.split_once("access=EXECUTE, inode=\"");
    if let Some((closed, _)) = closed.and_then(|(_, rest)| rest.split_once('"')) {
        return format!(
            "{problem}; the user {user} may not pass through {closed}: as HDFS's administrator, hdfs dfs -chmod o+x {closed}"
        );
    }
    let folder = if doing == TO_THE_TRASH {
        format!("/user/{user}")
    } else {
        let dataset = path.split('/').next().unwrap_or_default();
        format!("{root}/{dataset}")
    };
    format!(
        "{problem}; the user {user} may not write into {folder}: as HDFS's administrator, hdfs dfs -mkdir -p {folder} and hdfs dfs \
         -chown -R {user} {folder}; or name a user who may"
    )
}

// The client waits for ever for a DataNode that accepts and says nothing.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    path: &str,
    call: impl Future<Output = hdfs_native::Result<T>>,
) -> Result<T, StorageError> {
    match tokio::time::timeout(limit, call).await {
        Ok(done) => done.map_err(|e| failed(doing, path, &e)),
        Err(_) => Err(StorageError::new(
            StorageKind::Away,
            doing,
            path,
            format!("no answer within {} s", limit.as_secs()),
        )),
    }
}

fn failed(doing: &'static str, path: &str, error: &HdfsError) -> StorageError {
    // What comes after the first line is where it happened inside the NameNode.
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    StorageError::new(kind(error), doing, path, first)
}

fn kind(error: &HdfsError) -> StorageKind {
    match error {
        HdfsError::FileNotFound(_) => StorageKind::NotFound,
        HdfsError::AlreadyExists(_) => StorageKind::Exists,
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            kind_of_class(class, message)
        }
        HdfsError::InvalidPath(_)
        | HdfsError::InvalidArgument(_)
        | HdfsError::UrlParseError(_)
        | HdfsError::IsADirectoryError(_)
        | HdfsError::UnsupportedErasureCodingPolicy(_)
        | HdfsError::UnsupportedFeature(_)
        | HdfsError::NoSASLMechanism => StorageKind::Refused,
        // Connections, checksums, pipelines of DataNodes: a later try may find others.
        _ => StorageKind::Away,
    }
}

fn kind_of_class(class: &str, message: &str) -> StorageKind {
    let name = class.rsplit('.').next().unwrap_or(class);
    match name {
        "FileNotFoundException" => StorageKind::NotFound,
        "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => StorageKind::Exists,
        "AccessControlException"
        | "InvalidPathException"
        | "ParentNotDirectoryException"
        | "PathComponentTooLongException" => StorageKind::Refused,
        "DSQuotaExceededException"
        | "NSQuotaExceededException"
        | "QuotaByStorageTypeExceededException" => StorageKind::Full,
        // The NameNode places no block: the DataNodes are full or gone.
        "IOException" if message.contains("could only be written to") => StorageKind::Full,
        // Safe mode, fail-over, leases that are being recovered.
        _ => StorageKind::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_write_is_told_the_cure() {
        let denied = r#"org.apache.hadoop.security.AccessControlException: Permission denied: user=cars, access=WRITE, inode="/":hdfs:supergroup:drwxr-xr-x"#;
        let told = with_cure("/data", "create", "telemetry/_staging/x", denied.to_owned());
        assert!(
            told.ends_with(
                "the user cars may not write into /data/telemetry: as HDFS's administrator, hdfs dfs -mkdir -p /data/telemetry and \
                 hdfs dfs -chown -R cars /data/telemetry; or name a user who may"
            ),
            "{told}"
        );
        let told = with_cure("/data", TO_THE_TRASH, "telemetry/x", denied.to_owned());
        assert!(told.contains("-mkdir -p /user/cars and"), "{told}");
        let closed = denied.replace(r#"WRITE, inode="/""#, r#"EXECUTE, inode="/user""#);
        let told = with_cure("/data", TO_THE_TRASH, "telemetry/x", closed);
        assert!(told.ends_with("hdfs dfs -chmod o+x /user"), "{told}");
        assert_eq!(with_cure("/data", "create", "x", "away".to_owned()), "away");
    }

    #[test]
    fn what_the_namenode_says_is_sorted_by_what_to_do() {
        let rpc = |class: &str, message: &str| {
            kind(&HdfsError::RPCError(class.to_owned(), message.to_owned()))
        };
        assert_eq!(
            rpc("java.io.FileNotFoundException", ""),
            StorageKind::NotFound
        );
        assert_eq!(
            rpc("org.apache.hadoop.fs.FileAlreadyExistsException", ""),
            StorageKind::Exists
        );
        assert_eq!(
            rpc(
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                ""
            ),
            StorageKind::Away
        );
        assert_eq!(
            rpc(
                "java.io.IOException",
                "File /x could only be written to 0 of the 1 minReplication nodes."
            ),
            StorageKind::Full
        );
        let full = HdfsError::RPCError(
            "java.io.IOException".to_owned(),
            "File /x could only be written to 0 of the 1 nodes.\n\tat org.apache.X".to_owned(),
        );
        let told = failed("write", "x", &full);
        assert_eq!(told.kind, StorageKind::Full);
        assert!(told.problem.ends_with("nodes."), "{told}");
        assert_eq!(
            rpc("org.apache.hadoop.security.AccessControlException", ""),
            StorageKind::Refused
        );
    }
}
