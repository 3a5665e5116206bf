//! The command line: every command is a few calls of the library and one answer.
//!
//! Data goes to standard output, everything else to standard error; `--json` makes both machine-readable.
//! Exit codes are those of [`exit`].

mod arguments;
mod backends;
mod catalog;
mod config;
mod context;
mod exit;
mod extensions;
mod files;
mod keys;
mod local;
mod output;
mod plugins;
mod reload;
mod remote;
mod scrub;
mod self_test;
mod serve;
mod signals;
mod table;
mod transfer;
mod usage;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use context::{Context, Purpose};
use output::Output;

/// One API over any storage provider: save, retrieve, delete, get a download link.
///
/// The provider is a plugin that .env names (PRIMARY_BACKEND=local); see `storage config show` for every setting and
/// where it comes from.
#[derive(Debug, Parser)]
#[command(name = "storage", version, arg_required_else_help = true, after_help = exit::HELP)]
struct Cli {
    /// Reads this configuration file in place of storage.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answers in JSON
    #[arg(long, global = true)]
    json: bool,
    /// Writes nothing but answers and errors: no progress, no remarks
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the HTTP service
    Serve(serve::Serve),
    /// Saves files and prints their ids
    Put(files::Put),
    /// Reads a file
    Get(files::Get),
    /// Lists files
    Ls(files::Ls),
    /// Deletes files, or one version of a file
    Rm(files::Rm),
    /// Makes a download link
    Url(files::Url),
    /// Copies a file
    Cp(files::Cp),
    /// Lists the versions of a file, or makes an older one current again
    Versions(files::Versions),
    /// Shows what a user uses, or sets what a user may use
    Usage(usage::Usage),
    /// Looks at the plugins that were found, and verifies plugins
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// Looks at the configured backends, and opens, closes and switches those of the running service
    #[command(subcommand)]
    Backends(backends::Backends),
    /// Lets the running service read its configuration again
    Reload(reload::Reload),
    /// Tries a configured backend step by step: saves, reads, lists and deletes an object of its own
    Test(self_test::Test),
    /// Checks, repairs and rebuilds the catalog, and reads its audit log
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Reads every stored version and compares it with its digest
    Scrub(scrub::Scrub),
    /// Looks at the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Manages the keys that applications call the service with, and those that sign links
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Runs the command that the process was started with.
pub fn execute() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output =
        Output { json: cli.json, quiet: cli.quiet, progress: !cli.quiet && std::io::stderr().is_terminal() };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.fail(&anyhow::Error::new(error).context("the runtime could not be started"));
        }
    };
    let code = match runtime.block_on(run(cli, output)) {
        Ok(code) => code,
        Err(error) => output.fail(&error),
    };
    // A thread that still reads standard input would hold up the end.
    runtime.shutdown_background();
    code
}

/// Arguments that are wrong, or that ask for help.
fn not_understood(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if wants_json && error.use_stderr() {
        let text = error.to_string();
        // The first paragraph says what is wrong; the others tell a person how to go on.
        let told = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let output = Output { json: true, quiet: true, progress: false };
        return output.fail(&arguments::usage(&told).into());
    }
    // Nobody is left to tell where the help cannot be written.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn run(cli: Cli, output: Output) -> anyhow::Result<ExitCode> {
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "storage", &mut script);
        output.raw(&script)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bind = if let Command::Serve(serve) = &cli.command { serve.bind.clone() } else { None };
    let purpose = match cli.command {
        Command::Serve(_) => Purpose::Serve,
        Command::Plugins(_) => Purpose::LookAtPlugins,
        Command::Config(config::Config::Show { .. }) => Purpose::ShowConfiguration,
        _ => Purpose::Other,
    };
    let context = Context::load(cli.config, bind, output, purpose)?;
    match cli.command {
        Command::Serve(command) => command.run(&context).await,
        Command::Put(command) => command.run(&context).await,
        Command::Get(command) => command.run(&context).await,
        Command::Ls(command) => command.run(&context).await,
        Command::Rm(command) => command.run(&context).await,
        Command::Url(command) => command.run(&context).await,
        Command::Cp(command) => command.run(&context).await,
        Command::Versions(command) => command.run(&context).await,
        Command::Usage(command) => command.run(&context).await,
        Command::Plugins(command) => command.run(&context).await,
        Command::Backends(command) => command.run(&context).await,
        Command::Reload(command) => command.run(&context).await,
        Command::Test(command) => command.run(&context).await,
        Command::Catalog(command) => command.run(&context).await,
        Command::Scrub(command) => command.run(&context).await,
        Command::Config(command) => command.run(&context),
        Command::Keys(command) => command.run(&context).await,
        Command::Completions { .. } => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
