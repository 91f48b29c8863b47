//! PostgreSQL in a pod on a real node: it becomes available, a role gets in by its Secret and TLS, and by a new password
//! after that was asked for; what was written outlives the pod.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use base64::Engine as _;
use millrace_testkit::Platform;
use serde_json::{Value, json};

const NAME: &str = "sample-postgres";
const SAMPLE: &str = include_str!("../../manifests/samples/postgrescluster.yaml");
/// A node that is short of processors starts the pod late.
const LIMIT: Duration = Duration::from_secs(240);

fn get(platform: &Platform, what: &str) -> Value {
    let text = platform.kubectl(&["get", "-o", "json", what]);
    serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("{what} did not come within {} s", LIMIT.as_secs());
}

fn remove(platform: &Platform) {
    for what in [
        format!("postgrescluster/{NAME}"),
        format!("pvc/data-{NAME}-0"),
    ] {
        let arguments = ["delete", "--ignore-not-found", "--timeout=60s", &what];
        platform.kubectl(&arguments).unwrap();
    }
}

/// A role's way in.
struct Binding {
    password: String,
    host: String,
}

fn binding(platform: &Platform, role: &str) -> Option<Binding> {
    let secret = get(platform, &format!("secret/{NAME}-{role}-binding"));
    let entry = |key: &str| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][key].as_str()?)
            .ok()?;
        String::from_utf8(bytes).ok()
    };
    Some(Binding {
        password: entry("password")?,
        host: entry("host")?,
    })
}

/// Runs a statement by the name of the Service and with the certificate looked at, inside the pod: no policy lets it out to itself.
fn sql(
    platform: &Platform,
    role: &str,
    binding: &Binding,
    statement: &str,
) -> Result<String, String> {
    let connect = format!(
        "host={} hostaddr=127.0.0.1 user={role} dbname=scores sslmode=verify-full sslrootcert=/etc/millrace-certificate/ca.crt connect_timeout=5",
        binding.host
    );
    let password = format!("PGPASSWORD={}", binding.password);
    let pod = format!("{NAME}-0");
    let arguments = [
        "exec", &pod, "--", "env", &password, "psql", &connect, "-Atc", statement,
    ];
    let said = platform.kubectl(&arguments).map_err(|e| e.to_string())?;
    Ok(said.trim().to_owned())
}

fn is_available(platform: &Platform) -> Option<()> {
    let object = get(platform, &format!("postgrescluster/{NAME}"));
    let is = |type_: &str, status: &str| {
        let conditions = object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["type"] == type_ && condition["status"] == status)
    };
    let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
    (observed && is("Available", "True") && is("Progressing", "False")).then_some(())
}

#[test]
#[ignore = "cluster tier"]
fn a_role_gets_in_by_its_secret_and_what_it_wrote_outlives_the_pod() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    remove(&platform);
    platform.apply(SAMPLE).unwrap();
    wait("the server", || is_available(&platform));
    let score = binding(&platform, "score").unwrap();
    sql(
        &platform,
        "score",
        &score,
        "CREATE TABLE kept AS SELECT 7 AS value",
    )
    .unwrap();
    let ann = binding(&platform, "ann").unwrap();
    let read = "SELECT value FROM kept";
    assert_eq!(sql(&platform, "ann", &ann, read).as_deref(), Ok("7"));
    assert!(sql(&platform, "ann", &ann, "DELETE FROM kept").is_err());

    let asks = "millrace.dev/rotate-password=score:1";
    let cluster = format!("postgrescluster/{NAME}");
    platform.kubectl(&["annotate", &cluster, asks]).unwrap();
    let next = wait("the new password", || {
        binding(&platform, "score").filter(|next| next.password != score.password)
    });
    assert_eq!(sql(&platform, "score", &next, read).as_deref(), Ok("7"));
    assert!(sql(&platform, "score", &score, read).is_err());

    // A changed setting restarts the pod, and nothing is lost.
    let pod = || get(&platform, &format!("pod/{NAME}-0"))["metadata"]["uid"].clone();
    let before = pod();
    let patch = json!({"spec": {"parameters": {"work_mem": "5MB"}}}).to_string();
    let arguments = ["patch", &cluster, "--type", "merge", "-p", &patch];
    platform.kubectl(&arguments).unwrap();
    wait("the restarted server", || {
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
