//! How fast the operator brings StreamJobs to Available, beside a bare client that does the same writes and beside an
//! operator on kopf that makes the same objects, each on a fresh API server on this machine, in one run. There are no
//! nodes: a stand-in for the kubelet marks Deployments ready as soon as it sees them, for all three.
//!
//! Then KafkaTopics in a real Kafka, beside a bare client that makes the same requests of the API server and of Kafka.
//!
//! `cargo run --release -p millrace-operator --example bench_operator -- [JOBS,…] [SECONDS] [TOPICS]`
//!
//! For each number of JOBS (1000,10000):
//! - `ready_per_second`: from the first job created to the last one Available; ours, the bare client's, ours divided by it;
//! - `ready_per_second_kopf`: the same beside kopf (for the first number only: it takes long);
//! - `resident_growth_mib`: resident memory of the operator over that before the first job; ours, kopf's;
//! - `program_growth_mib`: how much of ours is the program's own code, read in as it was needed first;
//! - `processor_ms_per_job`: processor time of the operator;
//! - `requests_per_job`: what the API server was asked for in that time, the user and the kubelet among it;
//! - `idle_writes`: writing requests that the API server saw in SECONDS (20) after all was done, leases left out;
//! - `restart_to_synced_s`: the operator started anew until it has looked at every job.
//!
//! For TOPICS (1000; 0 leaves them out): `topics_ready_per_second`; ours, the bare client's, ours divided by it.

mod kopf;
mod kubelet;
mod ours;
mod raw;
mod topics;
mod world;

use std::time::Duration;

use anyhow::Context as _;
use kubelet::Kubelet;
use ours::Operator;
use world::World;

/// Long enough for the slowest of the three at 10,000.
const LIMIT: Duration = Duration::from_secs(1800);

fn line(name: &str, ours: f64, peer: Option<f64>) {
    match peer {
        Some(peer) => println!("{name} {ours:.2} {peer:.2} {:.2}", ours / peer),
        None => println!("{name} {ours:.2}"),
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    count_of(count) / took.as_secs_f64()
}

fn count_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let counts: Vec<usize> = arguments
        .next()
        .unwrap_or_else(|| "1000,10000".to_owned())
        .split(',')
        .map(|count| {
            count
                .parse()
                .with_context(|| format!("JOBS: {count}: is not a number"))
        })
        .collect::<Result<_, _>>()?;
    let idle = match arguments.next() {
        Some(seconds) => seconds
            .parse()
            .with_context(|| format!("SECONDS: {seconds}: is not a number"))?,
        None => 20,
    };
    let topics: usize = match arguments.next() {
        Some(count) => count
            .parse()
            .with_context(|| format!("TOPICS: {count}: is not a number"))?,
        None => 1000,
    };
    for (nth, count) in counts.into_iter().enumerate() {
        println!("# {count} StreamJobs");
        let (ours, growth) = operator(count, Duration::from_secs(idle)).await?;
        let bare = bare(count).await?;
        line(
            "ready_per_second",
            per_second(count, ours),
            Some(per_second(count, bare)),
        );
        if nth == 0 {
            let (peer, its_growth) = beside_kopf(count).await?;
            line(
                "ready_per_second_kopf",
                per_second(count, ours),
                Some(per_second(count, peer)),
            );
            line("resident_growth_mib", growth, Some(its_growth));
        } else {
            line("resident_growth_mib", growth, None);
        }
    }
    if topics > 0 {
        println!("# {topics} KafkaTopics");
        let ours = topics::by_the_operator(topics, LIMIT).await?;
        let bare = topics::by_a_bare_client(topics, LIMIT).await?;
        line(
            "topics_ready_per_second",
            per_second(topics, ours),
            Some(per_second(topics, bare)),
        );
    }
    Ok(())
}

/// Time to all Available, and growth of resident memory in MiB; prints what only we have.
async fn operator(count: usize, idle: Duration) -> anyhow::Result<(Duration, f64)> {
    let Some(world) = World::start().await? else {
        anyhow::bail!("no API server: run `cargo xtask test --tier api` once, which builds it");
    };
    let _kubelet = Kubelet::start(world.client.clone());
    let mut operator = Operator::start(&world)?;
    operator.ready().await?;
    let before = world::resident_mib(operator.pid())?;
    let program = world::program_mib(operator.pid())?;
    let asked = world.requests().await?;
    let worked = world::processor_ms(operator.pid())?;
    let took = world.all_available(count, LIMIT).await?;
    let growth = world::resident_mib(operator.pid())? - before;
    let program = world::program_mib(operator.pid())? - program;
    line("program_growth_mib", program, None);
    let worked = world::processor_ms(operator.pid())? - worked;
    line("processor_ms_per_job", worked / count_of(count), None);
    for (what, now) in world.requests().await? {
        let for_each = (now - asked.get(&what).unwrap_or(&0.0)) / count_of(count);
        // Watches and looks of this program are few.
        if for_each > 0.05 {
            println!("requests_per_job {for_each:.2} {what}");
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let writes = world.writes().await?;
    tokio::time::sleep(idle).await;
    line("idle_writes", world.writes().await? - writes, None);
    drop(operator);
    let mut again = Operator::start(&world)?;
    let synced = again.synced(count, LIMIT).await?;
    line("restart_to_synced_s", synced.as_secs_f64(), None);
    Ok((took, growth))
}

/// A bare client that writes what the operator and the user write.
async fn bare(count: usize) -> anyhow::Result<Duration> {
    let Some(world) = World::start().await? else {
        anyhow::bail!("the API server is gone");
    };
    let _kubelet = Kubelet::start(world.client.clone());
    let sample = {
        // What the operator makes for one job is the sample of what is written for each.
        let mut operator = Operator::start(&world)?;
        operator.ready().await?;
        world.all_available(1, LIMIT).await?;
        raw::Sample::read(&world).await?
    };
    raw::write(&world, &sample, count, LIMIT).await
}

async fn beside_kopf(count: usize) -> anyhow::Result<(Duration, f64)> {
    let Some(world) = World::start().await? else {
        anyhow::bail!("the API server is gone");
    };
    let _kubelet = Kubelet::start(world.client.clone());
    let peer = kopf::Kopf::start(&world)?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let before = world::resident_mib(peer.pid())?;
    let took = world.all_available(count, LIMIT).await?;
    Ok((took, world::resident_mib(peer.pid())? - before))
}
