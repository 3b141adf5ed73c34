//! Time and randomness, passed in so that tests can choose them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use meetmind_core::{Id, Timestamp, uuid_v7};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> Timestamp {
        time::OffsetDateTime::now_utc().into()
    }
}

/// A clock that tests move by hand.
#[derive(Debug, Clone)]
pub struct ManualClock(std::sync::Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(std::sync::Arc::new(AtomicI64::new(start.micros())))
    }
    /// Moves it on.
    pub fn advance(&self, by: std::time::Duration) {
        self.0.fetch_add(
            i64::try_from(by.as_micros()).unwrap_or(i64::MAX),
            Ordering::SeqCst,
        );
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// The source of ids and secrets: a cryptographic generator, seeded by the system or by a test.
pub struct Entropy(Mutex<StdRng>);

impl Entropy {
    /// Seeded by the operating system.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the system's randomness is read"
    )]
    pub fn system() -> Self {
        Self(Mutex::new(StdRng::from_rng(&mut rand::rng())))
    }
    /// Seeded by a test: the same ids each time.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
    /// Random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // A panic of another thread cannot leave the generator in a bad state.
        let mut rng = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rng.fill(&mut bytes);
        bytes
    }
    /// A new id.
    pub fn id<T: Id>(&self, now: Timestamp) -> T {
        T::from_uuid(uuid_v7(now, u64::from_le_bytes(self.bytes())))
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}
