//! Reads the repository's text files.
//!
//! It walks the folders instead of asking git, so that the check also runs on an unpacked archive.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the workspace root, with `/` on every platform.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Folders, from the root, that are made, not written: build output, stored files, and what fuzzing leaves behind.
const MADE: [&str; 7] =
    [".git", "target", "dist", "storage", "tests/bench/target", "tests/fuzz/target", "tests/fuzz/artifacts"];

/// The endings of files in which the rules for text hold.
const TEXT_ENDINGS: [&str; 10] =
    ["rs", "md", "toml", "sql", "sh", "yml", "yaml", "html", "py", "env.example"];

/// Text files that have no telling ending.
const TEXT_NAMES: [&str; 6] =
    [".ci/run", ".gitignore", ".env.example", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE"];

/// The repository's text files, in the order of their paths.
///
/// # Errors
/// A folder or file that cannot be read, or a text file that is not UTF-8.
pub(crate) fn read(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    read_dir(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_dir(root: &Path, folder: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let full = root.join(folder);
    for entry in fs::read_dir(&full).with_context(|| format!("reading {}", full.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue; // No rule is about a name that is not UTF-8.
        };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !MADE.contains(&path.as_str()) {
                read_dir(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&path) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    TEXT_NAMES.contains(&path)
        || path.rsplit_once('.').is_some_and(|(_, ending)| TEXT_ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_stored_files_are_skipped_at_the_root_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for path in ["target/a.rs", "storage/cv.md", "crate/src/storage/mod.rs", "README.md", "cv.pdf"] {
            let full = dir.path().join(path);
            fs::create_dir_all(full.parent().expect("a parent")).expect("creating the folder");
            fs::write(full, "text\n").expect("writing");
        }
        let paths: Vec<String> =
            read(dir.path()).expect("reading").into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["README.md", "crate/src/storage/mod.rs"]);
    }
}
