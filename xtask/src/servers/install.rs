//! Finds the program of a server, or installs it below `target/servers/.install/`, once.
//!
//! An install is whole when its marker is there; one that was broken off is begun anew.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::catalogue::{Package, Server};
use super::recipes::succeed;

/// A program, and where it comes from in words.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) origin: String,
}

/// The program on the PATH, else the installed one, which is installed if need be.
///
/// # Errors
///
/// It is not there and could not be installed; the message ends with what would provide it.
pub(crate) fn program(server: &Server, servers: &Path) -> Result<Program> {
    if let Some(path) = on_path(server.on_path) {
        let origin = path.display().to_string();
        return Ok(Program { path, origin });
    }
    let path = installed(&server.package, &servers.join(".install"))
        .with_context(|| format!("it is not installed: {}", remedy(server)))?;
    Ok(Program { path, origin: server.package.to_string() })
}

/// What someone who has not got the server does to get it.
fn remedy(server: &Server) -> String {
    let needed = match server.package {
        Package::Pip { name, version, .. } => {
            format!(
                "to install {name} {version} takes python3 with its venv (`apt-get install python3-venv`)"
            )
        }
        Package::Npm { name, version, .. } => {
            format!("to install {name} {version} takes npm (`apt-get install npm`)")
        }
        Package::Go { module, version, .. } => {
            format!("`go install {module}@{version}`, with Go 1.24 or newer, provides it")
        }
    };
    format!(
        "{needed}; `{}` on the PATH does as well, or one that runs already, named in STORAGE_TEST_{}_ENDPOINT",
        server.on_path,
        server.name.to_uppercase()
    )
}

fn installed(package: &Package, folder: &Path) -> Result<PathBuf> {
    let home = folder.join(package.folder_name());
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    // Two servers may share a package, and two commands may run at the same time.
    let lock = File::create(folder.join(format!("{}.lock", package.folder_name())))?;
    lock.lock().context("waiting for another install")?;
    once(&home, || {
        let installer = package.installer();
        on_path(installer).with_context(|| format!("there is no {installer} to install {package} with"))?;
        eprintln!("installing {package} …");
        package.install(&home)?;
        package.program_in(&home).map(drop)
    })?;
    package.program_in(&home)
}

/// Fills a folder, unless that was done before to the end; what was broken off is removed.
fn once(home: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    let marker = home.join(".complete");
    if marker.try_exists()? {
        return Ok(());
    }
    if home.try_exists()? {
        fs::remove_dir_all(home).with_context(|| format!("removing {}", home.display()))?;
    }
    fs::create_dir(home).with_context(|| format!("creating {}", home.display()))?;
    fill()?;
    File::create(&marker).with_context(|| format!("creating {}", marker.display()))?;
    Ok(())
}

impl Package {
    fn folder_name(&self) -> String {
        let (name, version) = self.name_and_version();
        format!("{}-{version}", name.replace('/', "-"))
    }

    fn name_and_version(&self) -> (&'static str, &'static str) {
        match *self {
            Self::Pip { name, version, .. } | Self::Npm { name, version, .. } => (name, version),
            Self::Go { module, version, .. } => (module, version),
        }
    }

    /// The program that installs it.
    fn installer(&self) -> &'static str {
        match self {
            Self::Pip { .. } => "python3",
            Self::Npm { .. } => "npm",
            Self::Go { .. } => "go",
        }
    }

    fn install(&self, home: &Path) -> Result<()> {
        match *self {
            Self::Pip { name, version, .. } => {
                let mut venv = Command::new(self.installer());
                venv.args(["-m", "venv"]).arg(home);
                succeed(venv)?;
                let mut pip = Command::new(home.join("bin").join("pip"));
                pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check"])
                    .args(["--retries", "2", "--timeout", "20"])
                    .arg(format!("{name}=={version}"));
                succeed(pip)
            }
            Self::Npm { name, version, .. } => {
                let mut npm = Command::new(self.installer());
                // Without a prefix it would look for a project in the folders above.
                npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
                    .args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000"])
                    .arg("--prefix")
                    .arg(home)
                    .arg(format!("{name}@{version}"))
                    .current_dir(home);
                succeed(npm)
            }
            Self::Go { module, version, .. } => {
                let mut go = Command::new(self.installer());
                go.arg("install").arg(format!("{module}@{version}")).env("GOBIN", home).current_dir(home);
                succeed(go)
            }
        }
    }

    fn program_in(&self, home: &Path) -> Result<PathBuf> {
        let (Self::Pip { program, .. } | Self::Npm { program, .. } | Self::Go { program, .. }) = *self;
        find(home, program).with_context(|| format!("{self} has no {program} for this kind of machine"))
    }
}

impl std::fmt::Display for Package {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, version) = self.name_and_version();
        write!(formatter, "{name} {version}")
    }
}

/// The file at this path below a folder, where `*` stands for any one name.
fn find(folder: &Path, path: &str) -> Option<PathBuf> {
    let Some((before, after)) = path.split_once("*/") else {
        let file = folder.join(path);
        return file.is_file().then_some(file);
    };
    let entries = fs::read_dir(folder.join(before)).ok()?;
    entries.filter_map(Result::ok).find_map(|entry| find(&entry.path(), after))
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_below_any_folder() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = home.path().join("lib/python3.11/bin");
        fs::create_dir_all(&folder).expect("folders");
        fs::write(folder.join("weed"), "").expect("a file");
        assert_eq!(find(home.path(), "lib/*/bin/weed"), Some(folder.join("weed")));
        assert_eq!(find(home.path(), "lib/*/bin/seed"), None);
        assert_eq!(find(home.path(), "lib/*/bin"), None, "a folder is no program");
    }

    #[test]
    fn a_broken_off_install_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("weed-1");
        let broken_off = once(&home, || {
            fs::write(home.join("weed"), "half")?;
            anyhow::bail!("the network went away")
        });
        assert!(broken_off.is_err());

        let whole = || {
            assert!(!home.join("weed").exists(), "the half is still there");
            fs::write(home.join("weed"), "whole").map_err(Into::into)
        };
        once(&home, whole).expect("the second try");
        once(&home, || anyhow::bail!("it is whole already")).expect("the whole is kept");
        assert_eq!(fs::read_to_string(home.join("weed")).expect("reading"), "whole");
    }
}
