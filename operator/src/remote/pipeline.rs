//! The way everything inside a system goes: observe → diff (pure) → act → observe again.
//!
//! `plan` prints the changes that `diff` gives; reconciling carries them out. So what is planned is what is done.

use std::fmt;
use std::future::Future;

use millrace_contract::Invalid;

/// What has to happen to make a system as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<C> {
    /// In the order in which they are made. Each says in plain words what it does.
    pub changes: Vec<C>,
    /// What is asked for and cannot be had; the changes above are made all the same.
    pub refused: Vec<Invalid>,
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Plan {
            changes: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl<C> Plan<C> {
    /// Nothing to do and nothing refused.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.changes.is_empty() && self.refused.is_empty()
    }
}

impl<C: fmt::Display> fmt::Display for Plan<C> {
    /// One change a line, then what is refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut line = |f: &mut fmt::Formatter<'_>, text: &dyn fmt::Display| {
            if !std::mem::take(&mut first) {
                f.write_str("\n")?;
            }
            write!(f, "{text}")
        };
        for change in &self.changes {
            line(f, change)?;
        }
        for refused in &self.refused {
            line(f, &format_args!("refused: {refused}"))?;
        }
        Ok(())
    }
}

/// One thing inside a system, together with a client of that system.
pub trait Remote: Sync {
    /// The thing as it is now.
    type Observed: Send + Sync;
    /// One step.
    type Change: fmt::Display + Clone + Send + Sync;
    /// What talking to the system may give.
    type Error: std::error::Error + Send + Sync;

    /// Looks at the thing.
    fn observe(&self) -> impl Future<Output = Result<Self::Observed, Self::Error>> + Send;

    /// Compares it with what is asked for. Pure.
    fn diff(&self, observed: &Self::Observed) -> Plan<Self::Change>;

    /// Makes all changes of a plan, in order.
    fn act(
        &self,
        observed: &Self::Observed,
        changes: &[Self::Change],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome<R: Remote> {
    /// The thing as it is after the changes.
    pub observed: R::Observed,
    /// The changes that were made.
    pub made: Vec<R::Change>,
    /// What could not be had.
    pub refused: Vec<Invalid>,
}

/// What would have to happen to make a thing as it is asked for: a look, and no change.
///
/// # Errors
/// The system could not be asked.
pub async fn plan<R: Remote>(remote: &R) -> Result<Plan<R::Change>, R::Error> {
    Ok(remote.diff(&remote.observe().await?))
}

/// Makes a thing as it is asked for. When it is so already, that costs one look and no change.
///
/// # Errors
/// The first error of the system; changes made before it stay, and the next run goes on from there.
pub async fn converge<R: Remote>(remote: &R) -> Result<Outcome<R>, R::Error> {
    let observed = remote.observe().await?;
    let plan = remote.diff(&observed);
    if plan.changes.is_empty() {
        return Ok(Outcome {
            observed,
            made: Vec::new(),
            refused: plan.refused,
        });
    }
    remote.act(&observed, &plan.changes).await?;
    // The status tells what is there, not what was asked for.
    Ok(Outcome {
        observed: remote.observe().await?,
        made: plan.changes,
        refused: plan.refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Tap {
        level: AtomicU32,
        wanted: u32,
        looks: AtomicU32,
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Pour(u32);

    impl fmt::Display for Pour {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "pour {}", self.0)
        }
    }

    impl Remote for Tap {
        type Observed = u32;
        type Change = Pour;
        type Error = Infallible;
        async fn observe(&self) -> Result<u32, Infallible> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            Ok(self.level.load(Ordering::Relaxed))
        }
        fn diff(&self, observed: &u32) -> Plan<Pour> {
            let mut plan = Plan::default();
            if *observed < self.wanted {
                plan.changes.push(Pour(self.wanted - observed));
            }
            if *observed > self.wanted {
                plan.refused.push(Invalid::new(
                    "spec.level",
                    self.wanted.to_string(),
                    "below what is there",
                    format!("give {observed}"),
                ));
            }
            plan
        }
        async fn act(&self, _: &u32, changes: &[Pour]) -> Result<(), Infallible> {
            for Pour(amount) in changes {
                self.level.fetch_add(*amount, Ordering::Relaxed);
            }
            Ok(())
        }
    }

    fn tap(level: u32, wanted: u32) -> Tap {
        Tap {
            level: level.into(),
            wanted,
            looks: 0.into(),
        }
    }

    #[tokio::test]
    async fn changes_are_made_once_and_then_it_only_looks() {
        let tap = tap(1, 3);
        let first = converge(&tap).await.unwrap();
        assert_eq!((first.observed, first.made), (3, vec![Pour(2)]));
        let looks = tap.looks.load(Ordering::Relaxed);
        let second = converge(&tap).await.unwrap();
        assert!(second.made.is_empty());
        assert_eq!(tap.looks.load(Ordering::Relaxed), looks + 1);
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_told_in_words() {
        let tap = tap(5, 3);
        let plan = tap.diff(&5);
        assert!(!plan.is_settled());
        assert_eq!(
            plan.to_string(),
            "refused: spec.level: 3: below what is there; give 5"
        );
        assert_eq!(converge(&tap).await.unwrap().refused.len(), 1);
        assert_eq!(
            Plan {
                changes: vec![Pour(1), Pour(2)],
                refused: vec![]
            }
            .to_string(),
            "pour 1\npour 2"
        );
    }
}
