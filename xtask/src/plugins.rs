//! `cargo xtask build-plugins`: builds plugin libraries and stages them for the host.

use std::process::ExitCode;

use anyhow::Result;

use crate::{staging, workspace};

/// Build plugins and put them into `plugins/` beside the host's executable
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Backend types to build, such as `local`; all when none is named
    #[arg(value_name = "TYPE")]
    types: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let plugins = workspace::select(&workspace::plugins()?, &args.types)?;
    let built = workspace::build_plugins(&plugins, args.release)?;
    let folder = staging::stage_beside(&built.libraries)?;
    let types: Vec<&str> = plugins.iter().map(|plugin| plugin.backend_type.as_str()).collect();
    println!("{} ready in {}", types.join(", "), folder.display());
    Ok(ExitCode::SUCCESS)
}
