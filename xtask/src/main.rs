//! `cargo xtask`: every chore of this repository, one file per command.
//!
//! This crate depends on no crate of the workspace, so that it stays quick to compile and works
//! while the rest does not.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod bench;
mod dist;
mod fuzz;
mod new_plugin;
mod plugins;
mod run;
mod servers;
mod soak;
mod staging;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, runs, checks and packs the storage service"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    BuildPlugins(plugins::Args),
    NewPlugin(new_plugin::Args),
    Servers(servers::Args),
    Test(test::Args),
    Soak(soak::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    Tidy(tidy::Args),
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Run(args) => run::run(&args),
        Command::BuildPlugins(args) => plugins::run(&args),
        Command::NewPlugin(args) => new_plugin::run(&args),
        Command::Servers(args) => servers::run(args),
        Command::Test(args) => test::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Dist(args) => dist::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
