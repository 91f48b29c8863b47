//! PostgreSQL in a pod on a real node: it becomes available, a role gets in by its Secret and TLS, and by a new password
//! after that was asked for; what was written outlives the pod.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;

use std::time::Duration;

use cluster_support::{condition, get, wait};
use millrace_testkit::Platform;
use serde_json::json;

const NAME: &str = "sample-postgres";
const SAMPLE: &str = include_str!("../../manifests/samples/postgrescluster.yaml");
/// A node that is short of processors starts the pod late.
const LIMIT: Duration = Duration::from_secs(240);

fn remove(platform: &Platform) {
    for what in [
        format!("postgrescluster/{NAME}"),
        format!("pvc/data-{NAME}-0"),
    ] {
        let arguments = ["delete", "--ignore-not-found", "--timeout=60s", &what];
        platform.kubectl(&arguments).unwrap();
    }
}

/// What a role is answered, by its password.
fn sql(platform: &Platform, role: &str, password: &str, statement: &str) -> Result<String, String> {
    let said = platform.psql(NAME, (role, password), statement);
    let said = said.map_err(|error| error.to_string())?;
    Ok(said.trim().to_owned())
}

fn is_available(platform: &Platform) -> Option<()> {
    let object = get(platform, &["postgrescluster", NAME]);
    let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    let settled =
        condition(&object, "Available") == "True" && condition(&object, "Progressing") == "False";
    (observed && settled).then_some(())
}

#[test]
#[ignore = "cluster tier"]
fn a_role_gets_in_by_its_secret_and_what_it_wrote_outlives_the_pod() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    remove(&platform);
    platform.apply(SAMPLE).unwrap();
    wait("the server", LIMIT, || is_available(&platform));
    let password = |role: &str| platform.secret(&format!("{NAME}-{role}-binding"), "password");
    let score = password("score").unwrap();
    sql(
        &platform,
        "score",
        &score,
        "CREATE TABLE kept AS SELECT 7 AS value",
    )
    .unwrap();
    let ann = password("ann").unwrap();
    let read = "SELECT value FROM kept";
    assert_eq!(sql(&platform, "ann", &ann, read).as_deref(), Ok("7"));
    assert!(sql(&platform, "ann", &ann, "DELETE FROM kept").is_err());

    let asks = "millrace.dev/rotate-password=score:1";
    let cluster = format!("postgrescluster/{NAME}");
    platform.kubectl(&["annotate", &cluster, asks]).unwrap();
    let next = wait("the new password", LIMIT, || {
        password("score").ok().filter(|next| *next != score)
    });
    assert_eq!(sql(&platform, "score", &next, read).as_deref(), Ok("7"));
    assert!(sql(&platform, "score", &score, read).is_err());

    // A changed setting restarts the pod, and nothing is lost.
    let pod = || get(&platform, &["pod", &format!("{NAME}-0")])["metadata"]["uid"].clone();
    let before = pod();
    let patch = json!({"spec": {"parameters": {"work_mem": "5MB"}}}).to_string();
    let arguments = ["patch", &cluster, "--type", "merge", "-p", &patch];
    platform.kubectl(&arguments).unwrap();
    wait("the restarted server", LIMIT, || {
        (pod() != before).then(|| is_available(&platform)).flatten()
    });
    let shown = sql(
        &platform,
        "score",
        &next,
        "SHOW work_mem; SELECT value FROM kept",
    );
    assert_eq!(shown.as_deref(), Ok("5MB\n7"));
    remove(&platform);
}
