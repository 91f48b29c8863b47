//! How much memory records and open files may take.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Records read ahead of what is in files.
#[derive(Debug)]
pub struct Ahead {
    most: usize,
    used: Mutex<usize>,
    room: Condvar,
}

impl Ahead {
    /// At most about so many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: Mutex::new(0),
            room: Condvar::new(),
        })
    }

    /// Bytes of all shares.
    pub fn used(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more may be read; waits for room so long.
    pub fn has_room(&self, patience: Duration) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used < self.most {
            return true;
        }
        let half = self.most / 2;
        let waited = self
            .room
            .wait_timeout_while(used, patience, |used| *used > half);
        let (used, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *used < self.most
    }

    /// Whether so much was finished that a pause ends.
    pub fn is_half_empty(&self) -> bool {
        self.used() <= self.most / 2
    }

    fn change(&self, more: usize, less: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = (*used + more).saturating_sub(less);
        drop(used);
        if less > 0 {
            self.room.notify_one();
        }
    }
}

/// What one chunk takes of it. Given back when dropped.
pub struct Share {
    of: Arc<Ahead>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub fn new(of: &Arc<Ahead>) -> Self {
        Self {
            of: Arc::clone(of),
            bytes: 0,
        }
    }

    /// So many bytes more.
    pub fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of.change(bytes, 0);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.change(0, self.bytes);
    }
}

/// What open files take, all partitions together.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    used: AtomicUsize,
    holders: AtomicUsize,
}

impl Memory {
    /// At most about so many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
        })
    }

    /// Bytes of all holders.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// What the files of one partition take.
#[derive(Debug)]
pub struct Held {
    of: Arc<Memory>,
    bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn new(of: &Arc<Memory>) -> Self {
        of.holders.fetch_add(1, Ordering::Relaxed);
        Self {
            of: Arc::clone(of),
            bytes: 0,
        }
    }

    /// They take so much now.
    pub fn set(&mut self, bytes: usize) {
        self.of.used.fetch_add(bytes, Ordering::Relaxed);
        self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// Whether this partition must give memory back: all together take too much, and it no less than others.
    pub fn is_too_much(&self) -> bool {
        let holders = self.of.holders.load(Ordering::Relaxed).max(1);
        self.of.used() > self.of.most && self.bytes >= self.of.most / holders / 2
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
        self.of.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_when_chunks_are_done() {
        let ahead = Ahead::new(100);
        let mut one = Share::new(&ahead);
        one.grow(60);
        assert!(ahead.has_room(Duration::ZERO));
        let mut two = Share::new(&ahead);
        two.grow(60);
        assert!(!ahead.has_room(Duration::ZERO));
        drop(one);
        assert!(ahead.has_room(Duration::ZERO) && !ahead.is_half_empty());
        drop(two);
        assert!(ahead.is_half_empty());
    }

    #[test]
    fn the_larger_ones_give_memory_back() {
        let memory = Memory::new(100);
        let (mut large, mut small) = (Held::new(&memory), Held::new(&memory));
        large.set(90);
        small.set(5);
        assert!(!large.is_too_much());
        small.set(20);
        assert!(large.is_too_much() && !small.is_too_much());
        drop(large);
        assert_eq!(memory.used(), 20);
    }
}
