//! A small bounded cache whose entries can be taken back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two generations: when the young one is full it becomes the old one, and the old one goes.
/// What is used moves to the young one, so what is used stays.
pub(super) struct Cache<K, V> {
    inner: Mutex<Generations<K, V>>,
    capacity: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    epoch: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// A cache of about `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        let inner = Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            epoch: 0,
        });
        Self {
            inner,
            capacity: capacity.div_ceil(2),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        // No code that can panic runs while the lock is held, apart from a failing allocation.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a key.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut inner = self.lock();
        if let Some(value) = inner.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = inner.old.remove_entry(key)?;
        self.put(&mut inner, key, value.clone());
        Some(value)
    }

    /// Take this before reading what will be inserted.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Keeps an entry, unless something was forgotten since `epoch`: what was read before that
    /// may be what had to be forgotten.
    pub(super) fn insert(&self, key: K, value: V, epoch: u64) {
        let mut inner = self.lock();
        if inner.epoch == epoch {
            self.put(&mut inner, key, value);
        }
    }

    fn put(&self, inner: &mut Generations<K, V>, key: K, value: V) {
        if inner.young.len() >= self.capacity && !inner.young.contains_key(&key) {
            inner.old = std::mem::take(&mut inner.young);
        }
        inner.young.insert(key, value);
    }

    /// Forgets the entries that match, those being read at this moment included.
    pub(super) fn forget(&self, matches: impl Fn(&K, &V) -> bool) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.young.retain(|key, value| !matches(key, value));
        inner.old.retain(|key, value| !matches(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn it_stays_small_and_keeps_what_is_used() {
        let cache = Cache::new(10);
        for number in 0..1000 {
            cache.insert(number, number, cache.epoch());
            assert_eq!(cache.find(&0), Some(0), "after {number}");
        }
        let kept = (0..1000)
            .filter(|number| cache.find(number).is_some())
            .count();
        assert!(kept <= 11, "{kept} entries");
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_kept() {
        let cache = Cache::new(10);
        let epoch = cache.epoch();
        cache.forget(|_, _| false);
        cache.insert(1, "stale", epoch);
        assert_eq!(cache.find(&1), None);
        cache.insert(1, "fresh", cache.epoch());
        cache.insert(2, "other", cache.epoch());
        cache.forget(|key, _| *key == 1);
        assert_eq!((cache.find(&1), cache.find(&2)), (None, Some("other")));
    }
}
