//! Documentation must not name what is not there: paths in backticks and relative links exist.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::Fault;
use super::tree::SourceFile;

/// The changelog speaks of the past, so what it names may be gone.
const HISTORY: &str = "CHANGELOG.md";

pub(crate) fn check(file: &SourceFile, root: &Path) -> Result<Vec<Fault>> {
    if file.path == HISTORY {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(root).with_context(|| format!("reading {}", root.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.extend(entry.file_name().into_string().ok());
        }
    }
    let exists = |path: &Path| root.join(path).exists();
    Ok(missing(file, &folders, &exists))
}

fn missing(file: &SourceFile, folders: &[String], exists: &dyn Fn(&Path) -> bool) -> Vec<Fault> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    for (number, line) in prose(&file.text) {
        for name in code_spans(line).filter(|name| is_repository_path(name, folders)) {
            if !exists(Path::new(name)) {
                faults.push(Fault::new(&file.path, number, format!("`{name}` does not exist")));
            }
        }
        for target in links(line).filter(|target| !target.contains(':') && !target.starts_with('#')) {
            let target = target.split('#').next().unwrap_or(target);
            if !exists(&normalized(&folder.join(target))) {
                faults.push(Fault::new(&file.path, number, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    faults
}

/// The lines outside fenced code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((index + 1, line))
    })
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A path that starts with one of the repository's folders, or names a Rust file in any folder.
fn is_repository_path(name: &str, folders: &[String]) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let Some((first, _)) = name.split_once('/') else {
        return false;
    };
    let made = ["target", "dist", "storage"].contains(&first);
    plain
        && !first.is_empty()
        && !made
        && (folders.iter().any(|folder| folder == first) || name.ends_with(".rs"))
}

/// The targets of inline links: `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// Resolves `..` by the text of the path alone.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let file = SourceFile { path: "docs/architecture.md".to_owned(), text: text.to_owned() };
        let folders = ["docs", "storage-core", "target"].map(str::to_owned);
        let present = ["docs/http-api.md", "storage-core/src/abi/", "README.md"];
        missing(&file, &folders, &|path| present.iter().any(|name| Path::new(name) == path))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_path_in_backticks_must_exist() {
        assert_eq!(faults("See `storage-core/src/abi/`.\n"), [] as [&str; 0]);
        let found = faults("One.\nSee `storage-core/src/abi/` and `storage-core/src/gone.rs`.\n");
        assert_eq!(found, ["error: docs/architecture.md:2: `storage-core/src/gone.rs` does not exist"]);
        assert_eq!(faults("`storage-kore/src/lib.rs`\n").len(), 1, "a misspelt folder is no way out");
    }

    #[test]
    fn what_is_no_path_of_the_repository_is_left_alone() {
        let text =
            "`POST /v1/files`, `/health/live`, `target/debug/plugins/`, `docs/<name>.md`, `and/or`, `x.rs`\n";
        assert_eq!(faults(text), [] as [&str; 0]);
        assert_eq!(faults("```\n`docs/gone.md`\n```\n"), [] as [&str; 0]);
    }

    #[test]
    fn relative_links_must_lead_somewhere() {
        let good = "[a](http-api.md), [b](../README.md#use), [c](https://example.org), [d](#here)\n";
        assert_eq!(faults(good), [] as [&str; 0]);
        assert_eq!(faults("[a](gone.md)\n").len(), 1);
        assert_eq!(faults("[a](../docs/http-api.md), [b](docs/http-api.md)\n").len(), 1);
    }
}
