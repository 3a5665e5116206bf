//! `cargo xtask servers`: the real servers that tests talk to, started on this machine's loopback address.
//!
//! A server is an endpoint that the environment names, or else a program on the PATH, or else one that a
//! package manager installs below `target/servers/.install/`. What runs is described in
//! `target/servers/NAME/server.json`, where `tests/src/servers.rs` finds it. Only what was started here is
//! ever ended here.

mod catalogue;
mod description;
pub(crate) mod for_tests;
mod install;
mod lifecycle;
mod process;
mod ready;
mod recipes;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use catalogue::{Server, catalogue};
use lifecycle::{State, Up};

use crate::workspace;

/// Start, end and list the real servers that tests talk to
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start servers, installing those that are missing, and print how to use each from `.env`
    Up(Names),
    /// End servers that `up` started, and remove their data
    Down(Names),
    /// Show which servers run, and where
    Status(Names),
    /// Take the place of this process as a server without a terminal
    #[command(hide = true)]
    Detached {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// End the servers that standard input names, once it closes
    #[command(hide = true)]
    Guard { folder: PathBuf },
}

#[derive(clap::Args)]
struct Names {
    /// Servers, such as `seaweedfs`; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Up(names) => up(&select(&names.names)?),
        Command::Down(names) => down(&select(&names.names)?),
        Command::Status(names) => status(&select(&names.names)?),
        Command::Detached { command } => process::become_detached(&command),
        Command::Guard { folder } => for_tests::guard(&folder),
    }
}

/// Where the servers of this workspace live; tests look in the same place.
fn folder() -> Result<PathBuf> {
    Ok(workspace::target_folder()?.join("servers"))
}

fn select(names: &[String]) -> Result<Vec<Server>> {
    let all = catalogue();
    if names.is_empty() {
        return Ok(all);
    }
    names
        .iter()
        .map(|name| match all.iter().find(|server| server.name == *name) {
            Some(server) => Ok(server.clone()),
            None => {
                let known: Vec<&str> = all.iter().map(|server| server.name).collect();
                bail!("there is no server named `{name}`; the servers are: {}", known.join(", "))
            }
        })
        .collect()
}

/// Makes sure that one server answers, for another command.
///
/// # Errors
///
/// There is no such server, or it cannot be had.
pub(crate) fn start(name: &str) -> Result<()> {
    let servers = select(&[name.to_owned()])?;
    for server in &servers {
        lifecycle::up(server, &folder()?)?;
    }
    Ok(())
}

/// Makes sure that the program of one server is there, for another command that runs it in its own way.
///
/// # Errors
///
/// There is no such server, or its program cannot be had.
pub(crate) fn install(name: &str) -> Result<PathBuf> {
    let servers = select(&[name.to_owned()])?;
    let server = servers.first().context("a name selects one server")?;
    Ok(install::program(server, &folder()?)?.path)
}

/// Starts all at the same time; one that cannot be had does not keep the others from running.
fn up(servers: &[Server]) -> Result<ExitCode> {
    let results = lifecycle::up_all(servers, &folder()?);
    let running: Vec<&str> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(server, _)| server.name).collect();
    let mut missing = Vec::new();
    for (server, result) in results {
        let stand_ins = server.stand_ins_among(&running);
        match result {
            Ok(Up { description, started }) => {
                let how = if started { "ready" } else { "runs already" };
                println!("\n# {}: {how} at {} ({})", server.name, description.endpoint, description.origin);
                for (variable, value) in (server.env)(&description) {
                    println!("{variable}={value}");
                }
            }
            Err(error) if !stand_ins.is_empty() => {
                eprintln!("\n{}: {error:#}\n{} stands in", server.name, stand_ins.join(", "));
            }
            Err(error) => {
                eprintln!("\nerror: {}: {error:#}", server.name);
                missing.push(server.name);
            }
        }
    }
    if missing.is_empty() {
        println!("\n# What is above, for one of them, goes into .env; `cargo xtask servers down` ends them.");
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!("\nnot running: {}", missing.join(", "));
        Ok(ExitCode::FAILURE)
    }
}

fn down(servers: &[Server]) -> Result<ExitCode> {
    let folder = folder()?;
    let mut failed = false;
    for server in servers {
        match lifecycle::down(server.name, &folder) {
            Ok(ended) => println!("{:<12} {ended}", server.name),
            Err(error) => {
                eprintln!("error: {}: {error:#}", server.name);
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn status(servers: &[Server]) -> Result<ExitCode> {
    let folder = folder()?;
    println!("{:<12} {:<12} {:<26} {:>8}  WHAT", "NAME", "STATE", "ENDPOINT", "PID");
    for server in servers {
        let (state, description) = match lifecycle::state(server.name, &folder) {
            State::Absent => ("not running", None),
            State::Healthy(description) => ("running", Some(description)),
            State::Silent(description) => ("silent", Some(description)),
            State::Gone(description) => ("died", Some(description)),
        };
        let endpoint = description.as_ref().map_or("-", |description| &description.endpoint);
        let pid = description
            .as_ref()
            .and_then(|description| description.process.as_ref())
            .map_or_else(|| "-".to_owned(), |process| process.pid.to_string());
        let what = description.as_ref().map_or(server.about, |description| &description.origin);
        println!("{:<12} {state:<12} {endpoint:<26} {pid:>8}  {what}", server.name);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_server_is_answered_with_the_list() {
        let error = select(&["seaweed".to_owned()]).map(|_| ()).expect_err("no such server").to_string();
        assert!(error.contains("`seaweed`") && error.contains("seaweedfs, ministack"), "{error}");
    }

    #[test]
    fn no_names_mean_all_servers() {
        assert_eq!(select(&[]).expect("all").len(), catalogue().len());
        assert_eq!(select(&["azurite".to_owned()]).expect("one")[0].name, "azurite");
    }
}
