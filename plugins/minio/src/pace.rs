//! [`Pace`]: how many pieces of one transfer are under way at once, by what that brought so far.

use std::time::Duration;

/// With so many the transfer begins that nothing is known of.
const FIRST: usize = 4;

/// With so many a read begins from a server that is near: one connection all but fills the way, and each range is one
/// more that waits in memory, outside of the processor's caches.
const FIRST_OF_NEAR: usize = 2;

/// A server that answers within this time is near.
const NEAR: Duration = Duration::from_millis(8);

/// No transfer takes more connections than this.
const MOST: usize = 16;

/// What must be gained for one more to be worth its connection.
const WORTH: f64 = 1.05;

/// Finds the number of pieces under way by trying: at first twice as many as long as the rate grows, since a transfer
/// has few pieces to learn from; then one more where the rate grows, and one less where it falls.
#[derive(Debug)]
pub(crate) struct Pace {
    allowed: usize,
    /// What it began with, and never goes below.
    least: usize,
    most: usize,
    /// Whether the last step was a doubling, of which is to be seen what it brings.
    doubles: bool,
    best_rate: f64,
    /// The bytes and the time of the pieces since the last decision.
    bytes: u64,
    busy: Duration,
    pieces: usize,
}

impl Pace {
    /// A pace whose pieces of this size together stay within the memory.
    pub(crate) fn within(memory_bytes: u64, piece_bytes: u64) -> Self {
        Self::starting_with(FIRST, most(memory_bytes, piece_bytes))
    }

    /// A pace for the ranges of a read whose first answer took so long.
    pub(crate) fn of_read(memory_bytes: u64, piece_bytes: u64, answered_after: Duration) -> Self {
        let first = if answered_after < NEAR { FIRST_OF_NEAR } else { FIRST };
        Self::starting_with(first, most(memory_bytes, piece_bytes))
    }

    fn starting_with(first: usize, most: usize) -> Self {
        let allowed = first.min(most);
        Self {
            allowed,
            least: allowed,
            most,
            doubles: true,
            best_rate: 0.0,
            bytes: 0,
            busy: Duration::ZERO,
            pieces: 0,
        }
    }

    /// How many may be under way.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Learns from a piece that arrived after this time, from its first attempt on.
    pub(crate) fn arrived(&mut self, bytes: u64, took: Duration) {
        self.bytes += bytes;
        self.busy += took;
        self.pieces += 1;
        if self.pieces < self.allowed {
            return;
        }
        // So many pieces shared the time, so that each had its part of it.
        let seconds = self.busy.as_secs_f64() / self.allowed as f64;
        let rate = self.bytes as f64 / seconds.max(1e-6);
        (self.bytes, self.busy, self.pieces) = (0, Duration::ZERO, 0);
        if rate > self.best_rate * WORTH {
            let more = if self.doubles { self.allowed } else { 1 };
            let grown = (self.allowed + more).min(self.most);
            self.doubles &= grown > self.allowed;
            self.allowed = grown;
        } else if self.doubles {
            // The last doubling brought nothing.
            self.doubles = false;
            self.allowed = (self.allowed / 2).max(self.least);
        } else if rate < self.best_rate / WORTH && self.allowed > self.least {
            self.allowed -= 1;
        }
        // An old best fades, so that what was once a fast moment does not count for ever.
        self.best_rate = rate.max(self.best_rate * 0.97);
    }
}

/// How many pieces of this size the memory holds, and a transfer may have under way.
fn most(memory_bytes: u64, piece_bytes: u64) -> usize {
    usize::try_from(memory_bytes / piece_bytes.max(1)).unwrap_or(MOST).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_grows_while_that_brings_more() {
        let mut pace = Pace::within(64 * MIB, 8 * MIB);
        assert_eq!(pace.allowed(), 4);
        for arrived in 1..=100 {
            // The latency of each piece is the same, however many there are.
            pace.arrived(8 * MIB, Duration::from_millis(100));
            assert_eq!(pace.allowed() == 8, arrived >= 4, "as many as the memory holds, and soon: {arrived}");
        }
    }

    #[test]
    fn it_stays_small_where_the_line_is_full() {
        let mut pace = Pace::within(64 * MIB, 8 * MIB);
        for _ in 0..100 {
            // The line gives 80 MiB a second, whoever shares it.
            pace.arrived(8 * MIB, Duration::from_millis(100) * u32::try_from(pace.allowed()).expect("few"));
        }
        assert!(pace.allowed() <= FIRST + 1, "{}", pace.allowed());
    }

    #[test]
    fn a_doubling_that_brings_nothing_is_undone_and_then_it_grows_by_one() {
        let mut pace = Pace::within(128 * MIB, 8 * MIB);
        // The time of a piece, for as many as share the line, while it is slow and once it is fast.
        for (millis, expected) in [(100, 8), (100, 4), (50, 5), (25, 6)] {
            let pieces = u32::try_from(pace.allowed()).expect("few");
            (0..pieces).for_each(|_| pace.arrived(8 * MIB, Duration::from_millis(millis) * pieces));
            assert_eq!(pace.allowed(), expected);
        }
    }

    #[test]
    fn a_read_from_afar_begins_with_more() {
        let begins = |millis| Pace::of_read(64 * MIB, 8 * MIB, Duration::from_millis(millis)).allowed();
        assert_eq!((begins(1), begins(20)), (2, 4));
    }

    #[test]
    fn one_large_piece_is_alone() {
        assert_eq!(Pace::within(64 * MIB, 64 * MIB).allowed(), 1);
        assert_eq!(Pace::within(64 * MIB, 100 * MIB).allowed(), 1);
    }
}
