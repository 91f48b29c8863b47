//! Which datasets are gone through: all that lie in the lake, and those that are named.

use std::collections::BTreeMap;
use std::fmt;

use millrace_lake::layout::Layout;
use millrace_lake::storage::Entry;

/// Flags that name datasets.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// A dataset that is gone through beside those that lie in the lake: by name, or by address where it lies elsewhere; may be
    /// given several times
    #[arg(long, value_name = "NAME|URI", value_parser = dataset)]
    dataset: Vec<String>,
    /// The user of HDFS who may write a dataset, where that is not the owner of its directory; may be given several times
    #[arg(long, value_name = "DATASET=USER", value_parser = owner)]
    owner: Vec<(String, String)>,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dataset {
    /// The address of the lake that it lies in, where that is another one.
    pub lake: Option<String>,
    /// Its name.
    pub name: String,
    /// The user of HDFS who may write it, where that is known.
    pub owner: Option<String>,
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lake {
            Some(lake) => write!(f, "{lake}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Given {
    /// All of them, those of `found` in the lake of this address among them. Whom a flag names is the owner, else whom the
    /// directory belongs to.
    pub(super) fn all(&self, found: Vec<Entry>, lake: Option<&str>) -> Vec<Dataset> {
        let mut owners: BTreeMap<(Option<String>, String), Option<String>> = BTreeMap::new();
        for entry in found {
            owners.insert((None, entry.name), entry.owner);
        }
        for named in &self.dataset {
            owners.entry(parts(named, lake)).or_default();
        }
        for (named, user) in &self.owner {
            if let Some(owner) = owners.get_mut(&parts(named, lake)) {
                *owner = Some(user.clone());
            }
        }
        owners
            .into_iter()
            .map(|((lake, name), owner)| Dataset { lake, name, owner })
            .collect()
    }
}

/// The address of the lake and the name; no address where it is that of `lake`.
fn parts(named: &str, lake: Option<&str>) -> (Option<String>, String) {
    match named.rsplit_once('/') {
        None => (None, named.to_owned()),
        Some((address, name)) if lake == Some(address) => (None, name.to_owned()),
        Some((address, name)) => (Some(address.to_owned()), name.to_owned()),
    }
}

fn dataset(text: &str) -> Result<String, String> {
    let name = match text.split_once("://") {
        None => Some(text),
        // Between the host and the dataset there is the path of the lake.
        Some((_, rest)) => rest
            .split_once('/')
            .and_then(|(_, path)| path.rsplit_once('/'))
            .map(|(_, name)| name),
    };
    match name.map(Layout::new) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err(
            "is neither the name of a dataset nor its address; write telemetry or hdfs://HOST:PORT/PATH/telemetry"
                .to_owned(),
        ),
    }
}

fn owner(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((dataset, user)) if !dataset.is_empty() && !user.is_empty() => {
            Ok((dataset.to_owned(), user.to_owned()))
        }
        _ => Err("is not DATASET=USER; write for example telemetry=archive".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_or_addressed() {
        for good in ["telemetry", "hdfs://nn:8020/a/b/own", "file:///lake/own"] {
            assert_eq!(dataset(good).as_deref(), Ok(good));
        }
        for wrong in [
            "",
            "a/b",
            "_x",
            "hdfs://nn:8020/own",
            "hdfs://nn",
            "x://h/a/",
        ] {
            assert!(dataset(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_owner_needs_a_dataset_and_a_user() {
        assert_eq!(owner("a=b"), Ok(("a".to_owned(), "b".to_owned())));
        for wrong in ["telemetry", "=archive", "telemetry="] {
            assert!(
                owner(wrong).unwrap_err().contains("DATASET=USER"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_address_of_the_lake_itself_says_nothing_more() {
        let lake = Some("hdfs://nn/a");
        assert_eq!(parts("hdfs://nn/a/x", lake), (None, "x".to_owned()));
        assert_eq!(parts("x", lake), (None, "x".to_owned()));
        let elsewhere = (Some("hdfs://nn/b".to_owned()), "x".to_owned());
        assert_eq!(parts("hdfs://nn/b/x", lake), elsewhere);
    }
}
