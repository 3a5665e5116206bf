//! `cargo xtask new-plugin`: makes the crate of a new plugin from the files in `xtask/template/`.
//!
//! What it makes builds, is found by the host and does what every backend must; the author replaces a working
//! store by a provider, step by step. `docs/plugin-guide.md` leads through it, and quotes the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Make the crate of a new plugin, which builds and can be verified at once
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backend type, such as `sftp`
    name: String,
    /// Make it in this folder, as a crate outside of this workspace, in place of `plugins/NAME`
    #[arg(long, value_name = "PATH")]
    standalone: Option<PathBuf>,
}

/// The longest backend type: it is part of file names and of variables.
const MAX_NAME: usize = 40;

macro_rules! template {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../template/", $path)))),+]
    };
}

/// The files that every new crate has.
const FILES: [(&str, &str); 10] = template![
    "README.md",
    "src/lib.rs",
    "src/backend.rs",
    "src/config.rs",
    "src/delete.rs",
    "src/list.rs",
    "src/options.rs",
    "src/read.rs",
    "src/save.rs",
    "src/store.rs",
];

/// Its unit tests, whose file is a module of its own like the others.
const TESTS: [(&str, &str); 1] = template!["src/tests.rs"];

const WORKSPACE_MANIFEST: &str = include_str!("../template/workspace.Cargo.toml");
const STANDALONE_MANIFEST: &str = include_str!("../template/standalone.Cargo.toml");
const GITIGNORE: &str = include_str!("../template/gitignore");
/// The template is formatted as all of this workspace is.
const RUSTFMT: &str = include_str!("../../rustfmt.toml");

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    check_name(&args.name)?;
    let root = workspace::root();
    match &args.standalone {
        Some(folder) => {
            // What was resolved and tested here is a good start; cargo takes out what is not needed.
            let lock = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
            let mut files = files(&args.name, STANDALONE_MANIFEST, &root)?;
            let settings = [(".gitignore", GITIGNORE), ("rustfmt.toml", RUSTFMT)];
            files.extend(settings.map(|(path, text)| (path, text.to_owned())));
            files.push(("Cargo.lock", lock));
            create(folder, &files)?;
            println!("made {}; now, in that folder:", folder.display());
            println!("  cargo build");
            println!("  storage plugins verify target/debug/{} --volatile", library(&args.name));
        }
        None => {
            let folder = root.join("plugins").join(&args.name);
            create(&folder, &files(&args.name, WORKSPACE_MANIFEST, &root)?)?;
            println!("made {}; now:", folder.display());
            println!("  cargo xtask build-plugins {}", args.name);
            println!("  target/debug/storage plugins verify {} --volatile", args.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The same rule as the host has for the names of backends.
fn check_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME {
        "is longer than 40 characters"
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "does not begin with a lower-case letter"
    } else if !name.chars().all(legal) {
        "holds something else than lower-case letters, digits and underscores"
    } else if name.contains("__") || name.ends_with('_') {
        "has an underscore that separates nothing"
    } else {
        return Ok(());
    };
    bail!("{name:?} cannot be a backend type: it {problem}; write it like `sftp` or `aws_s3`")
}

/// The files of the new crate, by their path in it.
fn files(name: &str, manifest: &str, root: &Path) -> Result<Vec<(&'static str, String)>> {
    let core = root.join("storage-core");
    let core = core.to_str().with_context(|| format!("{} is not UTF-8", core.display()))?;
    // A string of JSON is one of TOML.
    let manifest = manifest.replace("{{core_path}}", &serde_json::to_string(core)?);
    let mut files = vec![("Cargo.toml", rendered(name, &manifest))];
    files.extend(FILES.iter().chain(&TESTS).map(|(path, text)| (*path, rendered(name, text))));
    Ok(files)
}

fn rendered(name: &str, text: &str) -> String {
    text.replace("{{type}}", name)
        .replace("{{package}}", &package(name))
        .replace("{{Name}}", &camel_case(name))
        .replace("{{VARIABLE}}", &name.to_ascii_uppercase())
        .replace("{{rust_version}}", env!("CARGO_PKG_RUST_VERSION"))
}

fn package(name: &str) -> String {
    format!("storage-backend-{}", name.replace('_', "-"))
}

/// The file that cargo makes of the package.
fn library(name: &str) -> String {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package(name).replace('-', "_"))
}

fn camel_case(name: &str) -> String {
    let capital = |word: &str| word.get(..1).unwrap_or_default().to_ascii_uppercase();
    name.split('_').map(|word| capital(word) + word.get(1..).unwrap_or_default()).collect()
}

/// Writes the files into a new folder, all of them or none.
fn create(folder: &Path, files: &[(&str, String)]) -> Result<()> {
    ensure!(
        !folder.try_exists()?,
        "{} is there already: remove it, or choose another name",
        folder.display()
    );
    let name = folder.file_name().with_context(|| format!("{} names no folder", folder.display()))?;
    let draft = folder.with_file_name(format!(".{}.new", name.display()));
    let written = write_all(&draft, files)
        .and_then(|()| fs::rename(&draft, folder).with_context(|| format!("naming {}", folder.display())));
    if written.is_err()
        && let Err(error) = fs::remove_dir_all(&draft)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("{} stays behind: {error}", draft.display());
    }
    written
}

fn write_all(folder: &Path, files: &[(&str, String)]) -> Result<()> {
    let source = folder.join("src");
    fs::create_dir_all(&source).with_context(|| format!("creating {}", source.display()))?;
    for (path, text) in files {
        let path = folder.join(path);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_a_type_is_refused_with_the_reason() {
        for name in ["sftp", "aws_s3", "b2"] {
            check_name(name).expect(name);
        }
        for (name, reason) in [
            ("", "is empty"),
            ("Sftp", "begin"),
            ("3d", "begin"),
            ("_a", "begin"),
            ("my-disk", "something else"),
            ("../x", "begin"),
            ("a/b", "something else"),
            ("a__b", "separates nothing"),
            ("a_", "separates nothing"),
            (&"a".repeat(41), "longer than 40"),
        ] {
            let error = check_name(name).expect_err(name).to_string();
            assert!(error.contains(reason) && error.contains("aws_s3"), "{error}");
        }
    }

    #[test]
    fn names_take_the_form_that_their_place_has() {
        assert_eq!(camel_case("aws_s3"), "AwsS3");
        assert_eq!(package("aws_s3"), "storage-backend-aws-s3");
        let text = "{{type}} {{package}} {{Name}}Backend {{VARIABLE}}_HOST";
        assert_eq!(rendered("b2_x", text), "b2_x storage-backend-b2-x B2XBackend B2_X_HOST");
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for manifest in [WORKSPACE_MANIFEST, STANDALONE_MANIFEST] {
            for (path, text) in files("aws_s3", manifest, Path::new("/w")).expect("rendered") {
                assert!(!text.contains("{{"), "{path} has a placeholder left");
            }
        }
    }

    #[test]
    fn every_file_of_the_template_is_used() {
        let folder = workspace::root().join("xtask/template/src");
        let mut there: Vec<String> = fs::read_dir(folder)
            .expect("the template")
            .map(|entry| format!("src/{}", entry.expect("an entry").file_name().display()))
            .collect();
        there.sort();
        let mut used: Vec<&str> =
            FILES.iter().chain(&TESTS).map(|(path, _)| *path).filter(|path| path.ends_with(".rs")).collect();
        used.sort_unstable();
        assert_eq!(there, used);
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = dir.path().join("mine");
        fs::create_dir(&folder).expect("a folder");
        let error = create(&folder, &[("Cargo.toml", "new".to_owned())]).expect_err("it exists").to_string();
        assert!(error.contains("there already"), "{error}");
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 0);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing is left beside it");
    }

    /// The file that a line of the guide links to, where the line announces a quotation.
    fn quoted(line: &str) -> Option<&str> {
        line.split("](../xtask/template/").nth(1)?.split(')').next()
    }

    #[test]
    fn the_guide_quotes_what_is_made() {
        let guide = fs::read_to_string(workspace::root().join("docs/plugin-guide.md")).expect("the guide");
        let mut made = files("shelf", STANDALONE_MANIFEST, Path::new("/w")).expect("rendered");
        made[0].0 = "standalone.Cargo.toml";
        let (mut quotations, mut announced) = (0, None);
        let mut lines = guide.lines();
        while let Some(line) = lines.next() {
            let block = match line {
                "```rust" | "```toml" => lines.by_ref().take_while(|line| *line != "```"),
                "" => continue,
                line => {
                    announced = quoted(line);
                    continue;
                }
            };
            let block: Vec<&str> = block.collect();
            let path = announced.take().unwrap_or_else(|| panic!("no file is named for {block:?}"));
            let (_, text) = made.iter().find(|(name, _)| *name == path).unwrap_or_else(|| panic!("{path}"));
            let block = block.join("\n");
            assert!(text.contains(&block), "{path} does not have:\n{block}");
            quotations += 1;
        }
        assert!(quotations >= 5, "the guide quotes {quotations} times only");
    }
}
