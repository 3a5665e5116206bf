//! [`Pace`]: how many parts of one file are on their way at once.
//!
//! It begins with a few, doubles them as long as that makes the whole faster, then adds one where that does, and halves
//! when S3 asks for less.

use std::time::{Duration, Instant};

/// What a file begins with of which nothing is known.
const FIRST: usize = 4;
/// What a read begins with from a server that is near, of which a part or two fill the way: each more is one that waits
/// in memory, outside of the processor's caches.
const FIRST_OF_NEAR: usize = 3;
/// A server that answers within this time is near.
const NEAR: Duration = Duration::from_millis(8);
/// How much faster one more must make the whole to be worth keeping.
const WORTHWHILE: f64 = 1.05;

/// The number of parts that may be on their way.
#[derive(Debug)]
pub(crate) struct Pace {
    allowed: usize,
    /// What it began with, which fruitless doublings do not go below.
    first: usize,
    most: usize,
    /// Whether the last step was a doubling, of which is to be seen what it brings: a file has few parts to learn from.
    doubles: bool,
    /// Since when, and how many bytes arrived in that time.
    round: Instant,
    round_bytes: u64,
    round_parts: usize,
    best_rate: f64,
}

impl Pace {
    /// At most so many.
    pub(crate) fn new(most: usize, now: Instant) -> Self {
        Self::starting_with(FIRST, most, now)
    }

    /// At most so many, of a read whose first answer took so long.
    pub(crate) fn of_read(most: usize, answered_after: Duration, now: Instant) -> Self {
        Self::starting_with(if answered_after < NEAR { FIRST_OF_NEAR } else { FIRST }, most, now)
    }

    fn starting_with(first: usize, most: usize, now: Instant) -> Self {
        let allowed = first.min(most);
        Self {
            allowed,
            first: allowed,
            most,
            doubles: true,
            round: now,
            round_bytes: 0,
            round_parts: 0,
            best_rate: 0.0,
        }
    }

    /// How many may be on their way now.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    /// No more than so many from now on.
    pub(crate) fn bound(&mut self, most: usize) {
        self.most = self.most.min(most.max(1));
        self.allowed = self.allowed.min(self.most);
    }

    /// A part arrived. After as many as are on their way at once, the rate of the round is compared with the best.
    pub(crate) fn arrived(&mut self, bytes: u64, now: Instant) {
        self.round_bytes += bytes;
        self.round_parts += 1;
        if self.round_parts < self.allowed {
            return;
        }
        let elapsed = now.duration_since(self.round).max(Duration::from_micros(1));
        let rate = self.round_bytes as f64 / elapsed.as_secs_f64();
        if rate > self.best_rate * WORTHWHILE {
            self.best_rate = rate;
            let more = if self.doubles { self.allowed } else { 1 };
            let grown = (self.allowed + more).min(self.most);
            self.doubles &= grown > self.allowed;
            self.allowed = grown;
        } else if self.doubles {
            // The last doubling brought nothing.
            self.doubles = false;
            self.allowed = (self.allowed / 2).max(self.first.min(self.most));
        }
        self.begin_round(now);
    }

    /// S3 asked for less.
    pub(crate) fn throttled(&mut self, now: Instant) {
        self.allowed = (self.allowed / 2).max(1);
        self.doubles = false;
        self.best_rate = 0.0;
        self.begin_round(now);
    }

    fn begin_round(&mut self, now: Instant) {
        (self.round, self.round_bytes, self.round_parts) = (now, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts that take so long each while so many share a line.
    fn after(rounds: usize, bytes_per_second: impl Fn(usize) -> f64) -> Pace {
        let mut now = Instant::now();
        let mut pace = Pace::new(16, now);
        for _ in 0..rounds {
            for _ in 0..pace.allowed() {
                now += Duration::from_secs_f64(1e6 / bytes_per_second(pace.allowed()));
                pace.arrived(1_000_000, now);
            }
        }
        pace
    }

    #[test]
    fn it_grows_while_that_helps_and_no_further() {
        let scales = after(40, |allowed| allowed as f64 * 1e6);
        assert_eq!(scales.allowed(), 16, "every connection adds its own rate");
        let full = after(40, |allowed| (allowed as f64 * 1e6).min(6e6));
        assert!((6..=8).contains(&full.allowed()), "six fill the line: {}", full.allowed());
    }

    #[test]
    fn it_doubles_until_that_brings_nothing_and_then_grows_by_one() {
        assert_eq!(
            after(2, |allowed| allowed as f64 * 1e6).allowed(),
            16,
            "a file has few parts to learn from"
        );
        assert_eq!(after(2, |_| 1e6).allowed(), 4, "the doubling is undone");
        let mut now = Instant::now();
        let mut pace = Pace::new(16, now);
        pace.throttled(now);
        assert_eq!(pace.allowed(), 2);
        for _ in 0..2 {
            now += Duration::from_millis(1);
            pace.arrived(1_000_000, now);
        }
        assert_eq!(pace.allowed(), 3);
    }

    #[test]
    fn a_read_from_afar_begins_with_more() {
        let begins = |millis| Pace::of_read(16, Duration::from_millis(millis), Instant::now()).allowed();
        assert_eq!((begins(1), begins(20)), (3, 4));
    }

    #[test]
    fn it_halves_when_it_is_asked_to_and_never_stops() {
        let mut pace = Pace::new(8, Instant::now());
        for expected in [2, 1, 1] {
            pace.throttled(Instant::now());
            assert_eq!(pace.allowed(), expected);
        }
        assert_eq!(Pace::new(1, Instant::now()).allowed(), 1);
        let mut bounded = Pace::new(8, Instant::now());
        bounded.bound(0);
        assert_eq!(bounded.allowed(), 1);
    }
}
