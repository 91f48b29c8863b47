//! What is kept of a cluster whose tests failed.

use crate::context::Context;
use crate::{Target, cluster, install, run};

/// What the pods said, beside the logs, before the cluster goes.
pub fn keep(context: &Context, own: &Context) {
    let Ok(cluster) = cluster::running(own, &Target::default()) else {
        return;
    };
    let Ok(log) = context.log("cluster-evidence") else {
        return;
    };
    let _ = std::fs::remove_file(&log);
    for arguments in [
        &["get", "pods,pvc,millrace", "-A", "-o", "wide"][..],
        &[
            "-n",
            install::NAMESPACE,
            "get",
            "platform",
            install::PLATFORM,
            "-o",
            "yaml",
        ],
        &[
            "get",
            "kafkacluster,kafkatopic,kafkauser",
            "-A",
            "-o",
            "yaml",
        ],
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        &[
            "-n",
            install::OPERATOR_NAMESPACE,
            "logs",
            "deploy/millrace-operator",
            "--tail=300",
        ],
        &[
            "-n",
            install::NAMESPACE,
            "logs",
            "-l",
            "app.kubernetes.io/part-of=millrace",
            "--tail=200",
            "--prefix",
            "--all-containers",
        ],
    ] {
        let _ = run::logged(cluster.kubectl().args(arguments), &log);
    }
    eprintln!("    what the pods said is in {}", log.display());
}
