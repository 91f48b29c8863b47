//! What was fetched lately, by its digest and the place it is from: it can be nothing else, and goes to nobody who could not
//! have fetched it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::oci::Layer;

/// Bytes of code that are kept. An OpenWhisk that starts anew is given all of its actions again.
const MOST: usize = 48 * 1024 * 1024;
/// So many manifests are remembered.
const REFERENCES: usize = 4096;

pub(super) static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

#[derive(Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    code: VecDeque<(String, Arc<Vec<u8>>)>,
    layers: HashMap<String, Layer>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn code(&self, key: &str) -> Option<Arc<Vec<u8>>> {
        let mut inner = self.lock();
        let at = inner.code.iter().position(|(known, _)| known == key)?;
        let entry = inner.code.remove(at)?;
        let code = Arc::clone(&entry.1);
        // The last one is the one that was used last.
        inner.code.push_back(entry);
        Some(code)
    }

    /// Keeps it, and lets go what was not used for longest.
    pub(super) fn keep(&self, key: String, code: Vec<u8>) -> Arc<Vec<u8>> {
        let code = Arc::new(code);
        let mut inner = self.lock();
        inner.code.retain(|(known, _)| *known != key);
        inner.code.push_back((key, Arc::clone(&code)));
        let bytes = |inner: &Inner| -> usize { inner.code.iter().map(|(_, c)| c.len()).sum() };
        while inner.code.len() > 1 && bytes(&inner) > MOST {
            inner.code.pop_front();
        }
        code
    }

    pub(super) fn layer(&self, place: &str) -> Option<Layer> {
        self.lock().layers.get(place).cloned()
    }

    pub(super) fn note_layer(&self, place: String, layer: &Layer) {
        let mut inner = self.lock();
        if inner.layers.len() >= REFERENCES {
            inner.layers.clear();
        }
        inner.layers.insert(place, layer.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = Cache::default();
        let part = MOST / 2;
        cache.keep("a".into(), vec![0; part]);
        cache.keep("b".into(), vec![0; part]);
        assert!(cache.code("a").is_some());
        cache.keep("c".into(), vec![0; part]);
        assert!(cache.code("b").is_none());
        assert!(cache.code("a").is_some() && cache.code("c").is_some());
        // One that is larger than all is kept while it is needed.
        cache.keep("d".into(), vec![0; MOST + 1]);
        assert!(cache.code("d").is_some() && cache.code("a").is_none());
    }
}
