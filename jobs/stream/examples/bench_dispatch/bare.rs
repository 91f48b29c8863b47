//! The least that brings alerts to an action: a consumer, and so many posts under way.

use std::sync::Arc;
use std::time::Duration;

use millrace_stream::connect::{GroupConsumer, GroupSettings};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::IN_FLIGHT;
use crate::bench_support::Ignored;

/// Posts each record's value, in no order, commits nothing, and tries nothing again.
pub fn run(
    settings: &GroupSettings,
    action: &str,
    runtime: &Handle,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let consumer = GroupConsumer::join(settings, Ignored)?;
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let client = reqwest::Client::new();
    while !stop.is_cancelled() {
        let Some(record) = consumer.poll(Duration::from_millis(20))? else {
            continue;
        };
        let mut body = b"{\"alert\":".to_vec();
        body.extend_from_slice(record.payload().unwrap_or_default());
        body.push(b'}');
        let place = runtime.block_on(Arc::clone(&places).acquire_owned())?;
        let request = client.post(action).basic_auth("user", Some("key"));
        let request = request
            .header("content-type", "application/json")
            .body(body);
        runtime.spawn(async move {
            let answer = async { request.send().await?.error_for_status()?.bytes().await };
            // What is missing at the end fails the run.
            if let Err(error) = answer.await {
                eprintln!("a post failed: {error}");
            }
            drop(place);
        });
    }
    Ok(())
}
