//! [`Pace`]: how much of a stream is moved in one go. Who is fast is given more, for the sake of fewer hops between
//! threads; who is slow is given less, for the sake of memory. So all streams together hold no more than what passes
//! in a moment, however many they are.

use std::time::Duration;

/// Who is done within this time gets twice as much.
const FAST: Duration = Duration::from_millis(10);

/// Who is not done within this time gets half as much.
const SLOW: Duration = Duration::from_millis(50);

/// A number of bytes between two bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    bytes: usize,
    min: usize,
    max: usize,
}

impl Pace {
    /// Begins with the least. The most is the least times a power of two.
    pub(crate) const fn new(min: usize, max: usize) -> Self {
        Self { bytes: min, min, max }
    }

    /// So much is moved in one go.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }

    /// So long did it take to move that much.
    pub(crate) fn took(&mut self, time: Duration) {
        if time < FAST {
            self.bytes = self.max.min(self.bytes * 2);
        } else if time > SLOW {
            self.bytes = self.min.max(self.bytes / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_get_more_and_the_slow_get_less_within_bounds() {
        let mut pace = Pace::new(64, 512);
        let mut sizes = |time| {
            std::array::from_fn::<usize, 5, _>(|_| {
                let bytes = pace.bytes();
                pace.took(time);
                bytes
            })
        };
        assert_eq!(sizes(Duration::ZERO), [64, 128, 256, 512, 512]);
        assert_eq!(sizes(SLOW * 2), [512, 256, 128, 64, 64]);
        assert_eq!(sizes(FAST), [64; 5]);
        assert_eq!(sizes(SLOW), [64; 5]);
    }
}
