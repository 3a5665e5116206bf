//! [`Contest`]: runs contenders in turns, round by round, so that whatever else the machine does hits them alike.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::task::JoinSet;

use crate::row::{Contender, Floor, Row, Unit};

type Round<'a> = Box<dyn FnMut() -> LocalBoxFuture<'a, Result<f64>> + 'a>;

/// A row that is about to be measured.
pub(crate) struct Contest<'a> {
    row: Row,
    rounds: Vec<Round<'a>>,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(name: &str, work: impl Into<String>, unit: Unit) -> Self {
        let row = Row {
            name: name.to_owned(),
            work: work.into(),
            unit,
            contenders: Vec::new(),
            floors: Vec::new(),
        };
        Self { row, rounds: Vec::new() }
    }

    /// Adds a contender and how it plays a round, which gives its figure. The first one is ours.
    pub(crate) fn contender<F>(mut self, name: &str, mut round: impl FnMut() -> F + 'a) -> Self
    where
        F: Future<Output = Result<f64>> + 'a,
    {
        self.row.contenders.push(Contender { name: name.to_owned(), rounds: Vec::new() });
        self.rounds.push(Box::new(move || round().boxed_local()));
        self
    }

    /// Asks the first contender to be so many times as good as another one.
    pub(crate) fn at_least(mut self, ratio: f64, against: &str) -> Self {
        self.row.floors.push(Floor::Ratio { against: against.to_owned(), at_least: ratio });
        self
    }

    /// Asks the first contender to need so much more than another one, at most.
    pub(crate) fn adds_at_most(mut self, figure: f64, to: &str) -> Self {
        self.row.floors.push(Floor::Added { to: to.to_owned(), at_most: figure });
        self
    }

    /// Asks the first contender for this figure, at most.
    pub(crate) fn at_most(mut self, figure: f64) -> Self {
        self.row.floors.push(Floor::Figure { at_most: figure });
        self
    }

    /// Plays the rounds. Each begins with another contender, since what the one leaves behind may cost the next. What
    /// waits for the disk does not: it is brought there before each turn, whoever left it.
    ///
    /// # Errors
    ///
    /// The first that a contender gives.
    pub(crate) async fn run(mut self, rounds: usize) -> Result<Row> {
        eprintln!("  {}", self.row.name);
        let contenders = self.rounds.len();
        for round in 0..rounds {
            let mut figures = vec![0.0; contenders];
            for turn in 0..contenders {
                let index = (round + turn) % contenders;
                let contender = &self.row.contenders[index].name;
                rustix::fs::sync();
                let figure = (self.rounds[index])().await;
                figures[index] = figure.with_context(|| format!("{}: {contender}", self.row.name))?;
            }
            for (contender, figure) in self.row.contenders.iter_mut().zip(figures) {
                contender.rounds.push(figure);
            }
        }
        Ok(self.row)
    }
}

/// Calls as often as so many callers can in this time, and gives how often in a second. Each call gets a number of its
/// own.
///
/// # Errors
///
/// The first that a call gives.
pub(crate) async fn rate<F>(
    callers: usize,
    time: Duration,
    numbers: &Arc<AtomicU64>,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (numbers, call) = (Arc::clone(numbers), call.clone());
        tasks.spawn(async move {
            let mut calls = 0_u64;
            while started.elapsed() < time {
                call(numbers.fetch_add(1, Ordering::Relaxed)).await?;
                calls += 1;
            }
            anyhow::Ok(calls)
        });
    }
    let mut calls = 0;
    while let Some(task) = tasks.join_next().await {
        calls += task??;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}

/// Bytes in a second, from the time that work on so many took.
///
/// # Errors
///
/// Those of the work.
pub(crate) async fn throughput(bytes: u64, work: impl Future<Output = Result<()>>) -> Result<f64> {
    let started = Instant::now();
    work.await?;
    Ok(bytes as f64 / started.elapsed().as_secs_f64())
}
