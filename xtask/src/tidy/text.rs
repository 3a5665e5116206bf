//! Rules for every text file: clean line ends, no tabs in Rust, nothing left unfinished.

use super::Fault;
use super::tree::SourceFile;

/// Marks of unfinished work. They are put together here so that this file does not hold them.
const UNFINISHED_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const UNFINISHED_MACROS: [&str; 3] =
    [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!")];

pub(crate) fn check(file: &SourceFile) -> Vec<Fault> {
    let mut faults = line_ends(file);
    faults.extend(unfinished(file));
    faults
}

fn line_ends(file: &SourceFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in numbered(&file.text) {
        if line.ends_with([' ', '\t', '\r']) {
            faults.push(Fault::new(&file.path, number, "white space at the end of the line"));
        }
        if file.path.ends_with(".rs") && line.contains('\t') {
            faults.push(Fault::new(&file.path, number, "a tab: indent with spaces, write \\t in strings"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        faults.push(Fault::new(&file.path, None, "the last line does not end with a newline"));
    }
    if file.text.ends_with("\n\n") {
        faults.push(Fault::new(&file.path, None, "an empty line at the end of the file"));
    }
    faults
}

fn unfinished(file: &SourceFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in numbered(&file.text) {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let words = line.split(|c: char| !word(c)).filter(|word| UNFINISHED_WORDS.contains(word));
        let macros = UNFINISHED_MACROS
            .iter()
            .copied()
            .filter(|name| line.match_indices(name).any(|(at, _)| !line[..at].ends_with(word)));
        faults.extend(
            words
                .chain(macros)
                .map(|mark| Fault::new(&file.path, number, format!("`{mark}`: finish it, or leave it out"))),
        );
    }
    faults
}

/// The lines of a text with their numbers; carriage returns stay.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn lines(faults: &[Fault]) -> Vec<Option<usize>> {
        faults.iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn clean_text_has_no_fault() {
        assert_eq!(check(&file("a.rs", "//! Clean.\n\nfn a() {}\n")), []);
        assert_eq!(check(&file("a.md", "")), []);
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        assert_eq!(lines(&line_ends(&file("a.md", "one \ntwo\nthree\r\n"))), [Some(1), Some(3)]);
    }

    #[test]
    fn tabs_are_found_in_rust_only() {
        assert_eq!(lines(&line_ends(&file("a.rs", "fn a() {\n\tb()\n}\n"))), [Some(2)]);
        assert_eq!(line_ends(&file("a.sh", "\techo\n")), []);
    }

    #[test]
    fn a_file_ends_with_exactly_one_newline() {
        assert_eq!(line_ends(&file("a.rs", "fn a() {}")).len(), 1);
        assert_eq!(line_ends(&file("a.rs", "fn a() {}\n\n")).len(), 1);
    }

    #[test]
    fn marks_of_unfinished_work_are_found_in_code_and_comments() {
        for mark in UNFINISHED_WORDS.iter().chain(&UNFINISHED_MACROS) {
            assert_eq!(
                lines(&unfinished(&file("a.rs", &format!("fn a() {{}}\n// {mark} (b)\n")))),
                [Some(2)]
            );
        }
        assert_eq!(unfinished(&file("a.sh", "mktemp /tmp/a.XXXXXX\nmy_todo!()\n")), []);
    }
}
