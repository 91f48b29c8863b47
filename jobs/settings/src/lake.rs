//! Where the lake is: an address, or the binding of type `hdfs`.

use std::path::PathBuf;
use std::time::Duration;

use millrace_lake::storage::{Hdfs, HdfsSettings, Local, Place};

use crate::{Bindings, SettingsError};

/// The lake's root where the address has no path.
const ROOT: &str = "/millrace/lake";

/// Flags that say where the lake is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LakeArgs {
    /// The lake: hdfs://HOST:PORT/PATH, hdfs://NAMESERVICE/PATH or file:///PATH; else the binding of type hdfs
    #[arg(long, env = "MILLRACE_LAKE", value_name = "URI")]
    pub lake: Option<String>,
    /// Folder with core-site.xml and hdfs-site.xml; else that of the binding
    #[arg(long, env = "HADOOP_CONF_DIR", value_name = "DIR")]
    pub hadoop_conf_dir: Option<PathBuf>,
    /// The user that files belong to; else the binding's username
    #[arg(long, env = "HADOOP_USER_NAME", value_name = "NAME")]
    pub hdfs_user: Option<String>,
}

impl LakeArgs {
    /// Opens the lake.
    ///
    /// # Errors
    /// No address is given, or it cannot be used.
    pub fn open(
        &self,
        bindings: &Bindings,
        timeout: Option<Duration>,
        replication: Option<u32>,
    ) -> Result<Place, SettingsError> {
        let binding = bindings.of_type("hdfs");
        let of_binding = |key: &str| binding.and_then(|b| b.get(key)).filter(|v| !v.is_empty());
        let uri = match (&self.lake, of_binding("uri")) {
            (Some(uri), _) => uri.as_str(),
            (None, Some(uri)) => uri,
            (None, None) => {
                return Err(SettingsError::Missing {
                    name: "lake".to_owned(),
                    cure: "give --lake URI, MILLRACE_LAKE or a binding of type hdfs with the entry uri under \
                           SERVICE_BINDING_ROOT"
                        .to_owned(),
                });
            }
        };
        if let Some(path) = uri.strip_prefix("file://") {
            return Ok(Place::Local(Local::new(path)));
        }
        let unusable = |problem: String| SettingsError::Unusable {
            name: "lake".to_owned(),
            problem,
            cure: "write hdfs://HOST:PORT/PATH, hdfs://NAMESERVICE/PATH or file:///PATH".to_owned(),
        };
        let (address, root) =
            split(uri).ok_or_else(|| unusable(format!("{uri} is no address of a lake")))?;
        let in_binding = binding.filter(|b| b.folder().join("core-site.xml").exists());
        let config_dir = match (&self.hadoop_conf_dir, in_binding) {
            (Some(folder), _) => Some(folder.display().to_string()),
            (None, Some(binding)) => Some(binding.folder().display().to_string()),
            (None, None) => None,
        };
        let settings = HdfsSettings {
            address,
            root,
            config_dir,
            user: self
                .hdfs_user
                .clone()
                .or_else(|| of_binding("username").map(str::to_owned)),
            replication,
            timeout,
        };
        Hdfs::new(&settings)
            .map(Place::Hdfs)
            .map_err(|e| unusable(e.to_string()))
    }
}

// `hdfs://HOST:PORT/PATH` as address and path.
fn split(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("hdfs://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    let root = if path.is_empty() {
        ROOT.to_owned()
    } else {
        format!("/{path}")
    };
    (!host.is_empty()).then(|| (format!("hdfs://{host}"), root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parts = |uri| split(uri).unwrap();
        assert_eq!(
            parts("hdfs://nn:8020/a/b/"),
            ("hdfs://nn:8020".to_owned(), "/a/b".to_owned())
        );
        assert_eq!(
            parts("hdfs://ns"),
            ("hdfs://ns".to_owned(), ROOT.to_owned())
        );
        assert_eq!(split("hdfs:///x"), None);
        assert_eq!(split("s3://x"), None);
        let open = |uri: &str| {
            let args = LakeArgs {
                lake: Some(uri.to_owned()),
                ..LakeArgs::default()
            };
            args.open(&Bindings::default(), None, None)
        };
        assert!(matches!(open("file:///tmp/lake"), Ok(Place::Local(_))));
        assert!(
            open("ftp://x")
                .unwrap_err()
                .to_string()
                .contains("hdfs://HOST:PORT/PATH")
        );
        let missing = LakeArgs::default()
            .open(&Bindings::default(), None, None)
            .unwrap_err();
        assert!(missing.to_string().contains("--lake"), "{missing}");
    }
}
