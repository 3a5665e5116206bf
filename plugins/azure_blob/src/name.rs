//! Keys as blob names: exact, in the same order, and within what Azure's names may be.
//!
//! Most keys are their blob's name as they stand. Azure advises against some names, and orders others otherwise
//! than by their bytes; so of a key
//!
//! * a `\`, which URLs take for `/`, becomes `[` and two [`STOP`]s,
//! * a `/` after a `.` becomes `.` and two `STOP`s, since no segment may end in a dot; so does the `/` after a
//!   first segment that is the folder of this plugin's own ([`OWN`]),
//! * a final `.`, and spaces after it, get one space more, since no name may end in a dot,
//! * U+D7FF to U+FFFF get U+D7FF in front, so that the order of UTF-16 is that of UTF-8,
//! * U+EFFFD and above, which are private or unassigned, become a `STOP` and the character 0xD0000 below.
//!
//! A `STOP` sorts after everything that may follow the character before it, and that character is the last before
//! the one that is replaced: so names sort as their keys do, and a listing needs no sorting.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage_core::{Error, ErrorKind, ObjectKey, Result};

/// The folder of what is the plugin's own: uploads in parts and probes. No key's name starts with it and a slash.
pub(crate) const OWN: &str = ".storage-uploads";

/// The most characters of a name, of which Azure counts a supplementary one as two.
const MAX_UNITS: usize = 1024;

/// Sorts after everything else that a name holds.
const STOP: char = '\u{EFFFD}';
/// Stands before characters that UTF-16 would put after all the others.
const LATE: char = '\u{D7FF}';
/// How far the characters from `STOP` on are moved down.
const SHIFT: u32 = 0xD_0000;

/// What stays as it is in the path of a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The blob's name of a key.
///
/// # Errors
///
/// `InvalidKey` where Azure takes no name of this length.
pub(crate) fn of_key(key: &ObjectKey) -> Result<String> {
    let mut name = of_prefix(key.as_str());
    if name.trim_end_matches(' ').ends_with('.') {
        name.push(' ');
    }
    if name.encode_utf16().count() > MAX_UNITS {
        return Err(Error::new(
            ErrorKind::InvalidKey,
            "the blob's name of this key is longer than the 1024 characters that Azure takes",
        )
        .with_key(key));
    }
    Ok(name)
}

/// What the names of all keys start with that start with this text.
pub(crate) fn of_prefix(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\\' => name.extend(['[', STOP, STOP]),
            '/' if text[..at].ends_with('.') || &text[..at] == OWN => name.extend(['.', STOP, STOP]),
            LATE..='\u{FFFF}' => name.extend([LATE, c]),
            STOP.. => name.extend([STOP, moved(c as u32 - SHIFT)]),
            c => name.push(c),
        }
    }
    name
}

/// The start of a key that this start of a name stands for; nothing where no key has such a name.
pub(crate) fn to_text(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            LATE => text.push(rest.next()?),
            STOP => match rest.next()? {
                STOP => {
                    let replaced = match text.pop()? {
                        '[' => '\\',
                        '.' => '/',
                        _ => return None,
                    };
                    text.push(replaced);
                }
                c => text.push(char::from_u32(c as u32 + SHIFT)?),
            },
            c => text.push(c),
        }
    }
    (of_prefix(&text) == name).then_some(text)
}

/// The key of a blob's name; nothing for a blob that was not made for a key.
pub(crate) fn to_key(name: &str) -> Option<ObjectKey> {
    let spaces = name.len() - name.trim_end_matches(' ').len();
    let dotted = name.trim_end_matches(' ').ends_with('.');
    let name = match (dotted, spaces) {
        (true, 0) => return None,
        (true, _) => &name[..name.len() - 1],
        (false, _) => name,
    };
    ObjectKey::new(to_text(name)?).ok()
}

/// A name as the path of a URL.
pub(crate) fn to_path(name: &str) -> Cow<'_, str> {
    utf8_percent_encode(name, PLAIN).into()
}

/// A character from `STOP` on that was moved down: none of them is a surrogate.
fn moved(code: u32) -> char {
    char::from_u32(code).unwrap_or(STOP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> String {
        of_key(&ObjectKey::new(text).expect("a key")).expect("a name")
    }

    #[test]
    fn usual_keys_are_their_names() {
        for text in ["a", "users/7/résumé.pdf", " a ", ".hidden/x", "日本/語 📄", "a%2Fb+c?#", "a.b/c..d"]
        {
            assert_eq!(name(text), text);
        }
    }

    #[test]
    fn no_name_has_what_azure_warns_of() {
        for text in
            ["a.", "a./b", ".../x", "a. ", "a\\b", "\\", "a\\", ".a./.b.", "...", ".storage-uploads/x"]
        {
            let name = name(text);
            assert!(!name.ends_with('.') && !name.contains("./") && !name.contains('\\'), "{name:?}");
            assert!(!name.starts_with(".storage-uploads/"), "{name:?}");
            assert_eq!(to_key(&name).expect("its key").as_str(), text);
        }
    }

    #[test]
    fn names_that_no_key_has_are_told_apart() {
        for name in
            ["a.", "a/", "/a", "a//b", "a\\b", "a/./b", "\u{FF21}", "x\u{EFFFD}", ".storage-uploads/1", "."]
        {
            assert_eq!(to_key(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_key_whose_name_is_too_long_is_refused() {
        let key = |text: String| ObjectKey::new(text).expect("a key");
        assert!(of_key(&key("k".repeat(1024))).is_ok());
        assert!(of_key(&key("日".repeat(341))).is_ok());
        let error = of_key(&key("a./".repeat(341) + "a")).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
    }

    /// Texts that are rich in what is replaced.
    fn texts() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just(".".to_owned()),
            Just("/".to_owned()),
            Just("\\".to_owned()),
            Just("[".to_owned()),
            Just(" ".to_owned()),
            Just(OWN.to_owned()),
            "[-.0-~!a\u{D7FE}\u{D7FF}\u{E000}\u{FF08}\u{1F4C4}\u{EFFFC}\u{EFFFD}\u{EFFFE}\u{10FFFD}]",
        ];
        proptest::collection::vec(pieces, 1..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn names_sort_as_their_keys_and_lead_back_to_them(one in texts(), other in texts()) {
            if let (Ok(one), Ok(other)) = (ObjectKey::new(&one), ObjectKey::new(&other)) {
                let (first, second) = (name(one.as_str()), name(other.as_str()));
                prop_assert_eq!(first.cmp(&second), one.cmp(&other));
                let units = |name: &str| name.encode_utf16().collect::<Vec<_>>();
                prop_assert_eq!(units(&first).cmp(&units(&second)), one.cmp(&other));
                prop_assert_eq!(to_key(&first), Some(one));
            }
        }

        #[test]
        fn a_prefix_of_a_key_is_one_of_its_name(text in texts(), cut in 0usize..40) {
            if let Ok(key) = ObjectKey::new(&text) {
                let cut = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
                prop_assert!(name(key.as_str()).starts_with(&of_prefix(&text[..cut])));
            }
        }
    }
}
