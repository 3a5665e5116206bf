//! Measures the service beside what people would use instead. `cargo xtask bench` builds and runs it, with everything
//! that it needs.
//!
//! Each file below `rows/` is one group of rows. A row is measured in rounds, in which the contenders take turns.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod chart;
mod clients;
mod contest;
mod delay;
mod disk;
mod environment;
mod host;
mod nginx;
mod plugins;
mod process;
mod raw_http;
mod report;
mod row;
mod rows;
mod service;
mod stores;
mod table;
mod weed;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use environment::Environment;
use report::Report;

/// Measure the service beside what people would use instead
#[derive(Parser)]
struct Args {
    /// Rows or groups of rows; all where none is named
    names: Vec<String>,
    /// List the rows and measure nothing
    #[arg(long)]
    list: bool,
    /// Tell what the rows need besides what is built, and measure nothing
    #[arg(long, hide = true)]
    needs: bool,
    /// How many rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a round of many small calls lasts, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How large the large files are, in MiB
    #[arg(long, default_value_t = 1024)]
    large_mib: u64,
    /// How large the file is whose way through the service is watched, in GiB; smaller where the disk has no room
    #[arg(long, default_value_t = 10)]
    huge_gib: u64,
    /// How many files the large catalog has
    #[arg(long, default_value_t = 1_000_000)]
    catalog_files: u64,
    /// Keep the figures as those that later runs are compared with even where only some rows were measured
    #[arg(long)]
    save: bool,
    /// Where the files lie that are read and written
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let groups = rows::select(&args.names)?;
    if args.list {
        for group in &groups {
            println!("{}", group.name);
            for row in group.rows {
                println!("  {row}");
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.needs {
        rows::needs(&groups).iter().for_each(|need| println!("{need}"));
        return Ok(ExitCode::SUCCESS);
    }
    // The HTTP clients of some peers ask for one even where nothing is encrypted.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("another provider of cryptography was chosen before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let environment = Environment::new(args.folder.clone(), wanted_rows(args, &groups))?
        .with_rounds(args.rounds.max(1), Duration::from_secs_f64(args.seconds.clamp(0.01, 600.0)))
        .with_sizes(args.large_mib << 20, args.huge_gib << 30, args.catalog_files);
    let mut report = Report::new(args.rounds);
    for group in &groups {
        eprintln!("{}", group.name);
        match runtime.block_on((group.run)(&environment)) {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => {
                eprintln!("  left out: {error:#}");
                report.leave_out(group.name, &format!("{error:#}"));
            }
        }
    }
    // What still runs in the background shall not keep it from ending.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let before = Report::load_last(environment.results())?;
    println!("{}", table::render(&report, before.as_ref()));
    let saved = report.save(environment.results(), args.names.is_empty() || args.save)?;
    let page = chart::write(&report, before.as_ref(), environment.results())?;
    println!("figures: {}\nchart:   {}", saved.display(), page.display());
    Ok(if report.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rows that are to be measured: all of a group that was named.
fn wanted_rows(args: &Args, groups: &[&rows::Group]) -> Vec<String> {
    let all = groups.iter().flat_map(|group| group.rows.iter().map(|row| (group.name, *row)));
    all.filter(|(group, row)| {
        args.names.is_empty() || args.names.iter().any(|name| name == row || name == group)
    })
    .map(|(_, row)| row.to_owned())
    .collect()
}
