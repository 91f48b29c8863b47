//! Where archive writes: from what was asked for, and what the binding says, to an address and a directory. Pure.

use k8s_openapi::api::core::v1::{EnvVar, Secret};
use millrace_contract::Invalid;
use millrace_contract::archive::ArchiveConfig;

use super::crd::{Compaction, JobLake, Retention};
use crate::pods;
use crate::reconcile::secrets;
use crate::types::{FreeForm, PodResources, configuration};

/// The directory of datasets where nobody names another, as `millrace-stream` has it.
pub const ROOT: &str = "/millrace/lake";
/// Memory of a pod that compacts, where nobody says.
pub const MAINTENANCE_MEMORY: &str = "512Mi";

const MEBIBYTE: usize = 1024 * 1024;

/// The lake of a job.
#[derive(Clone, Debug)]
pub struct Lake {
    /// The HdfsCluster, where it is one of this namespace.
    pub hdfs: Option<String>,
    /// The Secret with the connection details.
    pub binding: String,
    /// The dataset: the directory under the root.
    pub dataset: String,
    /// When and how files are compacted.
    pub compaction: Option<Compaction>,
    /// When it is looked for hours that have grown old, and what becomes of them.
    pub retention: Option<Retention>,
    /// Memory and CPU of pods that do it.
    pub maintenance_resources: Option<PodResources>,
    /// Where it is, once the binding was read.
    pub place: Option<Place>,
    path: Option<String>,
    user: Option<String>,
}

/// Where a lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file system, `hdfs://HOST:PORT` or `hdfs://NAMESERVICE`.
    pub address: String,
    /// The directory of datasets.
    pub root: String,
    /// The user that files belong to.
    pub user: String,
}

impl Place {
    /// The root, with the address.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{}{}", self.address, self.root)
    }

    /// What tells a program where the lake is, and who it is.
    #[must_use]
    pub fn environment(&self) -> Vec<EnvVar> {
        vec![
            pods::env("MILLRACE_LAKE", self.uri()),
            pods::env("HADOOP_USER_NAME", self.user.clone()),
        ]
    }
}

impl Lake {
    /// What was asked for.
    #[must_use]
    pub fn new(asked: &JobLake, config: &ArchiveConfig) -> Self {
        let of_cluster = asked.hdfs.as_deref().map(crate::hdfs::binding_name);
        Self {
            hdfs: asked.hdfs.clone(),
            binding: of_cluster
                .or_else(|| asked.binding_secret.clone())
                .unwrap_or_default(),
            dataset: config.dataset().to_owned(),
            compaction: asked.compaction.clone(),
            retention: asked.retention.clone(),
            maintenance_resources: asked.maintenance_resources.clone(),
            place: None,
            path: asked.path.clone(),
            user: asked.user.clone(),
        }
    }

    /// Takes in what the binding says.
    ///
    /// # Errors
    /// It is not there, or does not lead to an HDFS.
    pub fn locate(&mut self, job: &str, secret: Option<&Secret>) -> Result<(), Invalid> {
        let (name, field) = match &self.hdfs {
            Some(hdfs) => (hdfs, "spec.lake.hdfs"),
            None => (&self.binding, "spec.lake.bindingSecret"),
        };
        let found = check(name, secret, field)?;
        self.place = Some(found.place(self.path.clone(), self.user.clone(), job));
        Ok(())
    }
}

/// What the binding of an HDFS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    address: String,
    path: Option<String>,
    username: Option<String>,
}

impl Found {
    /// The place that it leads to, where a path or a user is asked for with these; without any user with the job's name.
    #[must_use]
    pub fn place(self, path: Option<String>, user: Option<String>, job: &str) -> Place {
        Place {
            address: self.address,
            root: path.or(self.path).unwrap_or_else(|| ROOT.to_owned()),
            user: user.or(self.username).unwrap_or_else(|| job.to_owned()),
        }
    }
}

/// Checks that a Secret can be the binding of an HDFS; `field` is where it is named.
///
/// # Errors
/// Names the field, the Secret, what it lacks and the cure.
pub fn check(name: &str, secret: Option<&Secret>, field: &str) -> Result<Found, Invalid> {
    let refused = |problem: String, cure: &str| Err(Invalid::new(field, name, problem, cure));
    let Some(secret) = secret else {
        return refused(
            "its Secret with the connection details is not there".to_owned(),
            "make it with the keys type and uri, see to the HdfsCluster that makes it, or correct the name",
        );
    };
    let text = |key: &str| secrets::text(secret.data.as_ref(), key);
    // The job finds its files by the type.
    match text("type") {
        Some("hdfs") => {}
        Some(type_) => {
            return refused(
                format!("the Secret is of type {type_}"),
                "name one of type hdfs",
            );
        }
        None => {
            return refused("the Secret has no key type".to_owned(), "put hdfs into it");
        }
    }
    let Some(uri) = text("uri") else {
        return refused(
            "the Secret has no key uri".to_owned(),
            "put hdfs://HOST:PORT or hdfs://NAMESERVICE into it",
        );
    };
    let Some((address, path)) = split(uri) else {
        return refused(
            format!("{uri} is no address of an HDFS"),
            "write hdfs://HOST:PORT or hdfs://NAMESERVICE into the Secret's key uri",
        );
    };
    Ok(Found {
        address,
        path,
        username: text("username").map(str::to_owned),
    })
}

/// An address as the file system and the path in it, if there is one.
fn split(uri: &str) -> Option<(String, Option<String>)> {
    let rest = uri.strip_prefix("hdfs://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    let path = (!path.is_empty()).then(|| format!("/{path}"));
    (!host.is_empty()).then(|| (format!("hdfs://{host}"), path))
}

/// Reads the configuration of archive, which stands in this field, as the job will.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn config(config: &FreeForm, field: &str) -> Result<ArchiveConfig, Invalid> {
    let read: ArchiveConfig = configuration(config, (field, "archive", "docs/lake.md"))?;
    read.validate().map_err(|invalid| invalid.within(field))?;
    Ok(read)
}

/// Memory of a pod of archive: what its files and records may take, what the client of Kafka holds besides, two row groups
/// that are being written, and the program, with what HDFS has not confirmed: with a backlog behind it 391 MB were measured as
/// it comes (docs/measurements.md).
#[must_use]
pub fn memory(config: &ArchiveConfig) -> String {
    let bytes = config.memory_bytes + 2 * config.ahead_bytes + 2 * config.row_group_bytes;
    format!(
        "{}Mi",
        (256 + bytes.div_ceil(MEBIBYTE)).next_multiple_of(32)
    )
}

/// Seconds that a pod of archive has to end: its last commit, and leaving the group.
#[must_use]
pub fn grace_seconds(config: &ArchiveConfig) -> i64 {
    let drain = config.drain_timeout.0.as_secs().saturating_add(10);
    i64::try_from(drain).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    fn lake(asked: Value) -> Lake {
        let asked: JobLake = serde_json::from_value(asked).unwrap();
        Lake::new(&asked, &ArchiveConfig::default())
    }

    fn located(asked: Value, entries: &[(&str, &str)]) -> Result<Place, String> {
        let mut lake = lake(asked);
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), bytes(value)))
            .collect();
        let secret = Secret {
            data: Some(data),
            ..Secret::default()
        };
        lake.locate("j", Some(&secret)).map_err(|e| e.to_string())?;
        Ok(lake.place.unwrap())
    }

    #[test]
    fn a_lake_is_found_by_its_binding() {
        let ours = [("type", "hdfs"), ("uri", "hdfs://h-namenode-0.ns.svc:8020")];
        let place = located(json!({"hdfs": "h"}), &ours).unwrap();
        assert_eq!(place.uri(), "hdfs://h-namenode-0.ns.svc:8020/millrace/lake");
        assert_eq!(place.user, "j", "a user for each job");
        assert_eq!(lake(json!({"hdfs": "h"})).binding, "h-binding");
        let theirs = [
            ("type", "hdfs"),
            ("uri", "hdfs://ns/data/"),
            ("username", "cars"),
        ];
        let place = located(json!({"bindingSecret": "s"}), &theirs).unwrap();
        assert_eq!(
            (place.uri().as_str(), place.user.as_str()),
            ("hdfs://ns/data", "cars")
        );
        let asked = json!({"bindingSecret": "s", "path": "/a/b", "user": "u"});
        let place = located(asked, &theirs).unwrap();
        assert_eq!((place.root.as_str(), place.user.as_str()), ("/a/b", "u"));
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        for (entries, says) in [
            (
                &[("type", "kafka"), ("uri", "hdfs://h")][..],
                "of type kafka",
            ),
            (&[("type", "hdfs")], "no key uri"),
            (&[("uri", "hdfs://h")], "no key type"),
            (
                &[("type", "hdfs"), ("uri", "s3://bucket")],
                "s3://bucket is no address",
            ),
        ] {
            let told = located(json!({"bindingSecret": "s"}), entries).unwrap_err();
            assert!(told.starts_with("spec.lake.bindingSecret: s: "), "{told}");
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn the_configuration_is_read_as_the_job_reads_it() {
        let read = |value: Value| {
            let read = config(value.as_object().unwrap(), "spec.config");
            read.map_err(|e| e.to_string())
        };
        let good = read(json!({"drainTimeout": "45s", "memoryBytes": 256 * MEBIBYTE})).unwrap();
        assert_eq!(grace_seconds(&good), 55);
        assert_eq!(memory(&good), "576Mi");
        assert_eq!(memory(&ArchiveConfig::default()), "416Mi");
        let told = read(json!({"rolInterval": "5m"})).unwrap_err();
        assert!(
            told.starts_with("spec.config: ") && told.contains("rolInterval"),
            "{told}"
        );
        let told = read(json!({"rollBytes": 5})).unwrap_err();
        assert!(told.starts_with("spec.config.rollBytes: 5: "), "{told}");
    }
}
