//! [`Pace`]: how many pieces of one transfer are under way at once, by what that brought so far.

use std::time::Duration;

/// With so many a transfer begins.
const FIRST: usize = 2;

/// No transfer takes more connections than this.
const MOST: usize = 16;

/// What must be gained for one more to be worth its connection.
const WORTH: f64 = 1.05;

/// Finds the number of pieces under way by trying: one more as long as the rate grows, one less when it falls.
#[derive(Debug)]
pub(crate) struct Pace {
    allowed: usize,
    most: usize,
    best_rate: f64,
    /// The bytes and the time of the pieces since the last decision.
    bytes: u64,
    busy: Duration,
    pieces: usize,
}

impl Pace {
    /// A pace whose pieces of this size together stay within the memory.
    pub(crate) fn within(memory_bytes: u64, piece_bytes: u64) -> Self {
        let most = usize::try_from(memory_bytes / piece_bytes.max(1)).unwrap_or(MOST).clamp(1, MOST);
        Self { allowed: FIRST.min(most), most, best_rate: 0.0, bytes: 0, busy: Duration::ZERO, pieces: 0 }
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
            self.allowed = (self.allowed + 1).min(self.most);
        } else if rate < self.best_rate / WORTH && self.allowed > FIRST.min(self.most) {
            self.allowed -= 1;
        }
        // An old best fades, so that what was once a fast moment does not count for ever.
        self.best_rate = rate.max(self.best_rate * 0.97);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_grows_while_that_brings_more() {
        let mut pace = Pace::within(64 * MIB, 8 * MIB);
        assert_eq!(pace.allowed(), 2);
        for _ in 0..100 {
            // The latency of each piece is the same, however many there are.
            pace.arrived(8 * MIB, Duration::from_millis(100));
        }
        assert_eq!(pace.allowed(), 8, "as many as the memory holds");
    }

    #[test]
    fn it_stays_small_where_the_line_is_full() {
        let mut pace = Pace::within(64 * MIB, 8 * MIB);
        for _ in 0..100 {
            // The line gives 80 MiB a second, whoever shares it.
            pace.arrived(8 * MIB, Duration::from_millis(100) * u32::try_from(pace.allowed()).expect("few"));
        }
        assert!(pace.allowed() <= 3, "{}", pace.allowed());
    }

    #[test]
    fn one_large_piece_is_alone() {
        assert_eq!(Pace::within(64 * MIB, 64 * MIB).allowed(), 1);
        assert_eq!(Pace::within(64 * MIB, 100 * MIB).allowed(), 1);
    }
}
