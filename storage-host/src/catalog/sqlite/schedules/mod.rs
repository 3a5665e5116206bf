//! The catalog under a scheduler that decides whose step is next, over many schedules.
//!
//! The files that wait for one another, and no others, are compiled here once more: the same text, with the
//! primitives of [`sync`] in the place of those of the threads and of Tokio. Databases and statements are real, and
//! what they do is one step: nobody is interrupted inside of SQLite.
//!
//! A schedule that fails is printed. `STORAGE_SCHEDULE=FILE`, with what was printed between the quotation marks in
//! that file, runs the one test that failed with that schedule alone. `STORAGE_SCHEDULES=NUMBER` tries so many,
//! others in each run.

use std::env;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use tempfile::TempDir;

use super::{audit, check, commit, delete, error, keys, list, objects, open, quota, read, scrub};

pub(crate) mod sync;

#[path = "../catalog.rs"]
#[allow(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the same text with other primitives; the tests do not call all of it"
)]
mod catalog;
#[path = "../lines.rs"]
#[allow(clippy::duplicate_mod, reason = "the same text with other primitives")]
mod lines;
#[path = "../readers.rs"]
#[allow(clippy::duplicate_mod, reason = "the same text with other primitives")]
mod readers;
#[path = "../writer.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "the same text with other primitives")]
mod writer;

mod commits;
mod log;

pub(crate) use catalog::SqliteCatalog;

/// With which the schedules of an ordinary run begin, so that it is the same each time.
const SEED: u64 = 0x5EED;

/// How many times a schedule breaks off a task that could go on, where it is not random: most faults need two or
/// three such places.
const DEPTH: usize = 3;

/// Frames of a build for tests are large, and SQLite is called from them.
const STACK_BYTES: usize = 1 << 20;

/// More than any schedule needs: one that takes so many steps does not end.
const MAX_STEPS: usize = 200_000;

/// Runs a test under so many random schedules, and under so many that change tasks at a few places only, which finds
/// what needs one task to stand still for long.
pub(crate) fn explore<F: Future<Output = ()>>(
    schedules: usize,
    test: impl Fn() -> F + Send + Sync + 'static,
) {
    let test = Arc::new(test);
    if let Some(file) = env::var_os("STORAGE_SCHEDULE") {
        let replay = ReplayScheduler::new_from_file(PathBuf::from(file)).expect("a file with a schedule");
        return run(replay, test);
    }
    match env::var("STORAGE_SCHEDULES") {
        Ok(schedules) => {
            let schedules = schedules.parse().expect("STORAGE_SCHEDULES is a number");
            run(RandomScheduler::new(schedules), Arc::clone(&test));
            run(PctScheduler::new(DEPTH, schedules), test);
        }
        Err(_) => {
            run(RandomScheduler::new_from_seed(SEED, schedules), Arc::clone(&test));
            run(PctScheduler::new_from_seed(SEED, DEPTH, schedules), test);
        }
    }
}

fn run<F: Future<Output = ()>>(
    scheduler: impl Scheduler + 'static,
    test: Arc<impl Fn() -> F + Send + Sync + 'static>,
) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    // That all orderings are taken for the strictest: the atomics here are counters and flags.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        sync::begin();
        shuttle::future::block_on(test());
    });
}

/// A folder for the databases of all schedules of a test: in memory where there is such a place, since no schedule
/// depends on the disk.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("a temporary folder")
}

/// Removes a database of the schedule before, with what lies beside it.
pub(crate) fn remove_database(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        match std::fs::remove_file(PathBuf::from(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
    }
}

/// Awaits work, or gives up on it when it has been polled so many times.
pub(crate) async fn or_go_away<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut patience = polls;
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if patience == 0 => Poll::Ready(None),
        Poll::Pending => {
            patience -= 1;
            // Looks again without being called: it is the patience that ends, not the work.
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}
