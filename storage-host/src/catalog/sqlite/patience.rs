//! [`Patience`]: whether reads may run on threads that must not block.
//!
//! Nothing tells beforehand whether a read will wait for the disk. But where one did, because it took long, others
//! will too; so for a time that is many times as long, reads run elsewhere. What callers lose by waiting stays small
//! that way, and so does what they lose by changing threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a read takes, many times over, that finds everything in memory.
const USUAL: Duration = Duration::from_millis(1);

/// How many times as long as a read that took longer others run elsewhere.
const FACTOR: u32 = 20;

/// What took longer than this tells of something else, such as a machine that slept.
const LONGEST: Duration = Duration::from_secs(1);

/// What is left of it.
#[derive(Debug)]
pub(super) struct Patience {
    origin: Instant,
    /// From when on there is some, in microseconds since the origin.
    from_micros: AtomicU64,
}

impl Patience {
    /// All of it.
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), from_micros: AtomicU64::new(0) }
    }

    /// Whether a read may run here and now.
    pub(super) fn is_left(&self) -> bool {
        self.is_left_at(Instant::now())
    }

    /// Runs a read, and loses patience where it takes long.
    pub(super) fn try_out<T>(&self, read: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = read();
        self.spend(started, started.elapsed());
        answer
    }

    fn is_left_at(&self, now: Instant) -> bool {
        self.micros(now) >= self.from_micros.load(Ordering::Relaxed)
    }

    fn spend(&self, started: Instant, taken: Duration) {
        if taken > USUAL {
            let until = started + taken + taken.min(LONGEST) * FACTOR;
            self.from_micros.fetch_max(self.micros(until), Ordering::Relaxed);
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_took_long_sends_others_elsewhere_for_many_times_as_long() {
        let patience = Patience::new();
        let after = |millis| patience.origin + Duration::from_millis(millis);
        patience.spend(after(0), USUAL);
        assert!(patience.is_left_at(after(1)), "what takes no longer than usual changes nothing");
        patience.spend(after(0), Duration::from_millis(10));
        assert!(!patience.is_left_at(after(10 + 199)));
        assert!(patience.is_left_at(after(10 + 200)));
        patience.spend(after(10), Duration::from_millis(2));
        assert!(!patience.is_left_at(after(10 + 199)), "a shorter one later makes it no shorter");
        patience.spend(after(0), Duration::from_secs(600));
        assert!(patience.is_left_at(after(620_000)), "a machine that slept is no slow disk");
    }
}
