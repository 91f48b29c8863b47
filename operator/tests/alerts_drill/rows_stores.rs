//! Faults of PostgreSQL and of the lake.

use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{DeleteRecordsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use millrace_operator::remote::kafka::{Connection, Credentials, Timeouts};
use millrace_operator::remote::postgres::Login;

use super::door::Car;
use super::repeat::Repeat;
use super::row::Fault;
use super::scene::{ARCHIVE, Scene};

const NAME_NODE: &str = "d-hdfs-namenode-0";
const SUPERUSER: &str = "d-postgres-superuser";
/// Partitions of telemetry in the profile `dev`.
const PARTITIONS: i32 = 3;

/// More than four of five sessions of a PostgreSQL are open, and one of them has begun a transaction.
pub fn sessions(scene: &Scene) -> Fault {
    let of = |key: &str| scene.secret(SUPERUSER, key);
    let way = scene.way("d-postgres-0", 5432);
    let login = Login {
        host: of("host"),
        address: Some(way.ip()),
        port: way.port(),
        user: of("username"),
        password: of("password"),
        authorities: of("ca.crt"),
    };
    let at = Instant::now();
    let sessions = scene.runtime.block_on(async {
        let first = login.connect("postgres").await.unwrap();
        let shown = first.query_one("SHOW max_connections", &[]).await.unwrap();
        let most: usize = shown.get::<_, String>(0).parse().unwrap();
        first.batch_execute("BEGIN; SELECT 1").await.unwrap();
        let mut sessions = vec![first];
        let mut tries = 0;
        while sessions.len() * 5 <= most * 4 {
            match login.connect("postgres").await {
                Ok(session) => sessions.push(session),
                Err(error) => eprintln!("a session: {error}"),
            }
            tries += 1;
            assert!(tries < 2 * most, "{} sessions of {most}", sessions.len());
        }
        sessions
    });
    Fault::since(at, move |_| drop(sessions))
}

/// The only NameNode crashes again and again: the archive cannot commit.
pub fn no_name_node(scene: &Scene) -> Fault {
    let at = Instant::now();
    let crash = scene.crash(NAME_NODE);
    Fault::since(at, move |scene| {
        drop(crash);
        scene.replace(NAME_NODE);
    })
}

/// Removes what all partitions of a topic hold, as an administrator of Kafka can.
fn delete_records(scene: &Scene) {
    let address = scene.way("d-kafka-0", 9092).to_string();
    let limits = Timeouts {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(30),
        call: Duration::from_secs(60),
    };
    let build = |_: i16| {
        let all = (0..PARTITIONS).map(|partition| {
            DeleteRecordsPartition::default()
                .with_partition_index(partition)
                // Up to what is committed to all copies.
                .with_offset(-1)
        });
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("telemetry")))
            .with_partitions(all.collect());
        DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(20_000)
    };
    let answer = scene.runtime.block_on(async {
        let credentials = Credentials::default();
        let mut connection = Connection::open(&address, &credentials, &limits)
            .await
            .unwrap();
        connection
            .ask(build, "delete records", limits.request)
            .await
            .unwrap()
    });
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(partition.error_code, 0, "{partition:?}");
    }
}

/// Records are removed from Kafka before the archive, which stands still meanwhile, has read them.
pub fn removed_too_soon(scene: &Scene) -> Fault {
    let mut car = scene.car("lost");
    let archive = scene.pod(ARCHIVE);
    // What is refused is sent again: Kafka may be slow to take it.
    let limit = Duration::from_secs(60);
    let send = |car: &mut Car, events: u32| {
        scene.nodes.wait("events taken in", limit, || {
            let (status, _) = car.send(events).ok()?;
            (status == 200).then_some(())
        });
    };
    send(&mut car, 1);
    std::thread::sleep(Duration::from_secs(3));
    let at = Instant::now();
    scene.signal(&archive, "archive", "-STOP");
    // These may be on their way to it already.
    send(&mut car, 10);
    std::thread::sleep(Duration::from_secs(2));
    send(&mut car, 300);
    // All others have read them by then.
    std::thread::sleep(Duration::from_secs(5));
    delete_records(scene);
    scene.signal(&archive, "archive", "-CONT");
    // What follows shows the gap.
    let following = Repeat::every(Duration::from_secs(1), move || {
        if let Err(error) = car.send(1) {
            eprintln!("{}: {error}", car.vehicle);
        }
    });
    Fault::since(at, move |_| drop(following))
}
