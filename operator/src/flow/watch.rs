//! A watch of each platform, and what it saw last.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::look::Looker;
use super::{Seen, Wanted};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(15);
/// Between two looks while a canary that was just sent is on its way, which is usually short.
const SOON: Duration = Duration::from_secs(1);
/// After that long on its way, a canary is looked for at the usual pace.
const HURRY: Duration = Duration::from_secs(20);
/// A watch that nobody has asked for so long ends: the platform is gone, paused, or another operator's.
const FORGOTTEN: Duration = Duration::from_secs(120);

struct Slot {
    wanted: Wanted,
    asked: Instant,
    seen: Option<Arc<Seen>>,
}

type Slots = Mutex<BTreeMap<String, Slot>>;

static SLOTS: LazyLock<Slots> = LazyLock::new(Slots::default);

/// A panic elsewhere leaves slots behind that are still usable.
fn slots() -> MutexGuard<'static, BTreeMap<String, Slot>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was last seen of the platform with this key; nothing yet after the first question. The flow is watched for as
/// long as this is asked.
pub fn watch(key: &str, wanted: Wanted) -> Option<Arc<Seen>> {
    let mut slots = slots();
    let asked = Instant::now();
    if let Some(slot) = slots.get_mut(key) {
        slot.wanted = wanted;
        slot.asked = asked;
        return slot.seen.clone();
    }
    let slot = Slot {
        wanted,
        asked,
        seen: None,
    };
    slots.insert(key.to_owned(), slot);
    drop(slots);
    tokio::spawn(look_on(key.to_owned()));
    None
}

/// What is wanted at this moment; nothing when the watch has ended.
fn wanted(key: &str) -> Option<Wanted> {
    let mut slots = slots();
    let slot = slots.get(key)?;
    if slot.asked.elapsed() > FORGOTTEN {
        slots.remove(key);
        return None;
    }
    Some(slot.wanted.clone())
}

async fn look_on(key: String) {
    let mut looker = match Looker::new() {
        Ok(looker) => looker,
        Err(error) => {
            tracing::warn!(%error, "the flow cannot be watched");
            slots().remove(&key);
            return;
        }
    };
    while let Some(wanted) = wanted(&key) {
        let seen = Arc::new(looker.look(&wanted).await);
        if let Some(slot) = slots().get_mut(&key) {
            slot.seen = Some(seen);
        }
        let pause = match looker.flies_since() {
            Some(time) if time < HURRY => SOON,
            _ => EVERY,
        };
        sleep(pause).await;
    }
}
