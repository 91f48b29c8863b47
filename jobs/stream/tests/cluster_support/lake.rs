//! The lake of the sample archive, read by a pod of its own and by the command line.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use millrace_testkit::Platform;
use serde_json::{Value, json};

/// Java starts slowly on two cores.
pub const LIMIT: Duration = Duration::from_secs(150);

/// What `millrace-stream lake` says in a pod of its own, which is a client of HDFS and Kafka as any.
pub fn lake(platform: &Platform, arguments: &[&str]) -> Result<String, String> {
    let get = |of: &str, path: &str| platform.kubectl(&["get", of, "-o", path]).unwrap();
    let job = get(
        "deployment/sample-archive",
        "jsonpath={.spec.template.spec.containers[0]}{\"\\n\"}",
    );
    let job: Value = serde_json::from_str(&job).unwrap();
    let security = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "sample-lake-client",
            "labels": {"millrace.dev/uses-hdfs": "true", "millrace.dev/uses-kafka": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": security,
            "volumes": [{"name": "binding", "secret": {"secretName": "sample-archive-hdfs-binding"}}],
            "containers": [{
                "name": "lake", "image": job["image"], "env": job["env"],
                "args": ([&["lake"][..], arguments].concat()),
                "volumeMounts": [{"name": "binding", "mountPath": "/bindings/sample-archive-hdfs-binding"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let remove = [
        "delete",
        "pod",
        "sample-lake-client",
        "--ignore-not-found",
        "--grace-period=0",
        "--force",
    ];
    platform.kubectl(&remove).unwrap();
    platform.apply(&pod.to_string()).unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        let phase = get("pod/sample-lake-client", "jsonpath={.status.phase}");
        if ["Succeeded", "Failed"].contains(&phase.as_str()) {
            let said = platform.kubectl(&["logs", "sample-lake-client"]).unwrap();
            platform.kubectl(&remove).unwrap();
            return if phase == "Succeeded" {
                Ok(said)
            } else {
                Err(said)
            };
        }
        assert!(Instant::now() < end, "the pod is {phase}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What `millrace lake` says, which lies beside the program under test.
pub fn millrace_lake(platform: &Platform, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_millrace-stream")).with_file_name("millrace");
    Command::new(program)
        .args(["--kubeconfig".as_ref(), platform.kubeconfig().as_os_str()])
        .args(["--namespace", &platform.namespace, "lake"])
        .args(arguments)
        .args(["--job", "sample-archive"])
        .output()
        .unwrap()
}
