use std::path::Path;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::settings::Bindings;

const TOPIC: &str = "telemetry";
/// More than anybody would wait with all callers standing.
const SLOW: Duration = Duration::from_secs(7);

fn bind(folder: &Path, servers: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for (key, value) in [("type", "kafka"), ("bootstrap-servers", servers)] {
        std::fs::write(folder.join(key), value).unwrap();
    }
}

fn access(root: &Path) -> Access {
    let bindings = Bindings::read(root).unwrap();
    Access::bound(bindings.of_type("kafka").unwrap(), None).unwrap()
}

fn put(producer: &Producer, text: &str) -> Delivery {
    producer
        .enqueue(TOPIC, "car", &[], Some(text.as_bytes()), Some(0))
        .unwrap()
}

// The broker answers the former client late: what comes meanwhile must be neither sent nor refused, nor may its callers
// stand. A second change in between changes nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_the_former_client_waits() {
    let kafka = MockCluster::new(2).unwrap();
    kafka.create_topic(TOPIC, 1, 2).unwrap();
    kafka.partition_leader(TOPIC, 0, Some(1)).unwrap();
    let servers = kafka.bootstrap_servers();
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("kafka");
    bind(&folder, &servers);
    let access = access(root.path());
    let producer = Producer::new(&access, "test").unwrap();
    let first = put(&producer, "0").acknowledged().await.unwrap();

    kafka.broker_round_trip_time(1, SLOW).unwrap();
    let slow = put(&producer, "1");
    // On the wire by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The next leader is fast: a successor that did not wait would be first.
    kafka.partition_leader(TOPIC, 0, Some(2)).unwrap();
    let began = Instant::now();
    let mut later = Vec::new();
    for (change, others) in [(1, ",127.0.0.1:1"), (2, ",127.0.0.1:2")] {
        bind(&folder, &format!("{servers}{others}"));
        assert!(access.look().unwrap());
        assert_eq!(access.generation(), change);
        for _ in 0..10 {
            later.push(put(&producer, "2"));
        }
    }
    assert!(began.elapsed() < Duration::from_secs(2), "callers stand");

    let when = |delivery: Delivery| {
        tokio::spawn(async move {
            let placed = delivery.acknowledged().await.unwrap();
            (placed, Instant::now())
        })
    };
    let slow = when(slow);
    let later: Vec<_> = later.into_iter().map(when).collect();
    producer.flush(2 * SLOW).await.unwrap();
    let ((partition, mut offset), answered) = slow.await.unwrap();
    assert_eq!((partition, offset), (0, first.1 + 1));
    assert!(answered.duration_since(began) > SLOW / 2, "it was not slow");
    for one in later {
        let (placed, at) = one.await.unwrap();
        assert_eq!(placed, (0, offset + 1), "out of order");
        // Which of two tasks looks at the clock first is nothing to rely on.
        assert!(
            at + SLOW / 7 > answered,
            "sent while the former client waited"
        );
        offset = placed.1;
    }
}
