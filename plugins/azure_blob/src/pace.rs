//! [`Pace`]: how many parts of one transfer are in flight, found by trying.

use std::time::Duration;

/// The memory that the parts of one transfer hold at most, in bytes.
pub(crate) const MAX_HELD_BYTES: u64 = 64 << 20;

/// Starts low, rises while parts do not get slower, and falls when they do or fail.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    most: usize,
    best: Option<Duration>,
}

impl Pace {
    /// A pace of at most so many parts of this size.
    pub(crate) fn new(concurrency: usize, part_bytes: u64) -> Self {
        let fitting = usize::try_from(MAX_HELD_BYTES / part_bytes.max(1)).unwrap_or(usize::MAX);
        let most = concurrency.min(fitting).max(1);
        Self { limit: most.min(2), most, best: None }
    }

    /// How many parts may be in flight now.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A part took so long.
    pub(crate) fn done(&mut self, took: Duration) {
        let best = self.best.map_or(took, |best| best.min(took));
        self.best = Some(best);
        if took > best * 4 {
            self.limit = (self.limit - self.limit / 4).max(1);
        } else if self.limit < self.most {
            self.limit += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(100);

    #[test]
    fn it_rises_while_parts_are_fast_and_falls_when_they_slow_down() {
        let mut pace = Pace::new(16, 1 << 20);
        assert_eq!(pace.limit(), 2);
        (0..20).for_each(|_| pace.done(FAST));
        assert_eq!(pace.limit(), 16);
        (0..3).for_each(|_| pace.done(FAST * 5));
        assert!(pace.limit() < 10, "{pace:?}");
        (0..50).for_each(|_| pace.done(FAST * 9));
        assert_eq!(pace.limit(), 3, "it does not stand still");
    }

    #[test]
    fn the_memory_that_parts_hold_is_bounded() {
        let mut pace = Pace::new(64, 32 << 20);
        (0..99).for_each(|_| pace.done(FAST));
        assert_eq!(pace.limit(), 2);
        assert_eq!(Pace::new(64, 100 << 20).limit(), 1);
    }
}
