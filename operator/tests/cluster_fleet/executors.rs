//! Scores by executors: a BatchJob of its own with engine `ballista`, on the lake and in the tables of the platform's.

use serde_json::{Value, json};

use super::{LIMIT, NAMESPACE, PLATFORM, REFERENCE, Scene};
use crate::cluster_support::{condition, get, wait};

/// Its name, and that of its CronJob.
const NAME: &str = "days";
const EXECUTORS: u64 = 2;
/// Many more than executors, so that none can take them all before the other one asks.
const PARTS: u64 = 16;
/// What an executor logs when it has been given parts.
const GIVEN: &str = "Received task";
/// What the run logs of a day that it did not compute itself.
const COMPUTED: &str = "computed by executors";

fn wanted() -> Value {
    let few = json!({"memory": "384Mi", "cpu": "10m"});
    json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "BatchJob",
    "metadata": {"name": NAME, "namespace": NAMESPACE},
    "spec": {
        "job": "score",
        // The test begins its run.
        "schedule": "@yearly",
        "lake": {"hdfs": format!("{PLATFORM}-hdfs")},
        "postgresSecret": format!("{PLATFORM}-postgres-score-binding"),
        "config": {"fuelReference": {"*": REFERENCE}},
        "engine": "ballista",
        "ballista": {"executors": EXECUTORS, "parts": PARTS, "resources": few},
        "resources": few,
    }})
}

/// Empties the tables of scores and has them filled by executors, which read the lake; the run itself computes nothing. The job is
/// there until [`are_removed`].
pub fn score(scene: &Scene) {
    scene.platform.apply(&wanted().to_string()).unwrap();
    wait("scheduler and executors", LIMIT, || {
        let ready = |role: &str| {
            let deployment = format!("deployment/{NAME}-{role}");
            let deployment = get(&scene.platform, &[deployment.as_str()]);
            deployment["status"]["readyReplicas"].as_u64()
        };
        let there = ready("scheduler") == Some(1) && ready("executor") == Some(EXECUTORS);
        let job = get(&scene.platform, &["batchjob", NAME]);
        (there && condition(&job, "Available") == "True").then_some(())
    });
    let empty = "TRUNCATE millrace.score_runs, millrace.trip_scores, millrace.hire_scores, millrace.week_scores";
    scene.sql("score", empty).unwrap();
    scene.platform.run_now(NAME, LIMIT).unwrap();
    let trips = scene.sql("score", "SELECT count(*) FROM millrace.trip_scores");
    let trips: u64 = trips.unwrap().trim().parse().unwrap();
    let days = days(scene);
    let computed: u64 = days.iter().filter_map(|day| day["trips"].as_u64()).sum();
    assert_eq!(computed, trips, "{days:?}");
    for day in &days {
        assert_eq!(day["parts"], PARTS, "{day}");
    }
    let given = given(scene);
    let executors = usize::try_from(EXECUTORS).unwrap();
    assert_eq!(given.len(), executors, "{given:?}");
    assert!(given.iter().all(|(_, tasks)| *tasks > 0), "{given:?}");
}

/// The days that executors computed, as the run that succeeded has logged them.
fn days(scene: &Scene) -> Vec<Value> {
    let label = format!("batch.kubernetes.io/job-name={NAME}-now");
    let succeeded = "--field-selector=status.phase=Succeeded";
    let ask = ["get", "pods", "-l", &label, succeeded, "-o", "name"];
    let pods = scene.platform.kubectl(&ask).unwrap();
    let pod = pods.lines().next().unwrap();
    let log = scene.platform.kubectl(&["logs", pod]).unwrap();
    let lines = log.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let days: Vec<Value> = lines.filter(|line| line["message"] == COMPUTED).collect();
    assert!(!days.is_empty(), "{log}");
    days
}

/// The pods of executors, and how often each was given parts.
fn given(scene: &Scene) -> Vec<(String, usize)> {
    let label = format!("app.kubernetes.io/instance={NAME},millrace.dev/ballista-role=executor");
    let ask = ["get", "pods", "-l", &label, "-o", "name"];
    let pods = scene.platform.kubectl(&ask).unwrap();
    let given = pods.lines().map(|pod| {
        let log = scene.platform.kubectl(&["logs", pod]).unwrap();
        (pod.to_owned(), log.matches(GIVEN).count())
    });
    given.collect()
}

/// Deletes the job, and waits until nothing of it is left.
pub fn are_removed(scene: &Scene) {
    let delete = ["delete", "batchjob", NAME, "--timeout=600s"];
    scene.platform.kubectl(&delete).unwrap();
    let label = format!("app.kubernetes.io/instance={NAME}");
    let kinds = "deployments,services,cronjobs,configmaps,networkpolicies,pods";
    wait("the end of scheduler and executors", LIMIT, || {
        let left = get(&scene.platform, &[kinds, "-l", label.as_str()]);
        left["items"].as_array()?.is_empty().then_some(())
    });
}
