//! What is built for an HdfsCluster, run by the real HDFS and ZooKeeper: founding, fail-over, lost volumes, DataNodes that
//! go, a cold start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod hdfs_nodes;

use std::fs;
use std::time::{Duration, Instant};

use hdfs_nodes::{Nodes, cluster, valid};
use millrace_operator::hdfs::ValidatedHdfs;
use millrace_operator::hdfs::decommission::{excludes, follow, hold};
use millrace_operator::hdfs::view::View;
use millrace_operator::remote::hdfs::directory::{Directory, DirectoryError, Step, ensure};
use millrace_operator::remote::hdfs::{NameNodeView, State};
use millrace_operator::remote::zookeeper::stored as zookeeper_stored;
use millrace_testkit::{hadoop, zookeeper};
use serde_json::json;

/// One NameNode is active and the other stands by.
fn is_whole(view: &View, data_nodes: usize) -> bool {
    let standing_by = |name_node: &&NameNodeView| name_node.state == State::Standby;
    view.active()
        .is_some_and(|(_, names)| names.safe_mode.is_none() && names.data_nodes.len() == data_nodes)
        && view.name_nodes.values().filter(standing_by).count() == 1
}

/// The last of three DataNodes has gone and is counted still. It is not in service again, for its address is told.
fn stays_out_by_its_address(nodes: &Nodes, hdfs: &ValidatedHdfs, mut gone: ValidatedHdfs) {
    let (view, _) = nodes.wait(hdfs, "asked", |view| view.active().is_some());
    follow(&mut gone, &view, "");
    let told = excludes(&gone);
    assert!(
        told.starts_with("127.0.0.1:") && told.lines().count() == 1,
        "{told}"
    );
    let (pod, _) = view.active().unwrap();
    let log = nodes.home(pod).join("start.log");
    let times_read = || {
        let log = fs::read_to_string(&log).unwrap();
        log.matches("Refresh nodes successful").count()
    };
    let before = times_read();
    nodes.mount(&gone);
    let (view, _) = nodes.wait(hdfs, "told by its address", |view| {
        view.active().is_some() && times_read() > before
    });
    let (_, names) = view.active().unwrap();
    // It is dead ten minutes later.
    let last = names.data_nodes.get("h-datanode-2.h-nodes.ns.svc");
    assert!(last.is_none_or(|node| node.decommissioned), "{last:?}");
}

/// As the operator does it: again while no NameNode answers in time, which a busy machine makes so.
fn ensured(addresses: &[String], wanted: &Directory) -> Result<Vec<Step>, DirectoryError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let outcome = runtime.block_on(ensure(addresses, wanted));
        match outcome {
            Err(DirectoryError::Away(why)) if Instant::now() < end => println!("again: {why}"),
            outcome => return outcome,
        }
    }
}

/// By the log of the NameNode: the name that a client gives, where it came from, and what.
fn who_opened_a_file_is_told(nodes: &Nodes) {
    let file = "/millrace/lake/telemetry/file";
    let read = nodes.dfs_as("ann", &["-cat", file]);
    assert_eq!(read.unwrap(), "what was written");
    let log = fs::read_to_string(nodes.home("h-namenode-0").join("start.log")).unwrap();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" AUDIT ") && line.contains("ugi=ann "))
        .collect();
    let what = format!("cmd=open\tsrc={file}\t");
    let opened = told.iter().find(|line| line.contains(&what));
    let opened = opened.unwrap_or_else(|| panic!("{told:?}"));
    assert!(
        opened.contains("allowed=true\t") && opened.contains("\tip=/127."),
        "{opened}"
    );
    let looks = ["cmd=getfileinfo", "cmd=listStatus"];
    assert!(
        !looks.iter().any(|look| log.contains(look)),
        "names that were looked at"
    );
}

#[test]
#[ignore = "systems tier"]
fn one_name_node_founds_once_and_says_why_it_does_not_begin_anew() {
    let (Some(hadoop), Some(zookeeper)) = (hadoop().unwrap(), zookeeper().unwrap()) else {
        return;
    };
    let mut resource = cluster(json!({"dataNodes": {"replicas": 1, "storage": {"size": "1Gi"}}}));
    let hdfs = valid(&resource);
    let mut nodes = Nodes::new(hadoop, zookeeper, 41, &hdfs);
    nodes.mount(&hdfs);
    nodes.start_role(&hdfs, &hdfs.data_nodes);
    nodes.start_role(&hdfs, &hdfs.name_nodes);
    let works = |view: &View| {
        view.active().is_some_and(|(_, names)| {
            names.safe_mode.is_none()
                && names.data_nodes.contains_key("h-datanode-0.h-nodes.ns.svc")
        })
    };
    let (view, _) = nodes.wait(&hdfs, "up", works);
    assert!(view.active().unwrap().1.cluster_id.starts_with("millrace-"));
    let file = nodes.scratch().join("file");
    fs::write(&file, "what was written").unwrap();
    nodes
        .dfs(&["-put", file.to_str().unwrap(), "/kept"])
        .unwrap();

    // It is there, so the same file of the founder changes nothing.
    resource.status = serde_json::from_value(json!({"formatted": true})).unwrap();
    let known = valid(&resource);
    nodes.mount(&known);
    nodes.kill("h-namenode-0");
    nodes.start_pod("h-namenode-0");
    nodes.wait(&hdfs, "up again", works);
    assert_eq!(nodes.dfs(&["-cat", "/kept"]).unwrap(), "what was written");

    // A directory for a job's user, who can write there and nowhere else.
    let made = |owner: &str| {
        let wanted = Directory {
            path: "/millrace/lake/telemetry".into(),
            owner: owner.into(),
            permission: "755".into(),
        };
        let http = format!("{}:9870", nodes.address("h-namenode-0"));
        ensured(&["127.0.0.1:1".into(), http], &wanted)
    };
    made("archive").unwrap();
    assert_eq!(made("archive").unwrap(), [], "it is as it is to be");
    let told = made("other").unwrap_err().to_string();
    assert_eq!(told, "/millrace/lake/telemetry: belongs to archive");
    let put = |to: &str| nodes.dfs_as("archive", &["-put", file.to_str().unwrap(), to]);
    put("/millrace/lake/telemetry/file").unwrap();
    who_opened_a_file_is_told(&nodes);
    for elsewhere in ["/file", "/millrace/file", "/millrace/lake/file"] {
        let told = put(elsewhere).unwrap_err();
        assert!(told.contains("Permission denied: user=archive"), "{told}");
    }
    // A home is its user's alone, and what is above it is open to all.
    let home = Directory {
        path: "/user/archive".into(),
        owner: "archive".into(),
        permission: "700".into(),
    };
    let http = format!("{}:9870", nodes.address("h-namenode-0"));
    ensured(&[http], &home).unwrap();
    put("/user/archive/file").unwrap();
    let others = nodes.dfs_as("other", &["-ls", "/user/archive"]);
    assert!(
        others
            .unwrap_err()
            .contains("Permission denied: user=other")
    );
    assert!(nodes.dfs_as("other", &["-ls", "/user"]).is_ok());
    // What is said of volumes.
    let view = nodes.look(&hdfs);
    let (_, names) = view.active().unwrap();
    let data = &names.data_nodes["h-datanode-0.h-nodes.ns.svc"];
    assert!(
        data.capacity > data.remaining && data.remaining > 0,
        "{data:?}"
    );
    assert!(names.names_bytes > Some(0), "{:?}", names.names_bytes);

    nodes.kill("h-namenode-0");
    nodes.lose_volume("h-namenode-0");
    let ended = nodes.run("h-namenode-0", "start.sh");
    assert_eq!(ended.status.code(), Some(3));
    let said = fs::read_to_string(nodes.home("h-namenode-0").join("tmp/end")).unwrap();
    assert!(said.contains("millrace.dev/allow-format"), "{said}");
}

#[test]
#[ignore = "systems tier"]
fn several_name_nodes_take_over_from_each_other_and_lose_nothing() {
    let (Some(hadoop), Some(zookeeper)) = (hadoop().unwrap(), zookeeper().unwrap()) else {
        return;
    };
    let spec = |data_nodes: i32| {
        json!({"nameNodes": {"replicas": 2}, "zookeeper": {"ensemble": "z"}, "replication": 2,
            "dataNodes": {"replicas": data_nodes, "volumes": 2, "storage": {"size": "1Gi"}}})
    };
    let hdfs = valid(&cluster(spec(3)));
    let mut nodes = Nodes::new(hadoop, zookeeper, 42, &hdfs);
    nodes.mount(&hdfs);
    // All at once, as Kubernetes does: they wait for what they need.
    let start_all = |nodes: &mut Nodes| {
        for role in hdfs.roles() {
            nodes.start_role(&hdfs, role);
        }
        nodes.start_pod("z-0");
    };
    start_all(&mut nodes);
    nodes.wait(&hdfs, "founded", |view| is_whole(view, 3));
    let file = nodes.scratch().join("file");
    fs::write(&file, "what was written").unwrap();
    nodes
        .dfs(&["-put", file.to_str().unwrap(), "/kept"])
        .unwrap();

    // From now on nobody is formatted.
    let mut resource = cluster(spec(3));
    resource.status = serde_json::from_value(json!({"formatted": true})).unwrap();
    nodes.mount(&valid(&resource));
    // What is said of volumes.
    let journals = nodes.look(&hdfs).journals;
    assert_eq!(journals.len(), 3, "{journals:?}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = format!("{}:2181", nodes.address("z-0"));
    let stored = runtime.block_on(zookeeper_stored(&server)).unwrap();
    // Snapshots and the log of a few nodes, and not a log of 64 MiB in advance.
    assert!((1..8 << 20).contains(&stored), "{stored}");
    // What a JournalNode measures, where it is scraped.
    let prom = format!("http://{}:8480/prom", nodes.address("h-journalnode-0"));
    let measured = runtime.block_on(async { reqwest::get(&prom).await?.text().await });
    let measured = measured.unwrap().to_lowercase();
    let of_it = "processname=\"journalnode\"";
    assert!(measured.contains(of_it), "{measured}");

    let active = |view: &View| view.active().map(|(pod, _)| pod.to_owned());
    let first = active(&nodes.look(&hdfs)).unwrap();
    nodes.kill(&first);
    let (view, _) = nodes.wait(&hdfs, "another has taken over", |view| {
        active(view).is_some_and(|pod| pod != first)
    });
    assert_eq!(nodes.dfs(&["-cat", "/kept"]).unwrap(), "what was written");

    // The one that was killed comes back without its volume, and copies the names of the other.
    nodes.lose_volume(&first);
    nodes.start_pod(&first);
    nodes.wait(&hdfs, "an empty volume is filled", |view| is_whole(view, 3));

    // Before an active one ends, it hands over. Its pod is ready only when its controller is there.
    nodes.wait_for_port(&first, 8019);
    let second = active(&view).unwrap();
    let handed = nodes.run(&second, "cede.sh");
    assert!(handed.status.success(), "{handed:?}");
    assert!(nodes.home(&second).join("tmp/ceded").exists());
    nodes.wait(&hdfs, "handed over", |view| {
        active(view).is_some_and(|pod| pod != second)
    });

    // A DataNode goes when its blocks are elsewhere.
    let mut fewer = cluster(spec(2));
    fewer.status = serde_json::from_value(json!({"formatted": true, "dataNodes": 3})).unwrap();
    let mut shrinking = valid(&fewer);
    assert_eq!(hold(&mut shrinking, &nodes.look(&hdfs)).len(), 1);
    assert_eq!(shrinking.data_nodes.replicas, 3);
    nodes.mount(&shrinking);
    nodes.wait(&hdfs, "emptied", |view| {
        let mut shrinking = valid(&fewer);
        hold(&mut shrinking, view).is_empty() && shrinking.data_nodes.replicas == 2
    });
    nodes.kill("h-datanode-2");
    fewer.status = serde_json::from_value(json!({"formatted": true, "dataNodes": 2})).unwrap();
    stays_out_by_its_address(&nodes, &hdfs, valid(&fewer));
    assert_eq!(nodes.dfs(&["-cat", "/kept"]).unwrap(), "what was written");

    // All end at once, and come back as they were.
    nodes.kill_all();
    nodes.mount(&valid(&resource));
    start_all(&mut nodes);
    nodes.wait(&hdfs, "cold start", |view| is_whole(view, 3));
    assert_eq!(nodes.dfs(&["-cat", "/kept"]).unwrap(), "what was written");
}
