//! [`ReadSize`]: how much of a connection is read at once.
//!
//! hyper prepares twice as much for the next read whenever one fills what was prepared, and the connection keeps the
//! buffer that it has grown. A client that sends a burst first, as each does until its network's buffers are full,
//! would so have the largest buffer for as long as it is slow, and there may be thousands. So bytes are taken in small
//! steps until a client has sent for a while without ever giving less than a step.

/// One step. hyper prepares 8 KiB at first and 16 KiB once that was filled. This does not fill the 16 KiB, so that
/// they grow no more; and it is over half of them, so that hyper does not go back to 8.
const STEP_BYTES: u64 = 12 * 1024;

/// How much must have come in full steps for a client to be fast: more than a burst commonly is.
const FAST_AFTER_BYTES: u64 = 1024 * 1024;

/// What a connection has shown of its pace.
#[derive(Debug, Default)]
pub(super) struct ReadSize {
    /// What came since a read gave less than a step, and less than it had room for.
    steady_bytes: u64,
}

impl ReadSize {
    /// What the next read may take at most.
    pub(super) fn most_bytes(&self) -> u64 {
        if self.steady_bytes < FAST_AFTER_BYTES { STEP_BYTES } else { u64::MAX }
    }

    /// Takes note of what a read gave that had so much room.
    pub(super) fn record(&mut self, bytes: usize, room: usize) {
        let (bytes, room) = (bytes as u64, room as u64);
        let is_short = bytes < STEP_BYTES.min(room);
        self.steady_bytes = if is_short { 0 } else { self.steady_bytes.saturating_add(bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = STEP_BYTES as usize;
    const ROOM: usize = 48 * 1024;

    #[test]
    fn only_a_client_that_sends_on_and_on_is_read_without_bound() {
        let mut size = ReadSize::default();
        for _ in 1..FAST_AFTER_BYTES.div_ceil(STEP_BYTES) {
            size.record(STEP, ROOM);
            assert_eq!(size.most_bytes(), STEP_BYTES, "a burst");
        }
        size.record(STEP, ROOM);
        assert_eq!(size.most_bytes(), u64::MAX);
        size.record(ROOM, ROOM);
        assert_eq!(size.most_bytes(), u64::MAX);
        size.record(STEP - 1, ROOM);
        assert_eq!(size.most_bytes(), STEP_BYTES, "slow again");
    }

    #[test]
    fn what_fills_a_small_room_is_not_slow() {
        // As the ends of HTTP/2 frames do, for which there is room of just their size.
        let mut size = ReadSize::default();
        for _ in 0..FAST_AFTER_BYTES.div_ceil(STEP_BYTES + 100) {
            size.record(STEP, ROOM);
            size.record(100, 100);
        }
        assert_eq!(size.most_bytes(), u64::MAX);
    }
}
