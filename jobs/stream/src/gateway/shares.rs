//! What one vehicle may take of what all vehicles share, so that none of them can shut out the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of each vehicle. Only vehicles that hold or wait for something are remembered.
#[derive(Debug, Clone)]
pub struct Shares {
    of: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    most: usize,
}

/// A part of a vehicle's share, taken for as long as it lives.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    vehicle: String,
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// Each vehicle may hold so much at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            of: Arc::default(),
            most: most.clamp(1, Semaphore::MAX_PERMITS),
        }
    }

    /// The most that one vehicle may hold.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes so much now or never; who wants more than the whole share takes the whole share.
    pub fn take_now(&self, vehicle: &str, amount: usize) -> Option<Share> {
        let mut share = self.open(vehicle);
        let semaphore = Arc::clone(share.semaphore.as_ref()?);
        share.permit = Some(
            semaphore
                .try_acquire_many_owned(self.permits(amount))
                .ok()?,
        );
        Some(share)
    }

    /// Takes so much as soon as the vehicle gave back enough; who asked first gets it first. None only when
    /// there is nothing to wait for any more.
    pub async fn take(&self, vehicle: &str, amount: usize) -> Option<Share> {
        let mut share = self.open(vehicle);
        let semaphore = Arc::clone(share.semaphore.as_ref()?);
        share.permit = Some(
            semaphore
                .acquire_many_owned(self.permits(amount))
                .await
                .ok()?,
        );
        Some(share)
    }

    fn permits(&self, amount: usize) -> u32 {
        u32::try_from(amount.min(self.most)).unwrap_or(u32::MAX)
    }

    fn open(&self, vehicle: &str) -> Share {
        let mut of = self.lock();
        let semaphore = of
            .entry(vehicle.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.most)));
        Share {
            shares: self.clone(),
            vehicle: vehicle.to_owned(),
            semaphore: Some(Arc::clone(semaphore)),
            permit: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.permit.take();
        self.semaphore.take();
        let mut of = self.shares.lock();
        // New holders are made under this lock, so nobody but the map holds it when it is the last one.
        if of
            .get(&self.vehicle)
            .is_some_and(|semaphore| Arc::strong_count(semaphore) == 1)
        {
            of.remove(&self.vehicle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_vehicle_takes_nothing_of_the_others() {
        let shares = Shares::new(4);
        let held: Vec<_> = (0..4).map(|_| shares.take_now("a", 1).unwrap()).collect();
        assert!(shares.take_now("a", 1).is_none());
        let other = shares.take_now("b", 4).unwrap();
        assert!(shares.take_now("b", 1).is_none());
        drop((held, other));
        let whole = shares.take_now("a", 1000).unwrap();
        assert!(
            shares.take_now("a", 1).is_none(),
            "more than all of it is all"
        );
        drop(whole);
        assert!(shares.lock().is_empty(), "who holds nothing is forgotten");
    }

    #[tokio::test]
    async fn who_waits_gets_it_when_it_is_given_back() {
        let shares = Shares::new(2);
        let first = shares.take("a", 2).await.unwrap();
        let waiting = tokio::spawn({
            let shares = shares.clone();
            async move { shares.take("a", 1).await.is_some() }
        });
        let given_up = tokio::spawn({
            let shares = shares.clone();
            async move { shares.take("a", 2).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        given_up.abort();
        assert!(given_up.await.is_err());
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(shares.lock().is_empty());
    }
}
