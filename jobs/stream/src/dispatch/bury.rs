//! What is given up: dead letters, and what becomes of those that their topic does not take.

use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{DeadLetter, Invalid, Reason};
use tokio_util::sync::CancellationToken;

use super::deliver::{Deliverer, Entry, Gone, Turn};
use super::lanes::Ticket;
use super::letters;
use super::metrics::Retry;
use super::parts::{Held, Part};
use crate::connect::Record;

const SOURCE: &str = "/millrace/dispatch";

impl Deliverer {
    /// Puts a record among the dead letters that came when too many of its key waited already.
    ///
    /// # Errors
    /// It is no longer ours.
    pub async fn put_aside(
        &self,
        ticket: &Ticket,
        entry: Entry,
        gone: &CancellationToken,
        turn: &impl Turn,
    ) -> Result<(), Gone> {
        let item = match entry {
            Ok(item) => item,
            Err(unreadable) => {
                return self.bury_unreadable(ticket, *unreadable, turn, gone).await;
            }
        };
        let key = item.record.key_text().unwrap_or_default().to_owned();
        let reason = Reason {
            field: Some("key".to_owned()),
            value: Some(key),
            problem: "too many records of this key wait behind one that fails, while those of others get through"
                .to_owned(),
            cure: "see the dead letters of this key for what fails, correct it, and redrive them in their order"
                .to_owned(),
        };
        let letter = letters::of_item(&item, &self.config.group, reason, 0);
        self.bury(&item.record, letter, turn, gone).await?;
        turn.finished(ticket);
        Ok(())
    }

    /// Puts what cannot be read among the dead letters, with the reason.
    pub(super) async fn bury_unreadable(
        &self,
        ticket: &Ticket,
        (record, why): (Record, Invalid),
        turn: &impl Turn,
        gone: &CancellationToken,
    ) -> Result<(), Gone> {
        let letter = letters::of_unreadable(&record, &self.config.group, why.into());
        self.bury(&record, letter, turn, gone).await?;
        turn.finished(ticket);
        Ok(())
    }

    /// Puts what is too old among the dead letters.
    pub(super) async fn bury_old(
        &self,
        part: &mut Part,
        gone: &CancellationToken,
        turn: &impl Turn,
    ) -> Result<(), Gone> {
        let Some(most) = self.config.maximum_age_seconds else {
            return Ok(());
        };
        let now = Timestamp::now().as_second();
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let is_old = |held: &Held| {
            let from = held.item.age_from();
            from.is_some_and(|from| now.saturating_sub(from.as_second()) > most)
        };
        let (old, young): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut part.held).into_iter().partition(is_old);
        part.held = young;
        for held in old {
            let reason = Reason {
                field: Some("maximumAgeSeconds".to_owned()),
                value: held.item.age_from().map(|t| t.to_string()),
                problem: format!("older than {most} s"),
                cure: "redrive the dead letter if it is still of use, or raise maximumAgeSeconds"
                    .to_owned(),
            };
            let letter = letters::of_item(&held.item, &self.config.group, reason, held.tries);
            self.bury(&held.item.record, letter, turn, gone).await?;
            turn.finished(&held.ticket);
        }
        Ok(())
    }

    /// Until the letter is written. One that its topic does not take is made smaller, and at last dropped.
    pub(super) async fn bury(
        &self,
        record: &Record,
        letter: DeadLetter,
        turn: &impl Turn,
        gone: &CancellationToken,
    ) -> Result<(), Gone> {
        let id = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let Some(topic) = &self.config.dead_letter_topic else {
            tracing::error!(
                problem = letter.reason.problem,
                id,
                "dropped: there is no deadLetterTopic"
            );
            self.metrics.dropped.inc();
            return Ok(());
        };
        let key = record.key_text().unwrap_or(&id);
        // The library fails all that it sent together with what is too large: so each size has a second chance.
        let mut sizes = std::iter::once(usize::MAX)
            .chain(letters::SIZES)
            .flat_map(|size| [size, size]);
        let mut size = sizes.next();
        let mut failures = 0;
        while let Some(most) = size {
            let letter = letters::cut(&letter, most);
            let headers = CloudEvent::of_dead_letter(&letter, id.clone(), SOURCE).headers();
            let value = match serde_json::to_vec(&letter) {
                Ok(value) => value,
                Err(error) => {
                    tracing::error!(%error, id, "dropped: the dead letter cannot be written as JSON");
                    self.metrics.dropped.inc();
                    return Ok(());
                }
            };
            let bytes = value.len();
            match self.producer.send(topic, key, &headers, &value, None).await {
                Ok(_) => {
                    self.metrics.dead_letters.inc();
                    if most != usize::MAX {
                        self.metrics.cut.inc();
                    }
                    return Ok(());
                }
                Err(error) if error.is_too_large() => {
                    tracing::warn!(%error, id, bytes, "the dead letter is too large and is cut");
                    // Every size that would not make it smaller is passed over.
                    size = sizes.find(|next| *next == most || *next < bytes);
                    continue;
                }
                Err(error) => tracing::error!(%error, id, "the dead letter was not written"),
            }
            if let Some(why) = self.producer.fatal() {
                self.health.dead(why);
            }
            failures += 1;
            self.metrics.retry(Retry::DeadLetter);
            self.pause(self.backoff.random_delay(failures), turn, gone)
                .await?;
        }
        tracing::error!(
            id,
            topic,
            "dropped: the topic does not even take the smallest dead letter; raise its max.message.bytes"
        );
        self.metrics.dropped.inc();
        Ok(())
    }
}
