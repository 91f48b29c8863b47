//! The embedded OpenWhisk as a process, and actions for it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_operator::remote::action::{Body, WantedAction, sha256};
use millrace_operator::remote::openwhisk::Limits;
use millrace_testkit::{Server, free_port, left_out};
use serde_json::{Value, json};

pub const USER: &str = "11111111-2222-3333-4444-555555555555";
pub const KEY: &str = "a-key-only-for-this-test-0123456789";

pub struct Whisk {
    pub uri: String,
    _directory: tempfile::TempDir,
    _server: Server,
}

/// A running server. `None`, after saying why, when the server has not been built.
pub fn start() -> Option<Whisk> {
    start_with(None)
}

/// The same with the kinds of a manifest in the form of OpenWhisk's.
pub fn start_with(runtimes: Option<&Value>) -> Option<Whisk> {
    let program = program()?;
    let directory = tempfile::tempdir().unwrap();
    let auth = directory.path().join("auth");
    std::fs::write(&auth, format!("{USER}:{KEY}\n")).unwrap();
    let (port, metrics) = (free_port().unwrap(), free_port().unwrap());
    let mut command = Command::new(program);
    command
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--metrics", &format!("127.0.0.1:{metrics}")])
        .arg("--data")
        .arg(directory.path().join("data"))
        .arg("--auth-file")
        .arg(auth);
    if let Some(runtimes) = runtimes {
        let file = directory.path().join("runtimes.json");
        std::fs::write(&file, runtimes.to_string()).unwrap();
        command.arg("--runtimes").arg(file);
    }
    let mut server = Server::start(&mut command, &directory.path().join("log")).unwrap();
    server.wait_for_port(port, Duration::from_secs(20)).unwrap();
    Some(Whisk {
        uri: format!("http://127.0.0.1:{port}"),
        _directory: directory,
        _server: server,
    })
}

fn program() -> Option<PathBuf> {
    let program =
        Path::new(env!("CARGO_BIN_EXE_millrace-operator")).with_file_name("millrace-whisk");
    if !program.is_file() {
        let why = "millrace-whisk is not built; `cargo build -p millrace-whisk` does it";
        left_out("the OpenWhisk client", why).unwrap();
        return None;
    }
    Some(program)
}

/// What the server's image does when it is started for an action: `/init` and `/run`, once.
pub fn start_proxy() -> Option<Whisk> {
    let mut command = Command::new(program()?);
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    command
        .args(["proxy", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--run-dir")
        .arg(directory.path().join("run"));
    let mut server = Server::start(&mut command, &directory.path().join("log")).unwrap();
    server.wait_for_port(port, Duration::from_secs(20)).unwrap();
    Some(Whisk {
        uri: format!("http://127.0.0.1:{port}"),
        _directory: directory,
        _server: server,
    })
}

/// An archive with one file, stored, not compressed.
pub fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = !0u32;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let size = content.len() as u32;
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    for number in [!crc, size, size] {
        common.extend(number.to_le_bytes());
    }
    common.extend((name.len() as u16).to_le_bytes());
    common.extend([0, 0]);
    let mut out = b"PK\x03\x04".to_vec();
    out.extend(&common);
    out.extend(name.as_bytes());
    out.extend(content);
    let directory_at = out.len() as u32;
    out.extend(b"PK\x01\x02\x14\x03");
    out.extend(&common);
    // No comment, disk 0, no internal attributes; executable by everybody.
    out.extend([0; 6]);
    out.extend((0o100_755_u32 << 16).to_le_bytes());
    out.extend([0; 4]);
    out.extend(name.as_bytes());
    let directory_size = out.len() as u32 - directory_at;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(directory_size.to_le_bytes());
    out.extend(directory_at.to_le_bytes());
    out.extend([0; 2]);
    out
}

pub fn wanted(name: &str, script: &str) -> WantedAction {
    let archive = zip("exec", script.as_bytes());
    WantedAction {
        name: name.to_owned(),
        body: Body::Code {
            kind: "rust:default".to_owned(),
            main: "main".to_owned(),
            digest: sha256(&archive),
            zip: Some(STANDARD.encode(&archive)),
        },
        parameters: BTreeMap::from([("greeting".to_owned(), json!("hello"))]),
        annotations: BTreeMap::from([("description".to_owned(), "a test".into())]),
        limits: Limits {
            timeout: 10_000,
            memory: 128,
            logs: 1,
        },
    }
}

/// Answers every activation with the same object.
pub fn answering(json: &str) -> String {
    format!("#!/bin/sh\nwhile read -r line; do echo '{json}' >&3; done\n")
}
