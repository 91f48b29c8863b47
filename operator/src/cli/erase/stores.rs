//! Which stores of a platform a driver is erased of, what lies in them, and the pod that knows the way to them.

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::ValueEnum;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use millrace_contract::Invalid;

use super::work::bind;
use crate::job::crd::{Job, StreamJob};
use crate::platform::crd::{Platform, PlatformSpec};
use crate::{hdfs, job, mongo};

/// Batch jobs of a platform that know the way to its stores, by what the names of their CronJobs end in.
pub(super) const BATCH_JOBS: [&str; 2] = ["score", "analyse"];

/// A store of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Store {
    /// The lake
    Lake,
    /// PostgreSQL
    Postgres,
    /// MongoDB
    Mongodb,
}

impl Store {
    const ALL: [Self; 3] = [Self::Lake, Self::Postgres, Self::Mongodb];

    /// Its name in flags.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lake => "lake",
            Self::Postgres => "postgres",
            Self::Mongodb => "mongodb",
        }
    }

    /// The field of a Platform that brings it, and the parts of which one has to be there as well.
    fn fields(self) -> (&'static str, &'static str) {
        let batch = "spec.score or spec.analysts";
        match self {
            Self::Lake => ("spec.hdfs", batch),
            Self::Postgres => ("spec.postgres", batch),
            Self::Mongodb => ("spec.mongo", "spec.materialize"),
        }
    }

    fn is_in(self, platform: &PlatformSpec) -> bool {
        match self {
            Self::Lake => platform.hdfs.is_some(),
            Self::Postgres => platform.postgres.is_some(),
            Self::Mongodb => platform.mongo.is_some(),
        }
    }
}

/// The stores of a platform, and where a Job gets its way to them from.
pub(super) struct Stores {
    /// Those that a driver is erased of.
    pub wanted: Vec<Store>,
    /// The pod of the Job; none where there is nothing to erase.
    pub template: Option<PodTemplateSpec>,
    /// The StreamJobs that write into them.
    pub jobs: Vec<StreamJob>,
    /// What lies in them.
    pub content: Content,
}

/// What of the stores has to be told to the Job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Datasets of the lake: by address, by name where that is not known.
    pub datasets: BTreeSet<String>,
    /// The users of HDFS whom they belong to: nobody else can write there.
    pub owners: BTreeSet<(String, String)>,
    /// Databases of documents with those of what leads to persons; the binding's where none is named.
    pub databases: BTreeSet<String>,
}

impl Stores {
    /// The stores of a platform, but for those that somebody wants to see to otherwise.
    ///
    /// # Errors
    /// Kubernetes refuses, no pod knows the way to one of them, or the configuration of a job cannot be read.
    pub(super) async fn find(
        client: &Client,
        namespace: &str,
        platform: &Platform,
        without: &[Store],
    ) -> anyhow::Result<Self> {
        let name = platform.name_any();
        let wanted = wanted(&platform.spec, without);
        let batch = batch_template(client, namespace, &name).await?;
        let materialize = materialize_template(client, namespace, &name).await?;
        check(&wanted, batch.is_some(), materialize.is_some())?;
        let secret = mongo_secret(platform).filter(|_| wanted.contains(&Store::Mongodb));
        let template = match (batch, secret) {
            (Some(mut template), Some(secret)) => {
                bind(&mut template, &secret);
                Some(template)
            }
            (Some(template), None) => Some(template),
            (None, _) => materialize,
        };
        let jobs: Api<StreamJob> = Api::namespaced(client.clone(), namespace);
        let mut jobs = jobs.list(&ListParams::default()).await?.items;
        jobs.retain(|job| {
            let store = store_of(platform, job);
            store.is_some_and(|store| wanted.contains(&store))
        });
        Ok(Self {
            template: template.filter(|_| !wanted.is_empty()),
            content: content(&jobs)?,
            jobs,
            wanted,
        })
    }

    /// The stores that the Job has nothing to do with.
    pub(super) fn without(&self) -> Vec<Store> {
        let mut without = Store::ALL.to_vec();
        without.retain(|store| !self.wanted.contains(store));
        without
    }
}

fn wanted(platform: &PlatformSpec, without: &[Store]) -> Vec<Store> {
    let mut wanted = Store::ALL.to_vec();
    wanted.retain(|store| store.is_in(platform) && !without.contains(store));
    wanted
}

/// The names of the stores of a platform that somebody wants to be left alone.
pub(super) fn left_alone(
    platform: &PlatformSpec,
    without: &[Store],
) -> impl Iterator<Item = &'static str> {
    let stores = Store::ALL.into_iter();
    stores
        .filter(move |store| store.is_in(platform) && without.contains(store))
        .map(Store::as_str)
}

/// Refuses a store that no pod knows the way to: it would still lead to the driver when nobody can find it any more.
fn check(wanted: &[Store], has_batch: bool, has_materialize: bool) -> Result<(), Invalid> {
    for store in wanted {
        if has_batch || (has_materialize && *store == Store::Mongodb) {
            continue;
        }
        let (field, parts) = store.fields();
        let flag = store.as_str();
        return Err(Invalid::new(
            field,
            "(given)",
            format!("there is no {parts}, whose pods know the way to it"),
            format!(
                "add one, or give --without {flag} where it holds nothing of drivers, or was seen to by hand (docs/erasure.md)"
            ),
        ));
    }
    Ok(())
}

/// The pod of a batch job: with the way to lake and PostgreSQL.
async fn batch_template(
    client: &Client,
    namespace: &str,
    platform: &str,
) -> anyhow::Result<Option<PodTemplateSpec>> {
    let cron_jobs: Api<CronJob> = Api::namespaced(client.clone(), namespace);
    for part in BATCH_JOBS {
        let cron_job = cron_jobs.get_opt(&format!("{platform}-{part}")).await?;
        let template = cron_job.and_then(|cron_job| cron_job.spec?.job_template.spec);
        if let Some(spec) = template {
            return Ok(Some(spec.template));
        }
    }
    Ok(None)
}

/// The pod of materialize: with the way to MongoDB.
async fn materialize_template(
    client: &Client,
    namespace: &str,
    platform: &str,
) -> anyhow::Result<Option<PodTemplateSpec>> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let name = format!("{platform}-materialize");
    let materialize = deployments.get_opt(&name).await?;
    Ok(materialize.and_then(|materialize| Some(materialize.spec?.template)))
}

/// The store of the platform that a job writes into.
fn store_of(platform: &Platform, job: &StreamJob) -> Option<Store> {
    match job.spec.job {
        Job::Archive => {
            let lake = job.spec.lake.as_ref()?;
            let (cluster, secret) = match &platform.spec.hdfs.as_ref()?.external {
                Some(external) => (None, external.binding_secret.clone()),
                None => {
                    let cluster = format!("{}-hdfs", platform.name_any());
                    let secret = hdfs::binding_name(&cluster);
                    (Some(cluster), secret)
                }
            };
            let is_ours = (lake.hdfs.is_some() && lake.hdfs == cluster)
                || lake.binding_secret.as_ref() == Some(&secret);
            is_ours.then_some(Store::Lake)
        }
        Job::Materialize => {
            let secret = mongo_secret(platform)?;
            job.spec
                .bindings
                .contains(&secret)
                .then_some(Store::Mongodb)
        }
        Job::Gateway | Job::Detect => None,
    }
}

fn mongo_secret(platform: &Platform) -> Option<String> {
    let mongo = platform.spec.mongo.as_ref()?;
    Some(match &mongo.external {
        Some(external) => external.binding_secret.clone(),
        None => mongo::binding_name(&format!("{}-mongo", platform.name_any())),
    })
}

/// What these jobs write, and where.
fn content(jobs: &[StreamJob]) -> anyhow::Result<Content> {
    let mut content = Content::default();
    for job in jobs {
        let name = job.name_any();
        let told = || format!("StreamJob {name}");
        match job.spec.job {
            Job::Archive => {
                let config =
                    job::lake::config(&job.spec.config, "spec.config").with_context(told)?;
                let status = job.status.as_ref().and_then(|status| status.lake.as_ref());
                let Some(lake) = status else {
                    content.datasets.insert(config.dataset().to_owned());
                    continue;
                };
                content.datasets.insert(lake.uri.clone());
                let owner = (lake.uri.clone(), lake.user.clone());
                content.owners.insert(owner);
            }
            Job::Materialize => {
                let config = job::documents(&job.spec.config, "spec.config").with_context(told)?;
                let mut database = config.database.unwrap_or_default();
                if let Some(identity) = config.identity_database {
                    database = format!("{database}={identity}");
                }
                content.databases.insert(database);
            }
            Job::Gateway | Job::Detect => {}
        }
    }
    Ok(content)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A platform `p` of this spec.
    pub fn platform(spec: Value) -> Platform {
        let platform = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Platform",
            "metadata": {"name": "p", "namespace": "n"}, "spec": spec});
        serde_json::from_value(platform).unwrap()
    }

    /// A StreamJob of this name and spec; with a lake at this address where it is an archive that runs.
    pub fn stream_job(name: &str, spec: Value, lake: Option<&str>) -> StreamJob {
        let mut job = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob",
            "metadata": {"name": name, "namespace": "n"}, "spec": spec});
        if let Some(uri) = lake {
            job["status"] = json!({"lake": {"uri": uri, "user": name}});
        }
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_store_without_a_way_is_refused_unless_it_is_left_out() {
        let all = json!({"hdfs": {}, "postgres": {}, "mongo": {}});
        let all = platform(all).spec;
        let refused = |without: &[Store], batch, materialize| {
            let refused = check(&wanted(&all, without), batch, materialize);
            refused.err().map(|invalid| invalid.to_string())
        };
        assert_eq!(refused(&[], true, false), None);
        let told = refused(&[], false, true).unwrap();
        assert!(told.starts_with("spec.hdfs: "), "{told}");
        assert!(
            told.contains("spec.score or spec.analysts") && told.contains("--without lake"),
            "{told}"
        );
        let told = refused(&[Store::Lake], false, true).unwrap();
        assert!(told.starts_with("spec.postgres: "), "{told}");
        let by_hand = [Store::Lake, Store::Postgres];
        assert_eq!(refused(&by_hand, false, true), None);
        let told = refused(&by_hand, false, false).unwrap();
        assert!(
            told.starts_with("spec.mongo: ") && told.contains("spec.materialize"),
            "{told}"
        );
        assert_eq!(refused(&Store::ALL, false, false), None);
        assert!(wanted(&platform(json!({})).spec, &[]).is_empty());
        let left: Vec<&str> = left_alone(&all, &by_hand).collect();
        assert_eq!(left, ["lake", "postgres"]);
        let nothing = platform(json!({})).spec;
        assert_eq!(left_alone(&nothing, &by_hand).count(), 0);
    }

    #[test]
    fn jobs_are_those_that_write_into_the_platforms_stores() {
        let own = platform(json!({"hdfs": {}, "mongo": {}}));
        let external = |secret: &str| json!({"external": {"bindingSecret": secret}});
        let others = platform(json!({"hdfs": external("lake"), "mongo": external("store")}));
        let archive = |lake: Value| stream_job("a", json!({"job": "archive", "lake": lake}), None);
        let documents = |secret: &str| {
            stream_job(
                "m",
                json!({"job": "materialize", "bindings": [secret]}),
                None,
            )
        };
        for (job, of_own, of_others) in [
            (archive(json!({"hdfs": "p-hdfs"})), Some(Store::Lake), None),
            (
                archive(json!({"bindingSecret": "p-hdfs-binding"})),
                Some(Store::Lake),
                None,
            ),
            (archive(json!({"hdfs": "q-hdfs"})), None, None),
            (
                archive(json!({"bindingSecret": "lake"})),
                None,
                Some(Store::Lake),
            ),
            (documents("p-mongo-binding"), Some(Store::Mongodb), None),
            (documents("store"), None, Some(Store::Mongodb)),
            (stream_job("g", json!({"job": "gateway"}), None), None, None),
        ] {
            assert_eq!(store_of(&own, &job), of_own, "{:?}", job.spec);
            assert_eq!(store_of(&others, &job), of_others, "{:?}", job.spec);
        }
    }

    #[test]
    fn datasets_and_databases_are_those_of_the_jobs() {
        let lake = "hdfs://h-namenode-0.ns.svc:8020/millrace/lake";
        let fleet = format!("{lake}/fleet");
        let archive =
            |config: Value| json!({"job": "archive", "lake": {"hdfs": "p-hdfs"}, "config": config});
        let materialize = |config: Value| json!({"job": "materialize", "config": config});
        let jobs = [
            stream_job(
                "p-archive",
                archive(json!({"dataset": "fleet"})),
                Some(&fleet),
            ),
            // It has not run yet.
            stream_job("mine", archive(json!({"topic": "hire-scores"})), None),
            stream_job(
                "p-materialize",
                materialize(json!({"database": "fleet"})),
                None,
            ),
            stream_job(
                "more",
                materialize(json!({"identityDatabase": "persons"})),
                None,
            ),
        ];
        let found = content(&jobs).unwrap();
        let expected = [fleet.clone(), "hire-scores".to_owned()];
        assert_eq!(found.datasets, BTreeSet::from(expected));
        let owner = (fleet, "p-archive".to_owned());
        assert_eq!(found.owners, BTreeSet::from([owner]));
        let databases = ["=persons".to_owned(), "fleet".to_owned()];
        assert_eq!(found.databases, BTreeSet::from(databases));
        let plain = stream_job("p-materialize", materialize(json!({})), None);
        let plain = content(&[plain]).unwrap().databases;
        assert_eq!(plain, BTreeSet::from([String::new()]));
        let wrong = stream_job("x", materialize(json!({"databse": "fleet"})), None);
        let told = format!("{:#}", content(&[wrong]).unwrap_err());
        assert!(told.starts_with("StreamJob x: spec.config: "), "{told}");
    }
}
