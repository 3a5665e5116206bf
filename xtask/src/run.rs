//! `cargo xtask run`: from a fresh clone to a running service.
//!
//! Builds the host and the plugins that the configuration names, stages them, makes sure that there
//! is a configuration, and becomes `storage serve`.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::staging;
use crate::workspace::{self, Plugin};

/// Build the service and the plugins it is configured for, then start it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Arguments for `storage serve`
    #[arg(value_name = "SERVE_ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    serve_args: Vec<String>,
}

/// What is used when the configuration names no backend; the host has the same default.
const DEFAULT_BACKEND: &str = "local";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root();
    create_env_file(&root)?;
    let plugins = needed_plugins(&workspace::plugins()?, &configuration(&root)?);
    let built = workspace::build_with_host(&plugins, args.release)?;
    staging::stage_beside(&built.libraries)?;

    let host = built.host.context("cargo built no binary of the host")?;
    print_next_steps(&host, &root)?;
    let mut serve = Command::new(host);
    serve.arg("serve").args(&args.serve_args).current_dir(&root);
    become_process(serve)
}

/// Gives a first run a `.env` to edit. An existing file is never touched, and one who configures
/// through the environment or a `storage.toml` gets none.
fn create_env_file(root: &Path) -> Result<()> {
    let elsewhere = ["PRIMARY_BACKEND", "STORAGE_CONFIG"].iter().any(|name| env::var_os(name).is_some());
    if elsewhere || root.join("storage.toml").try_exists()? {
        return Ok(());
    }
    if copy_if_absent(&root.join(".env.example"), &root.join(".env"))? {
        eprintln!("created .env from .env.example: edit it to choose another backend");
    }
    Ok(())
}

fn copy_if_absent(example: &Path, target: &Path) -> Result<bool> {
    let content = fs::read(example).with_context(|| format!("reading {}", example.display()))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Secrets will be written into it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(target) {
        Ok(mut file) => file.write_all(&content).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
    .with_context(|| format!("creating {}", target.display()))
}

/// Everything in which a backend type may be named, as one text.
fn configuration(root: &Path) -> Result<String> {
    let file = env::var_os("STORAGE_CONFIG").unwrap_or_else(|| "storage.toml".into());
    let mut texts = vec![read_if_present(&root.join(".env"))?, read_if_present(&root.join(file))?];
    texts.extend(["PRIMARY_BACKEND", "BACKENDS_CONFIG"].iter().filter_map(|name| env::var(name).ok()));
    Ok(texts.join("\n"))
}

fn read_if_present(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("reading {}", path.display())),
    }
}

/// The plugins whose type occurs in the configuration as a word; the default's when none does.
///
/// Building one too many costs a little time. Judging the configuration is the host's work: it names
/// what is wrong better than this could.
fn needed_plugins(plugins: &[Plugin], configuration: &str) -> Vec<Plugin> {
    let words: Vec<&str> = configuration
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-'))
        .collect();
    let named = |wanted: &dyn Fn(&Plugin) -> bool| -> Vec<Plugin> {
        plugins.iter().filter(|plugin| wanted(plugin)).cloned().collect()
    };
    let needed = named(&|plugin| words.contains(&plugin.backend_type.as_str()));
    if needed.is_empty() { named(&|plugin| plugin.backend_type == DEFAULT_BACKEND) } else { needed }
}

fn print_next_steps(host: &Path, root: &Path) -> io::Result<()> {
    let host = host.strip_prefix(root).unwrap_or(host).display();
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "\nStarting the service. It prints its address when it is ready; Ctrl-C stops it.")?;
    writeln!(stderr, "Nothing is anonymous: in a second terminal, make a key with\n")?;
    writeln!(stderr, "    export KEY=$({host} keys create first-light)\n")?;
    writeln!(stderr, "and save a file with the curl lines of README.md.\n")
}

/// Lets the service take this process's place, so that signals and the exit code are its own.
#[cfg(unix)]
fn become_process(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;

    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", command.get_program().display()))
}

#[cfg(not(unix))]
fn become_process(mut command: Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(configuration: &str) -> Vec<String> {
        let plugins = ["aws_s3", "gcs", "local", "minio"].map(|backend_type| Plugin {
            backend_type: backend_type.to_owned(),
            package: format!("storage-backend-{backend_type}"),
            manifest: format!("/w/plugins/{backend_type}/Cargo.toml").into(),
        });
        needed_plugins(&plugins, configuration).into_iter().map(|plugin| plugin.backend_type).collect()
    }

    #[test]
    fn only_plugins_that_the_configuration_names_are_built() {
        assert_eq!(needed("minio"), ["minio"]);
        assert_eq!(
            needed(r#"archive {"archive": {"type": "aws_s3"}, "near": {"type": "local"}}"#),
            ["aws_s3", "local"]
        );
        assert_eq!(needed("type = \"gcs\"\nname = \"minio_cold\""), ["gcs"], "only whole words count");
        assert_eq!(
            needed("# PRIMARY_BACKEND=gcs\nPRIMARY_BACKEND=minio"),
            ["minio"],
            "comments do not count"
        );
    }

    #[test]
    fn without_a_named_backend_the_default_is_built() {
        assert_eq!(needed(""), ["local"]);
        assert_eq!(needed("sftp"), ["local"], "the host answers for a type that does not exist");
    }

    #[test]
    fn an_existing_env_file_is_never_touched() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (example, target) = (dir.path().join(".env.example"), dir.path().join(".env"));
        fs::write(&example, "PRIMARY_BACKEND=local\n").expect("the example");
        assert!(copy_if_absent(&example, &target).expect("the first copy"));
        fs::write(&target, "PRIMARY_BACKEND=minio\n").expect("an edit");
        assert!(!copy_if_absent(&example, &target).expect("no second copy"));
        assert_eq!(fs::read_to_string(&target).expect("reading"), "PRIMARY_BACKEND=minio\n");
    }
}
