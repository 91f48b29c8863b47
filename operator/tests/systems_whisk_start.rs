//! The script that starts the servers of Apache OpenWhisk, with the key store of a real Java and a stand-in for the image's own
//! script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod https_support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use https_support::Certificate;

const SCRIPT: &str = include_str!("../src/openwhisk/apache/start.sh");
/// Tells what it was called with.
const INIT: &str =
    "#!/bin/bash\necho \"arguments: $*\"\necho \"java: ${JAVA_OPTS:-}\"\necho \"home: $HOME\"\n";

/// Runs it in a directory of its own in the place of the root; gives what the image's script was told.
fn run(root: &Path, role: &str) -> String {
    let at = |path: &str| root.join(path).display().to_string();
    let script = SCRIPT
        .replace("/tmp", &at("tmp"))
        .replace("/trust/", &format!("{}/", at("trust")))
        .replace("/init.sh", &at("init.sh"));
    for directory in ["tmp", "trust"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::write(root.join("init.sh"), INIT).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("init.sh"), executable).unwrap();
    std::fs::write(root.join("start.sh"), script).unwrap();
    let output = Command::new("bash")
        .args([&at("start.sh"), role])
        .env("JAVA_OPTS", "-Xmx384m")
        .env("HOSTNAME", "w-invoker-12")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "systems tier"]
fn a_server_is_started_as_its_image_wants_it() {
    let root = tempfile::tempdir().unwrap();
    let told = run(root.path(), "controller");
    assert!(told.contains("arguments: 0\n"), "{told}");
    // Nothing to trust is no key store.
    assert!(told.contains("java: -Xmx384m\n"), "{told}");
    assert!(
        told.contains(&format!("home: {}\n", root.path().join("tmp").display())),
        "{told}"
    );
    let told = run(root.path(), "invoker");
    assert!(told.contains("arguments: --id 12\n"), "{told}");
}

#[test]
#[ignore = "systems tier"]
fn java_trusts_every_authority_that_is_given() {
    let root = tempfile::tempdir().unwrap();
    let trust = root.path().join("trust");
    std::fs::create_dir_all(&trust).unwrap();
    // Two while one takes over from the other, with words around them, and no line end at the last.
    let kafka = format!(
        "old\n{}new\n{}",
        Certificate::new().pem,
        Certificate::new().pem
    );
    std::fs::write(trust.join("kafka.crt"), kafka).unwrap();
    std::fs::write(trust.join("mongo.crt"), Certificate::new().pem.trim_end()).unwrap();
    // A server that comes anew in its container finds what it left.
    for _ in 0..2 {
        let told = run(root.path(), "controller");
        let store = root.path().join("tmp/trust.p12");
        assert!(
            told.contains(&format!("-Djavax.net.ssl.trustStore={}", store.display())),
            "{told}"
        );
        let list = Command::new("keytool")
            .args(["-list", "-storetype", "PKCS12", "-storepass", "millrace"])
            .arg("-keystore")
            .arg(&store)
            .output()
            .unwrap();
        let list = String::from_utf8_lossy(&list.stdout);
        assert_eq!(list.matches("trustedCertEntry").count(), 3, "{list}");
    }
}
