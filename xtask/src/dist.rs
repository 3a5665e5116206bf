//! `cargo xtask dist`: a folder that runs when it is copied to another machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::{staging, workspace};

/// Pack the service, all plugins, the documentation and the licences into one folder
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build without optimisations: quicker to make, slower to run
    #[arg(long, conflicts_with = "release")]
    debug: bool,
    /// Build with optimisations, which is the default
    #[arg(long)]
    release: bool,
    /// The folder to make; an earlier package there is replaced
    #[arg(default_value = "dist")]
    out: PathBuf,
}

/// Files of the repository that go into the package under the same name.
const TEXTS: [&str; 6] =
    ["README.md", "CHANGELOG.md", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE", ".env.example"];

/// Written first, so that a folder which holds it is known to be ours and may be replaced.
const MARKER: &str = "VERSION";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root();
    let out = std::path::absolute(&args.out)?;
    refuse_foreign_folder(&out)?;

    let plugins = workspace::plugins()?;
    let built = workspace::build_with_host(&plugins, !args.debug)?;
    let host = built.host.context("cargo built no binary of the host")?;

    clear(&out)?;
    staging::create_dir(&out)?;
    fs::write(out.join(MARKER), format!("{}\n", env!("CARGO_PKG_VERSION")))
        .with_context(|| format!("writing {MARKER}"))?;
    let binary = host.file_name().context("the host's binary has no name")?;
    // In a folder of its own, since the service keeps files in ./storage unless it is told otherwise.
    let bin = out.join("bin");
    staging::create_dir(&bin)?;
    staging::install(&host, &bin.join(binary))?;
    staging::stage(&built.libraries, &out.join("plugins"))?;
    for name in TEXTS {
        copy(&root.join(name), &out.join(name))?;
    }
    copy_markdown(&root.join("docs"), &out.join("docs"))?;

    println!("packed {}", out.display());
    println!(
        "copy it anywhere, copy its .env.example to .env there, and start bin/{} serve",
        binary.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Fails when `out` holds something that no earlier `dist` put there.
fn refuse_foreign_folder(out: &Path) -> Result<()> {
    if !out.try_exists()? || out.join(MARKER).is_file() {
        return Ok(());
    }
    ensure!(out.is_dir(), "{} is not a folder", out.display());
    if fs::read_dir(out)?.next().is_some() {
        bail!("{} holds files that are not from `dist`: name an empty or a new folder", out.display());
    }
    Ok(())
}

/// Removes what an earlier `dist` put there, and nothing that the service or its user added since.
fn clear(out: &Path) -> Result<()> {
    for name in ["bin", "plugins", "docs"] {
        let folder = out.join(name);
        if folder.try_exists()? {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
    }
    Ok(())
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    fs::copy(source, target)
        .map(drop)
        .with_context(|| format!("copying {} to {}", source.display(), target.display()))
}

fn copy_markdown(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("creating {}", target.display()))?;
    for entry in fs::read_dir(source).with_context(|| format!("reading {}", source.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            copy(&path, &target.join(path.file_name().context("a file without a name")?))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_peoples_files_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = dir.path().join("out");
        refuse_foreign_folder(&out).expect("a new folder");
        fs::create_dir(&out).expect("creating it");
        refuse_foreign_folder(&out).expect("an empty folder");
        fs::write(out.join("thesis.md"), "years of work").expect("a file");
        let error = refuse_foreign_folder(&out).expect_err("somebody's work").to_string();
        assert!(error.contains("not from `dist`"), "{error}");
        fs::write(out.join(MARKER), "0.1.0\n").expect("the marker");
        refuse_foreign_folder(&out).expect("an earlier package");
    }

    #[test]
    fn a_new_package_drops_old_plugins_and_keeps_the_users_files() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("plugins")).expect("creating");
        fs::write(dir.path().join("plugins/libold.so"), "").expect("an old plugin");
        fs::write(dir.path().join(".env"), "PRIMARY_BACKEND=local\n").expect("the user's configuration");
        clear(dir.path()).expect("clearing");
        assert!(!dir.path().join("plugins").exists());
        assert!(dir.path().join(".env").exists());
    }

    #[test]
    fn every_text_that_is_packed_exists() {
        for name in TEXTS {
            assert!(workspace::root().join(name).is_file(), "{name} is missing");
        }
    }
}
