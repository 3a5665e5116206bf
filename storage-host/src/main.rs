//! The `storage` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    storage_host::cli::execute()
}
