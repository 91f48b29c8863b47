//! Scores of a platform's drivers. Pure.

use super::gateway::{gateway_secret_name, gateway_url};
use super::{meta, part};
use crate::batch::crd::{Batch, BatchJob, BatchJobSpec, BatchLake, BatchReport, Engine};
use crate::platform::crd::{PlatformHdfs, PlatformPostgres, PlatformScore};
use crate::platform::validate::ValidatedPlatform;
use crate::postgres::role_binding_name;
use crate::types::{KeyRef, Operation};

use super::postgres::SCORE;

pub(super) fn job(
    platform: &ValidatedPlatform,
    hdfs: &PlatformHdfs,
    postgres: &PlatformPostgres,
    wanted: &PlatformScore,
) -> BatchJob {
    let external = |external: &crate::platform::crd::External| external.binding_secret.clone();
    let lake_secret = hdfs.external.as_ref().map(external);
    let path = platform.archive.as_ref();
    let own = role_binding_name(&part(platform, "postgres"), SCORE);
    let zone = wanted.config.get("zone").and_then(|zone| zone.as_str());
    let zone = wanted.time_zone.as_deref().or(zone).unwrap_or("Etc/UTC");
    BatchJob {
        metadata: meta(platform, "score"),
        spec: BatchJobSpec {
            job: Batch::Score,
            schedule: wanted.schedule.clone(),
            time_zone: zone.to_owned(),
            lake: BatchLake {
                hdfs: lake_secret.is_none().then(|| part(platform, "hdfs")),
                binding_secret: lake_secret,
                path: path.and_then(|archive| archive.asked.path.clone()),
            },
            postgres_secret: postgres.external.as_ref().map_or(own, external),
            // Whoever makes offers wants to hear of scores.
            report: platform.offers.as_ref().map(|_| BatchReport {
                gateway_url: gateway_url(platform),
                token_secret_ref: KeyRef {
                    name: gateway_secret_name(&platform.owner.name),
                    key: "events-token".into(),
                },
            }),
            catch_up_days: wanted.catch_up_days,
            config: wanted.config.clone(),
            engine: Engine::Local,
            ballista: None,
            retries: 2,
            longest_minutes: 360,
            history: 2,
            image: wanted.image.clone(),
            resources: wanted.resources.clone(),
            operation: Operation::default(),
            paused: false,
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use serde_json::{Value, json};

    fn made(hdfs: Value, postgres: Value) -> BatchJobSpec {
        let spec = json!({"kafka": {}, "hdfs": hdfs, "archive": {"path": "/cars"}, "postgres": postgres,
            "score": {"config": {"zone": "Europe/Vienna"}}});
        let (resources, _) = build(&validate(&platform(spec), live(None)).unwrap()).unwrap();
        resources.get::<BatchJob>("p-score").unwrap().spec
    }

    #[test]
    fn scores_go_from_the_platforms_lake_to_its_postgres() {
        let spec = made(json!({}), json!({}));
        assert_eq!(spec.lake.hdfs.as_deref(), Some("p-hdfs"));
        assert_eq!(spec.lake.path.as_deref(), Some("/cars"));
        assert_eq!(spec.postgres_secret, "p-postgres-score-binding");
        assert_eq!(spec.time_zone, "Europe/Vienna");
    }

    #[test]
    fn or_from_and_to_those_of_somebody_else() {
        let external = |secret: &str| json!({"external": {"bindingSecret": secret}});
        let spec = made(external("lake"), external("store"));
        assert_eq!(
            (spec.lake.hdfs, spec.lake.binding_secret.as_deref()),
            (None, Some("lake"))
        );
        assert_eq!(spec.postgres_secret, "store");
    }
}
