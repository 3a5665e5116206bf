//! [`ReadSize`]: how much of a connection is read at once.
//!
//! hyper doubles the buffer that it reads a connection into whenever a read fills it, and the connection keeps that
//! buffer. A client that sends a burst first, as each does until its network's buffers are full, would so have the
//! largest buffer for as long as it is slow, and there may be thousands. Whoever reads less than half of what it
//! has prepared gets no more; so bytes are taken in small steps until many of them came one right after the other.

/// One step. hyper prepares 8 KiB for the first read, and 16 KiB for the next ones where that was filled; this fills
/// neither those, nor is it so little that it would go back to 8.
const STEP_BYTES: u64 = 12 * 1024;

/// How much must have come in full steps for a client to be fast: more than the system keeps for it in a burst.
const FAST_AFTER_BYTES: u64 = 1024 * 1024;

/// What a connection has shown of its pace.
#[derive(Debug, Default)]
pub(super) struct ReadSize {
    /// What came since a read found less than a step.
    steady_bytes: u64,
}

impl ReadSize {
    /// What the next read may take at most.
    pub(super) fn most_bytes(&self) -> u64 {
        if self.steady_bytes < FAST_AFTER_BYTES { STEP_BYTES } else { u64::MAX }
    }

    /// Takes note of what a read gave.
    pub(super) fn record(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.steady_bytes = if bytes < STEP_BYTES { 0 } else { self.steady_bytes.saturating_add(bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_sends_on_and_on_is_read_without_bound() {
        let mut size = ReadSize::default();
        let step = usize::try_from(STEP_BYTES).expect("small");
        let steps = FAST_AFTER_BYTES.div_ceil(STEP_BYTES);
        for _ in 1..steps {
            size.record(step);
            assert_eq!(size.most_bytes(), STEP_BYTES, "a burst");
        }
        size.record(step);
        assert_eq!(size.most_bytes(), u64::MAX);
        size.record(48 * 1024);
        assert_eq!(size.most_bytes(), u64::MAX);
        size.record(step - 1);
        assert_eq!(size.most_bytes(), STEP_BYTES, "slow again");
    }
}
