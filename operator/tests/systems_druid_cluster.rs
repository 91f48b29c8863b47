//! What is built for a DruidCluster, run by the real Druid: it finds itself by a ZooKeeper, takes events in from Kafka, hands them
//! over, and answers for them after the loss of a worker and after a cold start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_pods;
mod druid_support;
mod postgres_pod;
mod prometheus_support;

use std::time::{Duration, Instant};

use druid_pods::{LIMIT, Pods, servers, valid};
use druid_support::{Topic, bring_about, event, limits, wanted};
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::codec;
use millrace_contract::metric::{Metric, differences_from};
use millrace_operator::druid::memory::MEBIBYTE;
use millrace_operator::druid::validate::Found;
use millrace_operator::druid::{RoleKind, ValidatedDruid};
use millrace_operator::ingestion::{Source, Wanted};
use millrace_operator::monitoring::of_systems;
use millrace_operator::postgres::build as build_postgres;
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::ingestion::IngestionChange;
use millrace_operator::remote::kafka::KafkaAdmin;
use millrace_testkit::{Hdfs, Kafka, druid, own_loopback, postgres, prometheus, zookeeper};
use prometheus_support::{Prometheus, panels, scrape, scrape_targets, target};
use serde_json::json;

const EVENTS: usize = 600;

async fn counted(pods: &mut Pods, client: &DruidClient, events: usize) {
    let what = format!("{events} events are answered for");
    pods.until(&what, || async {
        // Until the first task has told of it there is no such table.
        let rows = client
            .sql("SELECT SUM(events) AS n FROM telemetry")
            .await
            .unwrap_or_default();
        let n = rows.first()?.get("n")?.as_u64()?;
        (n == u64::try_from(events).unwrap()).then_some(())
    })
    .await;
}

/// All events are sent, taken in and answered for: the client of it, what was asked for, and what that changed.
async fn taken_in(
    pods: &mut Pods,
    cluster: &ValidatedDruid,
    topic: &Topic<'_>,
    door: RoleKind,
) -> (DruidClient, Wanted, Vec<IngestionChange>) {
    topic.create().await;
    topic
        .send((0..EVENTS).map(|n| codec::encode(&event(n))))
        .await;
    pods.ready(cluster).await;
    let (door, broker) = (pods.http(door, 0), pods.http(RoleKind::Broker, 0));
    let client = DruidClient::new(&door, &broker, Duration::from_secs(40)).unwrap();
    let asked = wanted(Source::Telemetry, topic.name, topic.bootstrap);
    let made = pods
        .until("a supervisor is taken", || async {
            bring_about(&client, &asked).await.ok()
        })
        .await;
    counted(pods, &client, EVENTS).await;
    (client, asked, made)
}

/// Nobody would be killed for the memory that it takes.
fn within_limits(pods: &Pods, cluster: &ValidatedDruid) {
    for role in &cluster.roles {
        let limit = role.resources.memory.as_ref().unwrap().bytes().unwrap() / MEBIBYTE;
        for node in role.nodes(&cluster.owner) {
            let peak = pods.peak(&node.pod);
            println!("{}: {peak} of {limit} MiB", node.pod);
            assert!(peak < limit, "{}: {peak} of {limit} MiB", node.pod);
        }
    }
}

/// Lets the supervisor read nothing more, and waits until historicals answer for what was read.
async fn hand_over(pods: &mut Pods, client: &DruidClient, asked: &Wanted) {
    let suspended = Wanted {
        suspended: true,
        ..asked.clone()
    };
    bring_about(client, &suspended).await.unwrap();
    let (coordinator, worker) = (
        pods.http(RoleKind::Coordinator, 0),
        pods.http(RoleKind::Worker, 0),
    );
    // A task that is stopped before it is known to have begun is killed, and hands nothing over: its end alone says nothing.
    let handed = "SELECT COUNT(*) AS n FROM sys.segments
        WHERE datasource = 'telemetry' AND is_published = 1 AND is_available = 1 AND is_realtime = 0";
    pods.until("it is handed over", || async {
        let rows = client.sql(handed).await.unwrap_or_default();
        let segments = rows.first()?.get("n")?.as_u64()?;
        let loaded = segments > 0
            && servers().tasks(&worker).await == Ok(0)
            && servers().unavailable(&coordinator).await == Ok(0)
            && servers().to_load(&coordinator).await == Ok(0);
        loaded.then_some(())
    })
    .await;
}

/// All that is listed is exported by one server or another, and each panel about Druid itself has data in a real Prometheus.
async fn tells_of_itself(pods: &Pods, cluster: &ValidatedDruid) {
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let is_druid = |metric: &Metric| metric.name.starts_with("druid_");
    let listed: Vec<Metric> = of_systems().into_iter().filter(is_druid).collect();
    let nodes = cluster.roles.iter();
    let nodes = nodes.flat_map(|role| role.nodes(&cluster.owner));
    let at: Vec<(String, String)> = nodes
        .map(|node| (format!("{}:9404", pods.address(&node.pod)), node.pod))
        .collect();
    // A supervisor tells how far it is behind half a minute after it began.
    let begin = Instant::now();
    loop {
        let told: String = at.iter().map(|(at, _)| scrape(at, "druid_")).collect();
        let differences = differences_from(&listed, &told);
        if differences.is_empty() {
            break;
        }
        assert!(
            begin.elapsed() < LIMIT,
            "{differences:#?}\n{told}\n{}",
            pods.tails()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("all is exported: {:?}", begin.elapsed());
    let home = tempfile::tempdir().unwrap();
    let targets: Vec<String> = at
        .iter()
        .map(|(at, pod)| target(at, "druid", "d", pod))
        .collect();
    let prometheus = Prometheus::start(&programs, home.path(), &scrape_targets(&targets));
    let nodes = targets.len();
    prometheus.wait_for(&format!("sum(up) == {nodes}"));
    prometheus.wait_for("sum(druid_sql_queries_total{success=\"true\",pod=\"d-broker-0\"}) > 0");
    prometheus.wait_for("sum(druid_queries_total{success=\"true\",pod=\"d-historical-0\"}) > 0");
    prometheus.wait_for("druid_tasks_total{dataSource=\"telemetry\",taskStatus=\"SUCCESS\"} > 0");
    prometheus.wait_for("druid_segments_used_bytes{dataSource=\"telemetry\"} > 0");
    prometheus.wait_for("druid_ingest_lag_records{dataSource=\"telemetry\"} == 0");
    let heap = "jvm_memory_used_bytes{area=\"heap\"} < jvm_memory_max_bytes{area=\"heap\"}";
    prometheus.wait_for(&format!("count({heap}) == {nodes}"));
    let mut asked = 0;
    for panel in panels() {
        if panel.query.contains("druid_") || panel.query.contains("\"druid\"") {
            prometheus.wait_for(&panel.query);
            asked += 1;
        }
    }
    assert!(asked >= 14, "{asked}");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn the_smallest_takes_events_in_hands_them_over_and_answers_after_a_cold_start() {
    let (Some(home), Some(zookeeper)) = (druid().unwrap(), zookeeper().unwrap()) else {
        return;
    };
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let spec = json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "2Gi"}},
        "historicals": {"storage": {"size": "2Gi"}}, "workers": {}, "routers": {}});
    let cluster = valid(spec, Found::default());
    let mut pods = Pods::new(home, zookeeper, 51, &cluster);
    pods.start_all(&cluster);
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name: "telemetry",
    };
    // As the binding says: the router for everything.
    let (client, asked, made) = taken_in(&mut pods, &cluster, &topic, RoleKind::Router).await;
    assert_eq!(made.len(), 3, "{made:?}");

    // What the operator sees and does.
    let coordinator = pods.http(RoleKind::Coordinator, 0);
    let worker = pods.http(RoleKind::Worker, 0);
    let leader = servers().leader(&coordinator).await.unwrap();
    assert_eq!(leader, "http://d-coordinator-0.d-nodes.ns.svc:8081");
    assert_eq!(servers().unavailable(&coordinator).await, Ok(0));
    assert_eq!(servers().tasks(&worker).await, Ok(1));
    for enabled in [false, true] {
        servers().set_enabled(&worker, enabled).await.unwrap();
        assert_eq!(servers().is_enabled(&worker).await, Ok(enabled));
    }

    // What is handed over, historicals answer for: without any worker.
    hand_over(&mut pods, &client, &asked).await;
    within_limits(&pods, &cluster);
    pods.kill("d-worker-0");
    counted(&mut pods, &client, EVENTS).await;

    // Beside them a worker answers for what came since; one that is lost goes on when it is back.
    pods.start("d-worker-0");
    pods.ready(&cluster).await;
    bring_about(&client, &asked).await.unwrap();
    topic
        .send((EVENTS..EVENTS + 100).map(|n| codec::encode(&event(n))))
        .await;
    counted(&mut pods, &client, EVENTS + 100).await;
    pods.kill("d-worker-0");
    pods.start("d-worker-0");
    pods.ready(&cluster).await;
    counted(&mut pods, &client, EVENTS + 100).await;
    tells_of_itself(&pods, &cluster).await;

    // All of it is on the volumes: a power cut, and a cold start.
    pods.kill_all();
    pods.start_all(&cluster);
    pods.ready(&cluster).await;
    counted(&mut pods, &client, EVENTS + 100).await;
    assert!(client.supervisor("telemetry").await.unwrap().is_some());
}

#[tokio::test]
#[ignore = "systems tier"]
async fn segments_are_in_hdfs_and_what_can_go_on_goes_on_while_it_is_away() {
    let (Some(kafka), Some(mut hdfs)) = (Kafka::start().unwrap(), Hdfs::start().unwrap()) else {
        return;
    };
    let spec = json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"hdfs": "h"},
        "historicals": {"storage": {"size": "2Gi"}}, "workers": {}});
    let Some((cluster, mut pods)) = Pods::start_on_hdfs(52, spec, &hdfs).await else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name: "telemetry",
    };
    let (client, asked, _) = taken_in(&mut pods, &cluster, &topic, RoleKind::Coordinator).await;
    hand_over(&mut pods, &client, &asked).await;
    let files = hdfs
        .dfs("druid", &["-ls", "-R", "/millrace/druid/d/segments"])
        .unwrap();
    assert!(files.contains("index.zip"), "{files}");
    within_limits(&pods, &cluster);

    // Without a NameNode brokers and coordinators start, and workers take in; a historical waits, and does not end.
    hdfs.stop_name_node();
    for pod in ["d-broker-0", "d-coordinator-0", "d-historical-0"] {
        pods.kill(pod);
        pods.start(pod);
    }
    pods.ready_of(&cluster, &[RoleKind::Broker, RoleKind::Coordinator])
        .await;
    topic
        .send((EVENTS..EVENTS + 100).map(|n| codec::encode(&event(n))))
        .await;
    pods.until("it reads on", || async {
        bring_about(&client, &asked).await.ok()
    })
    .await;
    counted(&mut pods, &client, 100).await;
    assert!(
        pods.log("d-historical-0")
            .contains("no NameNode listens, waiting: ")
    );

    hdfs.start_name_node().unwrap();
    pods.ready(&cluster).await;
    counted(&mut pods, &client, EVENTS + 100).await;
}

#[tokio::test]
#[ignore = "systems tier"]
async fn another_coordinator_leads_by_what_is_in_postgres_and_each_task_is_a_process() {
    let (Some(home), Some(zookeeper), Some(root)) =
        (druid().unwrap(), zookeeper().unwrap(), postgres().unwrap())
    else {
        return;
    };
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let database = postgres_pod::valid(&postgres_pod::cluster(json!({})), None);
    let mut server = postgres_pod::Pod::new(root, 54);
    server.mount(&database);
    server.start();
    server.wait_until_ready();
    let binding: Secret = build_postgres(&database)
        .unwrap()
        .get("p-superuser")
        .unwrap();
    let data = binding.data.clone().unwrap();

    let spec = json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "2Gi"}},
        "metadata": {"bindingSecret": "p-superuser"}, "coordinators": {"replicas": 2}, "historicals": {"storage": {"size": "2Gi"}},
        "workers": {"kind": "middleManager", "capacity": 2, "resources": {"memory": "1Gi"}}, "routers": {}});
    let found = Found {
        postgres: Some(binding),
        ..Found::default()
    };
    let cluster = valid(spec, found);
    let mut pods = Pods::new(home, zookeeper, 53, &cluster);
    let address = own_loopback(54, 1).to_string();
    let password = String::from_utf8(data["password"].0.clone()).unwrap();
    pods.write_postgres(
        &cluster,
        (&database.host(), &address),
        &data["ca.crt"].0,
        &password,
    );
    pods.start_all(&cluster);
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name: "telemetry",
    };
    let (client, _, _) = taken_in(&mut pods, &cluster, &topic, RoleKind::Router).await;

    let leads = |pods: &Pods, ordinal: u8| {
        let address = pods.http(RoleKind::Coordinator, ordinal);
        async move { servers().leader(&address).await.ok() }
    };
    let first = leads(&pods, 0).await.unwrap();
    let (gone, other) = if first.contains("d-coordinator-0") {
        (0, 1)
    } else {
        (1, 0)
    };
    pods.kill(&format!("d-coordinator-{gone}"));
    let address = pods.http(RoleKind::Coordinator, other);
    pods.until("the other leads", || async {
        let leader = servers().leader(&address).await.ok()?;
        leader
            .contains(&format!("d-coordinator-{other}"))
            .then_some(())
    })
    .await;
    topic
        .send((EVENTS..EVENTS + 100).map(|n| codec::encode(&event(n))))
        .await;
    pods.until("the supervisor is there", || async {
        client.supervisor("telemetry").await.ok()?
    })
    .await;
    counted(&mut pods, &client, EVENTS + 100).await;
}
