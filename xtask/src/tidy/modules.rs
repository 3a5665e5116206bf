//! The order of the host's modules: a module uses only what stands to its right.
//!
//! The rule is written down for people in docs/architecture.md; change both together.

use super::Fault;
use super::tokens::{Token, closing, mask, reads, tokens};
use super::tree::SourceFile;

/// From the outermost to the innermost. Modules of one group do not use one another.
const ORDER: [&[&str]; 12] = [
    &["main"],
    &["cli"],
    &["http"],
    &["service"],
    &["migration", "lifecycle", "workflows"],
    &["manager"],
    &["layers"],
    &["plugin"],
    &["catalog"],
    &["events"],
    &["telemetry"],
    &["config"],
];

/// What every module may use, and what uses none of the others.
const INNERMOST: &str = "error";

const HOST_SOURCES: &str = "storage-host/src/";
/// The name by which the binary and doc tests know the library.
const HOST_LIBRARY: &str = "storage_host";

pub(crate) fn check(file: &SourceFile) -> Vec<Fault> {
    let Some(path) = file.path.strip_prefix(HOST_SOURCES).filter(|path| *path != "lib.rs") else {
        return Vec::new();
    };
    let module = module_path(path);
    let masked = mask(&file.text);
    let tokens = tokens(&masked);
    used_modules(&tokens, module.len())
        .into_iter()
        .filter_map(|used| {
            let fault = fault(module[0], used.text)?;
            Some(Fault::new(&file.path, used.line, fault))
        })
        .collect()
}

/// `http/files/upload.rs` is `["http", "files", "upload"]`; `mod.rs` is its folder.
fn module_path(path: &str) -> Vec<&str> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
}

/// What is wrong with `user` using `used`.
fn fault(user: &str, used: &str) -> Option<String> {
    if used == user {
        return None;
    }
    let Some(user_rank) = rank(user) else {
        return Some(format!("module `{user}` has no place in the order of modules (docs/architecture.md)"));
    };
    let Some(used_rank) = rank(used) else {
        return Some(format!(
            "`crate::{used}` is no module of the order (docs/architecture.md): name the module that holds it"
        ));
    };
    match used_rank.cmp(&user_rank) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal => {
            Some(format!("`{user}` and `{used}` are peers and must not use one another"))
        }
        std::cmp::Ordering::Less => {
            Some(format!("`{user}` must not use `{used}`, which is built on top of it"))
        }
    }
}

fn rank(module: &str) -> Option<usize> {
    if module == INNERMOST {
        return Some(ORDER.len());
    }
    ORDER.iter().position(|group| group.contains(&module))
}

/// The top-level modules that the code of a file names, by `crate::`, by the library's name or by
/// `super::` as far as the root, in `use` lines and elsewhere. `depth` is the depth of the file's module.
fn used_modules<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Token<'a>> {
    let mut used = Vec::new();
    // The closing braces of the inline modules that we are in.
    let mut inline_ends: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        inline_ends.retain(|end| at < *end);
        let word = tokens[at].text;
        if word == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == "{") {
            inline_ends.push(closing(tokens, at + 2));
        } else if (word == "crate" || word == HOST_LIBRARY) && reads(tokens, at + 1, &[":", ":"]) {
            used.extend(first_segments(tokens, at + 3));
        } else if word == "super" {
            let mut ups = 1;
            while reads(tokens, at + 1, &[":", ":", "super"]) {
                ups += 1;
                at += 3;
            }
            if ups >= depth + inline_ends.len() && reads(tokens, at + 1, &[":", ":"]) {
                used.extend(first_segments(tokens, at + 3));
            }
        }
        at += 1;
    }
    used
}

/// The first words of the path or of each path of the group that starts at `at`.
fn first_segments<'a>(tokens: &[Token<'a>], at: usize) -> Vec<Token<'a>> {
    match tokens.get(at) {
        Some(token) if token.text == "{" => {}
        Some(token) => return vec![token.clone()],
        None => return Vec::new(),
    }
    let end = closing(tokens, at);
    let mut segments = Vec::new();
    let mut index = at + 1;
    while index < end {
        segments.push(tokens[index].clone());
        // On to what follows the next comma of this group.
        while index < end && tokens[index].text != "," {
            index = if tokens[index].text == "{" { closing(tokens, index) } else { index };
            index += 1;
        }
        index += 1;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: format!("{HOST_SOURCES}{path}"), text: text.to_owned() };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_uses_what_stands_to_its_right() {
        assert_eq!(faults("catalog/commit.rs", "use crate::events::Event;"), [] as [&str; 0]);
        assert_eq!(
            faults("http/files.rs", "use crate::service::Service;\nuse crate::error;"),
            [] as [&str; 0]
        );
        assert_eq!(faults("main.rs", "fn main() { storage_host::cli::main() }"), [] as [&str; 0]);
        assert_eq!(faults("manager/mod.rs", "use crate::{config, manager::state};"), [] as [&str; 0]);
        assert_eq!(faults("catalog/sqlite.rs", "use crate::telemetry::count;"), [] as [&str; 0]);
    }

    #[test]
    fn looking_upward_is_found_in_imports_and_in_code() {
        let found = faults("manager/mod.rs", "use crate::layers::Retry;\nfn a() -> crate::http::Answer {}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("mod.rs:2") && found[0].contains("`manager` must not use `http`"),
            "{found:?}"
        );
        let found = faults("service/save.rs", "use crate::{catalog::{Row, sqlite}, cli::Args, manager};");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`cli`"), "{found:?}");
    }

    #[test]
    fn peers_do_not_use_one_another_and_error_uses_nobody() {
        assert!(faults("lifecycle/mod.rs", "use crate::migration::Plan;")[0].contains("peers"));
        assert!(faults("migration.rs", "use crate::workflows::Step;")[0].contains("peers"));
        assert!(faults("error.rs", "use crate::config::Value;")[0].contains("must not use"));
        assert!(faults("config/mod.rs", "use crate::telemetry::Level;")[0].contains("must not use"));
    }

    #[test]
    fn super_counts_when_it_reaches_the_root() {
        assert!(faults("manager/mod.rs", "use super::http::Answer;")[0].contains("`http`"));
        assert!(faults("manager/route.rs", "use super::super::{cli};")[0].contains("`cli`"));
        assert_eq!(faults("manager/route.rs", "use super::state::State;"), [] as [&str; 0]);
        let unit_tests = "mod tests { use super::*; fn a() { super::b() } }\nuse super::service::C;";
        let found = faults("manager/mod.rs", unit_tests);
        assert_eq!(found.len(), 1, "inside an inline module `super` is the file itself: {found:?}");
        assert!(found[0].contains("mod.rs:2"), "{found:?}");
    }

    #[test]
    fn comments_strings_and_visibility_are_no_use() {
        let text = "//! See crate::http.\npub(crate) fn a() { b(\"crate::cli::c\") }\npub(in crate::catalog) fn d() {}";
        assert_eq!(faults("catalog/mod.rs", text), [] as [&str; 0]);
    }

    #[test]
    fn a_module_without_a_place_is_found() {
        assert!(faults("catalog/mod.rs", "use crate::Storage;")[0].contains("name the module that holds it"));
        assert!(faults("misc.rs", "use crate::error::Error;")[0].contains("has no place"));
        assert_eq!(
            faults("lib.rs", "pub use crate::service::Service;"),
            [] as [&str; 0],
            "the root names all"
        );
    }
}
