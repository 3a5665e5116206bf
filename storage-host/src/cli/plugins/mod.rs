//! `storage plugins …`: looks at the libraries that were found, one file per command.

mod doctor;
mod inspect;
mod list;
mod lock;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::Context;

/// Looks at the plugins that were found.
#[derive(Debug, Subcommand)]
pub(super) enum Plugins {
    /// Lists every library in the plugin directories, and why those that cannot be used cannot; runs none of them
    List,
    /// Writes plugins.lock into every plugin directory: from then on only the libraries that are there now are loaded
    Lock,
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Doctor(doctor::Doctor),
    /// Examines one library for `doctor`
    #[command(name = doctor::EXAMINE, hide = true)]
    Examine,
}

impl Plugins {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Plugins::List => list::run(context),
            Plugins::Lock => lock::run(context),
            Plugins::Verify(command) => command.run(context).await,
            Plugins::Inspect(command) => command.run(context).await,
            Plugins::Doctor(command) => command.run(context).await,
            Plugins::Examine => doctor::examine(context).await,
        }
    }
}
