//! The recorded answers of the real server, replayed: what is answered in another way is a row of the table in
//! `docs/openwhisk.md`, and a row without such a case is as wrong as a case without a row.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../common/mod.rs"]
mod common;
mod container;
mod differences;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{KEY, Program, can_isolate};
use differences::{Case, listed};
use serde_json::Value;

const PYTHON: &str = "/usr/bin/python3";

const SYSTEM_KEY: &str = "0f1e2d3c-0000-4000-8000-000000000002:0123456789abcdefghijklmnop";

/// The recordings, when this machine has them and what replays them.
fn golden() -> Option<PathBuf> {
    if !can_isolate() {
        return None;
    }
    let golden = millrace_testkit::golden_dir().filter(|_| Path::new(PYTHON).exists());
    if golden.is_none() {
        let why = "they or /usr/bin/python3 are not here";
        millrace_testkit::left_out("recorded OpenWhisk answers", why).unwrap();
    }
    golden
}

/// A server with the recordings' kinds and namespaces, and these throttles.
fn serve(data: &Path, golden: &Path, throttles: [&str; 3]) -> Program {
    let runtimes = golden.join("runtimes.json");
    let [invocations, fires, concurrent] = throttles;
    Program::start(
        data,
        &[
            "--runtimes",
            runtimes.to_str().unwrap(),
            "--subject",
            &format!("guest={KEY}"),
            "--subject",
            &format!("whisk.system={SYSTEM_KEY}"),
            "--invocations-per-minute",
            invocations,
            "--fires-per-minute",
            fires,
            "--concurrent-invocations",
            concurrent,
        ],
    )
}

/// Replays files in order; the cases that differ, with what differs.
fn replay(
    program: &Program,
    golden: &Path,
    files: &str,
    report: &Path,
) -> Vec<(Case, Vec<String>)> {
    let output = Command::new(PYTHON)
        .arg(golden.join("replay.py"))
        .args([&program.base, "--guest", KEY, "--system", SYSTEM_KEY])
        .args(["--only", files, "--json"])
        .arg(report)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    let report: Vec<Value> = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    report
        .iter()
        .map(|case| {
            let differences = case["differences"].as_array().unwrap();
            let case = Case {
                file: case["file"].as_str().unwrap().to_owned(),
                number: case["case"].as_u64().unwrap(),
            };
            let texts = differences
                .iter()
                .map(|text| text.as_str().unwrap().to_owned());
            (case, texts.collect())
        })
        .collect()
}

/// Fails on a difference that is not listed, and on a listed one that is none.
fn judge(files: &[&str], found: &[(Case, Vec<String>)]) {
    let listed: Vec<_> = listed()
        .into_iter()
        .filter(|row| files.iter().any(|file| row.case.file.starts_with(file)))
        .collect();
    let unlisted: Vec<_> = found
        .iter()
        .filter(|(case, differences)| {
            let row = listed.iter().find(|row| row.case == *case);
            let told = |text: &String| row.is_some_and(|row| text.starts_with(&row.place));
            !differences.iter().all(told)
        })
        .collect();
    let found: BTreeSet<&Case> = found.iter().map(|(case, _)| case).collect();
    let gone: Vec<_> = listed
        .iter()
        .filter(|row| !row.by_chance && !found.contains(&row.case))
        .collect();
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "differences that docs/openwhisk.md does not list: {unlisted:#?}\nlisted there, but none: {gone:#?}"
    );
}

#[test]
#[ignore = "systems tier"]
fn answers_as_the_real_server_did() {
    let Some(golden) = golden() else { return };
    let data = tempfile::tempdir().unwrap();
    let program = serve(&data.path().join("data"), &golden, ["6000", "6000", "30"]);
    let files = ["00", "01", "02", "03", "04", "05", "06", "07", "08"];
    let report = data.path().join("report.json");
    judge(
        &files,
        &replay(&program, &golden, &files.join(","), &report),
    );
}

#[test]
#[ignore = "systems tier"]
fn throttles_as_the_real_server_did() {
    let Some(golden) = golden() else { return };
    let data = tempfile::tempdir().unwrap();
    let program = serve(&data.path().join("data"), &golden, ["4", "2", "1"]);
    let mut found = replay(&program, &golden, "09", &data.path().join("report.json"));
    // Recorded once only, so that the transaction's id is not marked as one that changes.
    let by_chance = ["/body_json/code: ", "/headers/x-request-id: "];
    for (_, differences) in &mut found {
        differences.retain(|text| !by_chance.iter().any(|place| text.starts_with(place)));
    }
    found.retain(|(_, differences)| !differences.is_empty());
    judge(&["09"], &found);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn serves_an_action_as_the_real_proxy_did() {
    let Some(golden) = golden() else { return };
    let directory = tempfile::tempdir().unwrap();
    judge(&["10"], &container::replay(directory.path(), &golden).await);
}
