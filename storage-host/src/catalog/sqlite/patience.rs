//! [`Patience`]: whether reads may run on threads that must not block.
//!
//! Nothing tells beforehand whether a read will wait for the disk. But where one did, others will too; so for a time
//! that is many times as long, reads run elsewhere. What callers lose by waiting stays small that way, and so does what
//! they lose by changing threads.
//!
//! A read that took long may also have been kept from running, by a machine that has more to do than it can. Others
//! would fare no better elsewhere; so the system is asked, where it tells, whether the disk was read at all.

use std::cell::Cell;
use std::fs;
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

    /// Runs a read, and loses patience where it waits long for the disk.
    pub(super) fn try_out<T>(&self, read: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = read();
        let taken = started.elapsed();
        // What the system does not tell is supposed.
        if taken > USUAL && has_read_from_disk().unwrap_or(true) {
            self.spend(started, taken);
        }
        answer
    }

    fn is_left_at(&self, now: Instant) -> bool {
        self.micros(now) >= self.from_micros.load(Ordering::Relaxed)
    }

    /// Loses patience because of a read that waited for the disk.
    pub(super) fn spend(&self, started: Instant, taken: Duration) {
        let until = started + taken + taken.min(LONGEST) * FACTOR;
        self.from_micros.fetch_max(self.micros(until), Ordering::Relaxed);
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }
}

thread_local! {
    /// What this thread had read from disks when the system was last asked, in bytes.
    static READ_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Whether this thread has read from a disk since this was last asked; `None` where the system does not tell.
fn has_read_from_disk() -> Option<bool> {
    let bytes = read_bytes(&fs::read_to_string("/proc/thread-self/io").ok()?)?;
    Some(READ_BYTES.replace(bytes) < bytes)
}

/// What was read from disks, in bytes, as Linux tells it (proc_pid_io(5)). What it had in its memory does not count.
fn read_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_took_long_sends_others_elsewhere_for_many_times_as_long() {
        let patience = Patience::new();
        let after = |millis| patience.origin + Duration::from_millis(millis);
        patience.spend(after(0), Duration::from_millis(10));
        assert!(!patience.is_left_at(after(10 + 199)));
        assert!(patience.is_left_at(after(10 + 200)));
        patience.spend(after(10), Duration::from_millis(2));
        assert!(!patience.is_left_at(after(10 + 199)), "a shorter one later makes it no shorter");
        patience.spend(after(0), Duration::from_secs(600));
        assert!(patience.is_left_at(after(620_000)), "a machine that slept is no slow disk");
    }

    #[test]
    fn what_takes_no_longer_than_usual_changes_nothing() {
        let patience = Patience::new();
        assert_eq!(patience.try_out(|| 1), 1);
        assert!(patience.is_left());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_read_that_was_kept_from_running_says_nothing_of_the_disk() {
        let wait = || {
            let started = Instant::now();
            while started.elapsed() < USUAL * 5 {
                std::hint::spin_loop();
            }
        };
        // What the thread has done before this test is not its affair; and the first time, the program itself may have
        // to be read from the disk.
        Patience::new().try_out(wait);
        has_read_from_disk().expect("Linux tells");
        let patience = Patience::new();
        patience.try_out(wait);
        assert!(patience.is_left());
        let was_read = read_bytes("rchar: 7\nread_bytes: 4096\nwrite_bytes: 8\n");
        assert_eq!((was_read, read_bytes("rchar: 7\n")), (Some(4096), None));
    }
}
