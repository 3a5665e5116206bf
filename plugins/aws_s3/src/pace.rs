//! [`Pace`]: how many parts of one file are on their way at once.
//!
//! It begins with a few, adds one as long as that makes the whole faster, and halves when S3 asks for less.

use std::time::{Duration, Instant};

/// What a file begins with.
const FIRST: usize = 4;
/// How much faster one more must make the whole to be worth keeping.
const WORTHWHILE: f64 = 1.05;

/// The number of parts that may be on their way.
#[derive(Debug)]
pub(crate) struct Pace {
    allowed: usize,
    most: usize,
    /// Since when, and how many bytes arrived in that time.
    round: Instant,
    round_bytes: u64,
    round_parts: usize,
    best_rate: f64,
}

impl Pace {
    /// At most so many.
    pub(crate) fn new(most: usize, now: Instant) -> Self {
        Self { allowed: FIRST.min(most), most, round: now, round_bytes: 0, round_parts: 0, best_rate: 0.0 }
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
            self.allowed = (self.allowed + 1).min(self.most);
        }
        self.begin_round(now);
    }

    /// S3 asked for less.
    pub(crate) fn throttled(&mut self, now: Instant) {
        self.allowed = (self.allowed / 2).max(1);
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
