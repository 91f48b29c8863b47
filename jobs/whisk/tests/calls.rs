//! System calls that no Landlock has a rule for: what an action has of its neighbours and the server by them, which is nothing, and
//! what it may do to its own files and bounds.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Caller, can_isolate, settings};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Tries all of them at a file and a process that are not its own, then at its own; says how each went: `can`, or its error.
const SCRIPT: &str = r#"#!/usr/bin/python3
import ctypes, errno, json, os, resource, sys
libc = ctypes.CDLL(None, use_errno=True)
def raw(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def tried(call, *arguments):
    try:
        call(*arguments)
        return "can"
    except OSError as error:
        return errno.errorcode[error.errno]
def others(path, pid):
    room = ctypes.create_string_buffer(1024)
    handle = "/proc/self/fd/%d" % os.open(path, os.O_PATH)
    name = path.encode()
    x32 = 0x40000000 if os.uname().machine == "x86_64" else 0
    return {
        "shmget": tried(raw, "shmget", 0, 4096, 0o1600),
        "shmctl": tried(raw, "shmctl", 0, 2, room),
        "semget": tried(raw, "semget", 0, 1, 0o1600),
        "semop": tried(raw, "semop", -1, room, 1),
        "msgget": tried(raw, "msgget", 0, 0o1600),
        "msgsnd": tried(raw, "msgsnd", -1, room, 1, 0),
        "mq_open": tried(raw, "mq_open", b"/millrace-whisk-test", os.O_RDWR | os.O_CREAT, 0o600, None),
        "chmod": tried(os.chmod, path, 0o600),
        "chmod of a handle": tried(os.chmod, handle, 0o600),
        "chown": tried(os.chown, path, os.getuid(), -1),
        "lchown": tried(os.lchown, path, os.getuid(), -1),
        "setxattr": tried(os.setxattr, path, "user.a", b"b"),
        "removexattr": tried(os.removexattr, path, "user.a"),
        # By numbers, which are the same on all machines: C libraries have no names for all of them.
        "io_uring": tried(raw, "syscall", 425, 1, room),
        "fchmodat2": tried(raw, "syscall", 452, -100, name, 0o600, 0),
        "setxattrat": tried(raw, "syscall", 463, -100, name, 0, b"user.a", room, 16),
        "removexattrat": tried(raw, "syscall", 466, -100, name, 0, b"user.a"),
        "file_setattr": tried(raw, "syscall", 469, -100, name, room, 16, 0),
        "x32": tried(raw, "syscall", x32 | 425, 1, room),
        "prlimit": tried(raw, "prlimit", pid, resource.RLIMIT_NOFILE, None, room),
        "setpriority": tried(os.setpriority, os.PRIO_PROCESS, pid, 19),
        "of all of a user": tried(os.setpriority, os.PRIO_USER, 0, 19),
        "affinity": tried(os.sched_setaffinity, pid, os.sched_getaffinity(0)),
        "scheduler": tried(os.sched_setscheduler, pid, os.SCHED_IDLE, os.sched_param(0)),
    }
def own():
    with open("tmp/file", "w") as file:
        return {
            "fchmod": tried(os.fchmod, file.fileno(), 0o640),
            "mode": oct(os.fstat(file.fileno()).st_mode & 0o777),
            "fchown": tried(os.fchown, file.fileno(), os.getuid(), -1),
            "utime": tried(os.utime, "tmp/file", (1, 2)),
            "chmod": tried(os.chmod, "tmp/file", 0o600),
            "limit": tried(resource.setrlimit, resource.RLIMIT_CORE, (0, 0)),
            "nice": tried(os.setpriority, os.PRIO_PROCESS, 0, 19),
            "affinity": tried(os.sched_setaffinity, 0, os.sched_getaffinity(0)),
        }
with os.fdopen(3, "w") as answers:
    for line in sys.stdin:
        value = json.loads(line)["value"]
        answer = others(value["path"], value["pid"]) if "path" in value else own()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
"#;

async fn put(caller: &Caller, name: &str) {
    let body = json!({ "exec": { "kind": "native:default", "code": SCRIPT } });
    let path = format!("actions/{name}");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{action}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_has_no_hold_of_what_is_not_its_own() {
    if !can_isolate() {
        return;
    }
    if !Path::new("/usr/bin/python3").exists() {
        millrace_testkit::left_out("system calls of actions", "/usr/bin/python3 is not here")
            .unwrap();
        return;
    }
    // With a launcher that stands ready and without one: both are bound in the same way.
    for prewarmed in [0, 1] {
        let data = tempfile::tempdir().unwrap();
        let mut settings = settings(data.path());
        settings.pool.prewarmed = prewarmed;
        let server = Server::start(settings).await.unwrap();
        let caller = Caller::of(&server);
        put(&caller, "a").await;
        let file = data.path().join("file");
        std::fs::write(&file, "the server's").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let input = json!({ "path": file, "pid": std::process::id() });
        let (status, record) = caller.invoke("a", input).await;
        assert_eq!(status, 200, "{record}");
        let tried: &Value = &record["response"]["result"];
        let tried = tried.as_object().unwrap();
        assert_eq!(tried.len(), 24, "{record}");
        for (call, found) in tried {
            assert_eq!(found, "EPERM", "{call}: {record}");
        }
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let own = caller.result("a", json!({})).await;
        let told = json!({
            "fchmod": "can", "mode": "0o640", "fchown": "can", "utime": "can",
            // By its path it is as a stranger's, which no filter can tell apart.
            "chmod": "EPERM",
            "limit": "can", "nice": "can", "affinity": "can",
        });
        assert_eq!(own, told);
        server.stop().await;
    }
}
