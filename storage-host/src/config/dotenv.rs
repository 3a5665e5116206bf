//! Reads `.env`: dotenvy parses, this module adds line numbers, diagnoses, and what `$` means.
//!
//! The process environment is neither read nor changed. dotenvy would replace `$NAME` from it, and
//! silently by nothing where `NAME` is not set, which cripples a password that holds a `$`.
//! Here every `$` that could be such a reference is hidden from dotenvy and resolved afterwards, from the
//! environment that the caller gave and from the lines above; a name that is not set is a fault.
//! No fault tells the text of a line, since it may be a secret.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use storage_core::ConfigValues;
use storage_core::config::ConfigFault;

/// Stands, while dotenvy parses, for a `$` that may begin a reference. A noncharacter: a file that holds it is refused.
const REFERENCE: char = '\u{FDD0}';

/// Stands, while dotenvy parses, for a backslash in single quotes. dotenvy would take `'C:\'` for a text that
/// goes on, and swallow the next line.
const BACKSLASH: char = '\u{FDD1}';

/// Where a fault or value is.
fn origin(line: usize) -> String {
    format!(".env line {line}")
}

fn fault(key: &str, line: usize, problem: impl Into<String>) -> ConfigFault {
    ConfigFault { key: key.to_owned(), variable: None, origin: Some(origin(line)), problem: problem.into() }
}

/// Reads the file. One that does not exist holds nothing.
pub(super) fn read(
    path: &Path,
    environment: &BTreeMap<String, OsString>,
    faults: &mut Vec<ConfigFault>,
) -> ConfigValues {
    let problem = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return parse(&text, environment, faults),
            Err(error) => {
                let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count();
                format!("line {line} is not UTF-8: save the file as UTF-8")
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return ConfigValues::new(),
        Err(error) => format!("cannot be read: {error}"),
    };
    let origin = Some(path.display().to_string());
    faults.push(ConfigFault { key: ".env".to_owned(), variable: None, origin, problem });
    ConfigValues::new()
}

/// Parses the text of a `.env`.
fn parse(
    text: &str,
    environment: &BTreeMap<String, OsString>,
    faults: &mut Vec<ConfigFault>,
) -> ConfigValues {
    if let Some(at) = text.find([REFERENCE, BACKSLASH]) {
        let line = 1 + text[..at].matches('\n').count();
        faults.push(fault(
            ".env",
            line,
            "the line holds U+FDD0 or U+FDD1, which are no characters: remove it",
        ));
        return ConfigValues::new();
    }
    let text = hide(text.trim_start_matches('\u{FEFF}'));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let read = Cell::new(0);
    let mut values = ConfigValues::new();
    let mut entries = dotenvy::Iter::new(LineByLine { lines: &lines, line: &read, offset: 0 });
    loop {
        // dotenvy skips blank lines and comments: the entry begins at the first line that is neither.
        let skipped = lines[read.get()..].iter().take_while(|line| is_blank(line)).count();
        let number = read.get() + skipped + 1;
        let (name, value) = match entries.next() {
            None => break,
            Some(Ok(entry)) => entry,
            Some(Err(_)) => {
                let entry = lines[number - 1..read.get()].concat();
                let (name, problem) = diagnose(&entry);
                faults.push(fault(name.unwrap_or(".env"), number, problem));
                continue;
            }
        };
        if let Some(earlier) = values.get(&name) {
            let problem = format!("is set a second time, after {}: remove one of them", earlier.origin);
            faults.push(fault(&name, number, problem));
            continue;
        }
        let resolved = resolve(&value, |name| match environment.get(name) {
            Some(text) => text.to_str().map(str::to_owned),
            None => values.get(name).map(|value| value.text.clone()),
        });
        match resolved {
            Ok(value) => values.set(name, value, origin(number)),
            Err(Unset) => faults.push(fault(
                &name,
                number,
                "a $ in the value refers to a variable that is not set: set it, or put the value in single quotes if \
                 the dollar sign belongs to it",
            )),
        }
    }
    values
}

/// Whether dotenvy passes over the line without an answer.
fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Hands out one line at a time, so that the number of lines read tells where dotenvy is.
struct LineByLine<'a> {
    lines: &'a [&'a str],
    line: &'a Cell<usize>,
    offset: usize,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(line) = self.lines.get(self.line.get()) else { return Ok(0) };
        let rest = &line.as_bytes()[self.offset..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        if length == rest.len() {
            self.line.set(self.line.get() + 1);
            self.offset = 0;
        } else {
            self.offset += length;
        }
        Ok(length)
    }
}

/// Replaces what dotenvy would misunderstand: every `$` that neither stands in single quotes nor follows a
/// backslash, and every backslash in single quotes.
fn hide(text: &str) -> String {
    #[derive(PartialEq)]
    enum At {
        Plain,
        Single,
        Double,
        Comment,
    }
    let mut at = At::Plain;
    let mut escaped = false;
    let mut line_is_blank = true;
    let mut after_space = true;
    let mut hidden = String::with_capacity(text.len());
    for c in text.chars() {
        let literal = std::mem::take(&mut escaped);
        match (&at, c) {
            (At::Comment, '\n') => at = At::Plain,
            (At::Comment, _) => {}
            (At::Single, '\'') => at = At::Plain,
            (At::Single, _) => {}
            _ if literal => {}
            (_, '\\') => escaped = true,
            (At::Plain, '#') if after_space || line_is_blank => at = At::Comment,
            (At::Plain, '\'') => at = At::Single,
            (At::Plain, '"') => at = At::Double,
            (At::Double, '"') => at = At::Plain,
            _ => {}
        }
        hidden.push(match (&at, c) {
            (At::Plain | At::Double, '$') if literal => '$',
            (At::Plain | At::Double, '$') => REFERENCE,
            (At::Single, '\\') => BACKSLASH,
            _ => c,
        });
        line_is_blank = c == '\n' || (line_is_blank && c.is_whitespace());
        after_space = c.is_whitespace();
    }
    hidden
}

/// A reference to a variable that is not set. It does not say which, since it may be the half of a password.
struct Unset;

/// Puts the values of `$NAME` and `${NAME}` in their place. A `$` before anything else stands for itself.
fn resolve(value: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Unset> {
    let mut parts = value.split(REFERENCE);
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(part.len());
            part.split_at(end)
        });
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            resolved.push('$');
            resolved.push_str(part);
        } else {
            resolved.push_str(&lookup(name).ok_or(Unset)?);
            resolved.push_str(rest);
        }
    }
    Ok(resolved.replace(BACKSLASH, "\\"))
}

/// What is wrong with an entry that dotenvy refused, and how to put it right; and whose entry it is,
/// if that can be told from a secret.
fn diagnose(entry: &str) -> (Option<&str>, &'static str) {
    let entry = entry.trim();
    let entry = entry.strip_prefix("export ").unwrap_or(entry).trim_start();
    let Some((name, value)) = entry.split_once('=') else {
        return (None, "the line is not of the form NAME=value; a comment begins with #");
    };
    let name = name.trim_end();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    if !is_name {
        return (None, "the name before = may hold letters, digits and _ only, and begins with a letter");
    }
    let value = value.trim_start();
    let is_odd = |quote: char| value.chars().filter(|c| *c == quote).count() % 2 == 1;
    let problem = if is_odd('"') || is_odd('\'') {
        "a quote is opened and never closed: close it, or put a value that holds a quote in quotes of the other \
         kind"
    } else if value.contains('\\') {
        "a backslash may stand before \\, ', \", $, n and a space only: put the value in single quotes"
    } else {
        "a value that holds spaces must stand in quotes, with nothing but a comment after them"
    };
    (Some(name), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (ConfigValues, Vec<String>) {
        let environment = BTreeMap::from([("HOME".to_owned(), OsString::from("/home/ada"))]);
        let mut faults = Vec::new();
        let values = parse(text, &environment, &mut faults);
        (values, faults.iter().map(ToString::to_string).collect())
    }

    fn sound(text: &str) -> ConfigValues {
        let (values, faults) = read(text);
        assert_eq!(faults, Vec::<String>::new());
        values
    }

    #[test]
    fn values_know_the_line_they_begin_on() {
        let long = "x".repeat(20_000);
        let values = sound(&format!(
            "\u{FEFF}# don't count on \"me\n\nA=1\r\n  # more\nexport B = \"two\nlines\"\nC='3' # it's\nL={long}\nD=4"
        ));
        for (name, text, line) in
            [("A", "1", 3), ("B", "two\nlines", 5), ("C", "3", 7), ("L", long.as_str(), 8), ("D", "4", 9)]
        {
            let value = values.get(name).expect(name);
            assert_eq!((value.text.as_str(), value.origin.as_str()), (text, &*format!(".env line {line}")));
        }
    }

    #[test]
    fn references_are_resolved_and_other_dollars_stand_for_themselves() {
        let values = sound(
            "A=${HOME}/a\nB=\"$A/b\"\nC='pa$word'\nD=pa\\$word\nE=10$\nF=$5\nG=\"it's $A\"\n# it's $unset\nH=a#b$A\nI='C:\\$dir\\'\nJ=x",
        );
        for (name, text) in [
            ("A", "/home/ada/a"),
            ("B", "/home/ada/a/b"),
            ("C", "pa$word"),
            ("D", "pa$word"),
            ("E", "10$"),
            ("F", "$5"),
            ("G", "it's /home/ada/a"),
            ("H", "a#b/home/ada/a"),
            ("I", "C:\\$dir\\"),
            ("J", "x"),
        ] {
            assert_eq!(values.get(name).expect(name).text, text, "{name}");
        }
    }

    #[test]
    fn a_reference_to_nothing_is_a_fault_and_not_an_empty_text() {
        let (values, faults) = read("# don't\nSECRET=hunter2$word");
        assert!(values.get("SECRET").is_none());
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("SECRET: a $ in the value refers to a variable"), "{faults:?}");
        assert!(!faults[0].contains("hunter2") && !faults[0].contains("word"), "{faults:?}");
    }

    #[test]
    fn the_signs_that_stand_for_others_cannot_be_smuggled_in() {
        for sign in [REFERENCE, BACKSLASH] {
            let (values, faults) = read(&format!("A=1\nB='x{sign}y'\nC=2"));
            assert_eq!(values.iter().count(), 0);
            assert_eq!(faults.len(), 1);
            assert!(faults[0].contains("U+FDD0") && faults[0].contains(".env line 2"), "{faults:?}");
        }
    }

    #[test]
    fn every_malformed_line_is_told_with_its_number_and_without_its_text() {
        let (values, faults) = read(
            "A=1\nhunter2\n\nMY KEY=hunter2\nB=hunter2 hunter2\nC=C:\\hunter2\nGOOD=yes\nA=hunter2\nD='hunter2\nE=5",
        );
        assert_eq!(values.get("GOOD").expect("read on").text, "yes");
        let expected = [
            ("line 2", "not of the form NAME=value"),
            ("line 4", "the name before ="),
            ("line 5", "B: a value that holds spaces must stand in quotes"),
            ("line 6", "C: a backslash may stand"),
            ("line 8", "is set a second time, after .env line 1"),
            ("line 9", "D: a quote is opened and never closed"),
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, (line, problem)) in faults.iter().zip(expected) {
            assert!(fault.contains(line) && fault.contains(problem), "{fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }
}
