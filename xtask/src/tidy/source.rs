//! Rules for one Rust file: what it is for, how long it is, what it must not contain.

use super::Fault;
use super::tokens::{Token, mask, reads, test_only_lines, tokens};
use super::tree::SourceFile;

/// From here on a file should be split.
const WARN_CODE_LINES: usize = 400;
/// Beyond this it must be.
const MAX_CODE_LINES: usize = 600;

/// The only folder with unsafe code and with the names of the boundary's crates.
const BOUNDARY: &str = "storage-core/src/abi/";

/// The only other file with unsafe code: a fixture that crashes the process that loads it, to show that the
/// host finds out which library did. No safe code can.
const HOSTILE: &str = "tests/fixtures/plugins/torture/src/native.rs";

pub(crate) fn check(file: &SourceFile) -> Vec<Fault> {
    let masked = mask(&file.text);
    let tokens = tokens(&masked);
    let mut faults: Vec<Fault> = purpose(file).into_iter().collect();
    faults.extend(size(file, &masked, &tokens));
    faults.extend(boundary(file, &tokens));
    faults.extend(silenced_tests(file, &tokens));
    faults
}

fn purpose(file: &SourceFile) -> Option<Fault> {
    let states_it = ["//! ", "#![doc = include_str!("].iter().any(|start| file.text.starts_with(start));
    (!states_it).then(|| Fault::new(&file.path, 1, "the file must start with `//!`: what it is for"))
}

fn size(file: &SourceFile, masked: &str, tokens: &[Token<'_>]) -> Option<Fault> {
    if is_test_file(&file.path) {
        return None;
    }
    let lines = code_lines(masked, tokens);
    if lines > MAX_CODE_LINES {
        let message = format!("{lines} lines of code, {MAX_CODE_LINES} are the limit: split it by operation");
        Some(Fault::new(&file.path, None, message))
    } else if lines > WARN_CODE_LINES {
        let message = format!("{lines} lines of code, {WARN_CODE_LINES} are plenty: think of splitting it");
        Some(Fault::warning(&file.path, message))
    } else {
        None
    }
}

/// Lines that hold code, those that are compiled for tests only left out.
fn code_lines(masked: &str, tokens: &[Token<'_>]) -> usize {
    let test_only = test_only_lines(tokens);
    masked
        .lines()
        .enumerate()
        .filter(|(index, line)| {
            !line.trim().is_empty() && !test_only.iter().any(|range| range.contains(&(index + 1)))
        })
        .count()
}

/// A file of a crate's `tests` folder, or a module of unit tests that has a file to itself. The package
/// `tests` has a `src` like any other.
fn is_test_file(path: &str) -> bool {
    let (crate_name, rest) = path.split_once('/').unwrap_or(("", path));
    let in_tests_folder = rest.split('/').any(|part| part == "tests") || (rest.ends_with("/tests.rs"));
    in_tests_folder || rest == "tests.rs" || (crate_name != "tests" && path.ends_with("_tests.rs"))
}

fn boundary(file: &SourceFile, tokens: &[Token<'_>]) -> Vec<Fault> {
    if file.path.starts_with(BOUNDARY) {
        return Vec::new();
    }
    let outside = ["unsafe", "abi_stable", "async_ffi"];
    let refused = if file.path == HOSTILE { &outside[1..] } else { &outside };
    tokens
        .iter()
        .filter(|token| refused.contains(&token.text))
        .map(|token| {
            Fault::new(&file.path, token.line, format!("`{}` has its place in {BOUNDARY} only", token.text))
        })
        .collect()
}

fn silenced_tests(file: &SourceFile, tokens: &[Token<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if reads(tokens, index, &["#", "[", "ignore", "]"]) {
            faults.push(Fault::new(&file.path, token.line, "a test is ignored without a reason"));
        }
        if token.text == "should_panic" {
            faults.push(Fault::new(
                &file.path,
                token.line,
                "`should_panic` accepts any panic: assert the error",
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_what_it_is_for_on_its_first_line() {
        assert_eq!(faults("a/src/b.rs", "//! Purpose.\n"), [] as [&str; 0]);
        assert_eq!(faults("a/src/lib.rs", "#![doc = include_str!(\"../a.md\")]\n"), [] as [&str; 0]);
        assert!(faults("a/src/b.rs", "use c;\n//! Late.\n")[0].contains("what it is for"));
        assert!(faults("a/src/b.rs", "//!\n")[0].contains("what it is for"), "an empty line says nothing");
    }

    #[test]
    fn length_is_warned_about_then_refused() {
        let code = |lines: usize| format!("//! Purpose.\n{}", "a();\n".repeat(lines));
        assert_eq!(faults("a/src/b.rs", &code(400)), [] as [&str; 0]);
        assert!(faults("a/src/b.rs", &code(401))[0].starts_with("warning"));
        assert!(faults("a/src/b.rs", &code(601))[0].starts_with("error"));
        assert_eq!(faults("a/tests/b.rs", &code(601)), [] as [&str; 0], "tests are not counted");
        assert_eq!(faults("a/src/b/tests.rs", &code(601)), [] as [&str; 0]);
        assert!(faults("tests/src/b.rs", &code(601))[0].starts_with("error"), "the harness is code");
    }

    #[test]
    fn comments_blank_lines_and_unit_tests_do_not_count() {
        let text = format!(
            "//! Purpose.\n\n/* a\nb */\nfn c() {{\n    d(\"\ne\n\")\n}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "f();\n".repeat(700)
        );
        let masked = mask(&text);
        assert_eq!(code_lines(&masked, &tokens(&masked)), 5, "lines inside a string are code");
    }

    #[test]
    fn unsafe_code_and_boundary_types_stay_in_their_folder() {
        let text = "//! Nothing unsafe here.\nuse abi_stable::X;\nfn a() { unsafe { b(\"unsafe\") } }\n";
        assert_eq!(faults("storage-core/src/abi/a.rs", text), [] as [&str; 0]);
        let found = faults("storage-host/src/plugin/a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("a.rs:2") && found[1].contains("a.rs:3"), "{found:?}");
        assert_eq!(faults("a/src/b.rs", "//! P.\n#![forbid(unsafe_code)]\n"), [] as [&str; 0]);
        let found = faults(HOSTILE, text);
        assert!(found.len() == 1 && found[0].contains("abi_stable"), "{found:?}");
        assert_eq!(faults("tests/fixtures/plugins/torture/src/lib.rs", text).len(), 2, "one file, no folder");
    }

    #[test]
    fn tests_are_neither_ignored_without_reason_nor_satisfied_by_any_panic() {
        assert_eq!(faults("a/src/b.rs", "//! P.\n#[ignore]\nfn c() {}\n").len(), 1);
        assert_eq!(faults("a/src/b.rs", "//! P.\n#[should_panic(expected = \"x\")]\nfn c() {}\n").len(), 1);
        assert_eq!(faults("a/src/b.rs", "//! P.\n#[ignore = \"needs a tape robot\"]\nfn c() {}\n").len(), 0);
    }
}
