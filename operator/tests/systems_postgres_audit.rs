//! Who read a table that names hires is told in the log of the real PostgreSQL, by the settings and the role that a Platform with
//! `spec.postgres.auditReads` has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_pod;

use std::fs;

use millrace_operator::postgres::{ValidatedPostgres, wanted};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::postgres::RemotePostgres;
use millrace_testkit::{left_out, postgres};
use postgres_pod::{Pod, cluster, valid};
use serde_json::json;

async fn make(pod: &Pod, postgres: &ValidatedPostgres) {
    let (login, wanted) = (pod.superuser(postgres), wanted(postgres, None));
    let remote = RemotePostgres::new(&login, &wanted);
    converge(&remote).await.unwrap();
    let failed = remote.failed();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn who_read_what_is_told() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    if !root.join("usr/lib/postgresql/15/lib/pgaudit.so").is_file() {
        left_out(
            "pgaudit",
            "the root file system of PostgreSQL is one without; `cargo xtask test` makes another",
        )
        .unwrap();
        return;
    }
    let reads = json!([{"database": "scores", "schemas": ["millrace"]}]);
    let spec = cluster(json!({
        "parameters": {"shared_preload_libraries": "pgaudit", "pgaudit.role": "audited", "log_line_prefix": "%m [%p] %q%u@%d %h "},
        "databases": [{"name": "scores", "owner": "score"}],
        "roles": [{"name": "score"}, {"name": "audited", "login": false, "readOnly": reads}, {"name": "ann", "readOnly": reads}],
    }));
    let first = valid(&spec, None);
    let mut pod = Pod::new(root, 59);
    pod.mount(&first);
    pod.start();
    pod.wait_until_ready();
    make(&pod, &first).await;
    let score = pod.session(&first, "score").await.unwrap();
    score
        .batch_execute(
            "CREATE SCHEMA millrace; CREATE TABLE millrace.hire_scores (hire text, score float8);
             INSERT INTO millrace.hire_scores VALUES ('pseudonym-1', 80);
             CREATE TABLE public.models (name text); GRANT SELECT ON public.models TO PUBLIC;
             CREATE VIEW public.best AS SELECT max(score) AS score FROM millrace.hire_scores; GRANT SELECT ON public.best TO PUBLIC",
        )
        .await
        .unwrap();
    make(&pod, &first).await;

    let ann = pod.session(&first, "ann").await.unwrap();
    let by_hire = "SELECT score FROM millrace.hire_scores WHERE hire = $1";
    let found = ann.query(by_hire, &[&"pseudonym-1"]).await.unwrap();
    assert_eq!(found.len(), 1);
    for elsewhere in ["SELECT name FROM public.models", "SELECT 1"] {
        ann.query(elsewhere, &[]).await.unwrap();
    }
    ann.query("SELECT score FROM public.best", &[])
        .await
        .unwrap();

    let log = fs::read_to_string(pod.pod.log()).unwrap();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("AUDIT: OBJECT") && line.contains(" ann@scores 127."))
        .collect();
    // The table itself, and by way of a view.
    let what = "READ,SELECT,TABLE,millrace.hire_scores,";
    let of_table: Vec<&&str> = told.iter().filter(|line| line.contains(what)).collect();
    assert_eq!(of_table.len(), 2, "{told:?}");
    assert!(of_table[0].contains(by_hire), "{told:?}");
    assert!(!log.contains("public.models,"), "{told:?}");
    // Neither what was asked for nor what came back.
    assert!(told.iter().all(|line| !line.contains("pseudonym-1")));
}
