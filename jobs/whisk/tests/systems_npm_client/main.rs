//! A tour of the API with OpenWhisk's own client for Node.js, as users of it would make it.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::{KEY, Program, can_isolate};
use millrace_testkit::{npm, repository_root};

/// A second namespace, which is not the owner of what the tour makes.
const GUEST_KEY: &str = "0f1e2d3c-0000-4000-8000-000000000003:0123456789abcdefghijklmnop";

/// The namespace whose web actions answer for the client's routes.
const SYSTEM_KEY: &str = "0f1e2d3c-0000-4000-8000-000000000002:0123456789abcdefghijklmnop";

#[test]
#[ignore = "systems tier"]
fn the_npm_client_makes_its_tour() {
    if !can_isolate() {
        return;
    }
    let place = repository_root().join("jobs/whisk/tests/systems_npm_client");
    let Some(modules) = npm(&place).unwrap() else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(
        &data.path().join("data"),
        &[
            "--subject",
            &format!("tour={KEY}"),
            "--subject",
            &format!("guest={GUEST_KEY}"),
            "--subject",
            &format!("whisk.system={SYSTEM_KEY}"),
        ],
    );
    let mut command = Command::new("node");
    // What an action or a shell of this machine may have set is not the tour's: keys, addresses, proxies.
    let foreign = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        name.starts_with("__ow_") || name.ends_with("proxy")
    });
    for (name, _) in foreign {
        command.env_remove(name);
    }
    let output = command
        .arg(place.join("tour.js"))
        .args([&program.base, KEY, GUEST_KEY, SYSTEM_KEY])
        .env("NODE_PATH", modules)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    eprintln!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "a step of the tour went wrong");
    // Each file of steps was gone through to its end.
    for part in ["actions", "packages", "triggers", "activations", "refusals"] {
        assert!(told.contains(&format!("{part}: done")), "{part}");
    }
}
