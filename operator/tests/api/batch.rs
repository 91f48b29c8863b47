//! BatchJob: what is told of a run that failed, and executors.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::PostParams;
use millrace_operator::batch::BatchJobs;
use millrace_operator::batch::crd::BatchJob;
use serde_json::json;

use crate::archive::secret;
use crate::support::Scene;

async fn bindings(scene: &Scene) {
    let lake = json!({"type": "hdfs", "uri": "hdfs://ns/data", "username": "cars"});
    secret(scene, "theirs", lake).await;
    let database = json!({"type": "postgresql", "host": "db", "username": "score", "password": "x", "database": "scores"});
    secret(scene, "db", database).await;
}

pub async fn executors_come_and_go_with_the_engine(scene: &Scene) {
    bindings(scene).await;
    let spec = |engine: &str| {
        json!({"job": "score", "schedule": "20 2 * * *", "lake": {"bindingSecret": "theirs"},
        "postgresSecret": "db", "engine": engine})
    };
    let there = || async {
        [
            scene.exists::<Service>("b-ballista").await,
            scene.exists::<Deployment>("b-scheduler").await,
            scene.exists::<Deployment>("b-executor").await,
            scene.exists::<NetworkPolicy>("b-ballista").await,
        ]
    };
    assert!(scene.make::<BatchJobs>("b", spec("ballista")).await);
    assert_eq!(there().await, [true; 4]);
    // Nobody runs pods here.
    let told = scene.condition::<BatchJob>("b", "Available").await;
    assert_eq!(told.1, "ExecutorsNotReady", "{told:?}");
    let ready =
        json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2});
    scene.set_status::<Deployment>("b-executor", ready).await;
    assert!(scene.look::<BatchJobs>("b").await);
    let told = scene.condition::<BatchJob>("b", "Available").await;
    assert_eq!(told.1, "Scheduled", "{told:?}");
    let writes = scene.writes();
    assert!(scene.look::<BatchJobs>("b").await);
    assert_eq!(scene.writes(), writes, "nothing is left to do");

    assert!(scene.make::<BatchJobs>("b", spec("local")).await);
    assert_eq!(there().await, [false; 4]);
    assert!(scene.exists::<CronJob>("b").await);
}

pub async fn a_run_that_failed_says_why(scene: &Scene) {
    bindings(scene).await;
    let spec = json!({"job": "score", "schedule": "20 2 * * *", "lake": {"bindingSecret": "theirs"}, "postgresSecret": "db"});
    assert!(scene.make::<BatchJobs>("b", spec).await);

    // As the controller of Kubernetes and the kubelet leave a run behind.
    let cron_job = scene.api::<CronJob>().get("b").await.unwrap();
    let template = cron_job.spec.unwrap().job_template.spec.unwrap().template;
    let labels = template.metadata.unwrap().labels;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "b-1-x", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "score", "image": "i"}]},
    }))
    .unwrap();
    let pods = scene.api::<Pod>();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let said = "a line of the log\nmillrace-batch: there is no room\n";
    let ended = json!({"name": "score", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "message": said}}});
    let failed = json!({"phase": "Failed", "containerStatuses": [ended]});
    scene.set_status::<Pod>("b-1-x", failed).await;
    let run = |began: &str| json!({"lastScheduleTime": began});
    scene
        .set_status::<CronJob>("b", run("2020-01-01T02:20:00Z"))
        .await;
    assert!(scene.look::<BatchJobs>("b").await);
    let (status, reason, told) = scene.condition::<BatchJob>("b", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RunFailed"));
    assert!(
        told.ends_with(": millrace-batch: there is no room"),
        "{told}"
    );
    let writes = scene.writes();
    assert!(scene.look::<BatchJobs>("b").await);
    assert_eq!(scene.writes(), writes, "nothing is left to do");

    // A later run of which no pod is left: that of the former says nothing about it.
    scene
        .set_status::<CronJob>("b", run("2099-01-01T02:20:00Z"))
        .await;
    assert!(scene.look::<BatchJobs>("b").await);
    let (_, _, told) = scene.condition::<BatchJob>("b", "Degraded").await;
    assert!(!told.contains("there is no room"), "{told}");

    let good = json!({"lastSuccessfulTime": "2099-01-01T02:21:00Z"});
    scene.set_status::<CronJob>("b", good).await;
    assert!(scene.look::<BatchJobs>("b").await);
    let (status, _, told) = scene.condition::<BatchJob>("b", "Degraded").await;
    assert_eq!(status, "False", "{told}");
}
