//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Each rule is a function from text to faults, so that its own unit test can show it failing.
//! The rules also run as a test of this crate, and so with every `cargo xtask test`.

mod dependencies;
mod docs;
mod modules;
mod source;
mod text;
mod tokens;
mod tree;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace;

/// Check the house rules: module order, file sizes, documentation, dependencies
#[derive(clap::Args)]
pub(crate) struct Args {}

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, relative to the workspace root.
    path: String,
    /// The line, counted from one; absent when the fault is the file as a whole.
    line: Option<usize>,
    message: String,
    severity: Severity,
}

/// Whether a fault fails the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Fault {
    fn new(path: &str, line: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: line.into(), message: message.into(), severity: Severity::Error }
    }

    fn warning(path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(path, None, message) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    let faults = check(&workspace::root())?;
    Ok(if report(&faults) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every fault of the repository at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Fault>> {
    let files = tree::read(root)?;
    let mut faults = Vec::new();
    for file in &files {
        faults.extend(text::check(file));
        if file.path.ends_with(".rs") {
            faults.extend(source::check(file));
            faults.extend(modules::check(file));
        }
        if file.path.ends_with(".md") {
            faults.extend(docs::check(file, root)?);
        }
    }
    faults.extend(dependencies::check(root)?);
    Ok(faults)
}

/// Prints the faults and says whether the check has passed: warnings do not fail it.
pub(crate) fn report(faults: &[Fault]) -> bool {
    for fault in faults {
        println!("{fault}");
    }
    let errors = faults.iter().filter(|fault| fault.severity == Severity::Error).count();
    println!("tidy: {errors} errors, {} warnings", faults.len() - errors);
    errors == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let faults = check(&workspace::root()).expect("reading the repository");
        assert!(report(&faults), "the faults are listed above");
    }

    #[test]
    fn warnings_are_shown_and_do_not_fail() {
        let warning = Fault::warning("a.rs", "long");
        assert_eq!(warning.to_string(), "warning: a.rs: long");
        assert!(report(std::slice::from_ref(&warning)));
        let error = Fault::new("a.rs", 3, "wrong");
        assert_eq!(error.to_string(), "error: a.rs:3: wrong");
        assert!(!report(&[warning, error]));
    }
}
