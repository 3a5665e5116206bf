//! From keys to names on disk and back.
//!
//! Every key has exactly one place and no two keys share one. A segment of a key is a directory or, at the
//! end, the base of the object's file names; characters that a file system or a person's tools may trip
//! over are escaped as `%XX`. The sign `~` never stands in an encoded segment, so it tells apart
//!
//! * `name` - a directory: a segment that is followed by `/`,
//! * `name~` - a directory: the beginning of a segment that is too long for one name,
//! * `name~.json` - the document of an object,
//! * `name~STAMP.ext` - the content of one of its versions.
//!
//! Nothing here touches the disk.

use std::borrow::Cow;
use std::fmt::Write as _;

use storage_core::ObjectKey;

use crate::stamp::Stamp;

/// The longest encoded piece of a segment, in bytes. With the longest suffix it stays below the 255 bytes
/// that file systems allow.
const MAX_PIECE_BYTES: usize = 200;

/// The longest extension that moves behind the version in a content's name, in bytes.
const MAX_EXTENSION_BYTES: usize = 16;

const DOCUMENT_SUFFIX: &str = "~.json";

/// Names that Windows and its network shares keep for devices.
const DEVICES: [&[u8]; 4] = [b"con", b"prn", b"aux", b"nul"];

/// Those that carry a number.
const NUMBERED_DEVICES: [&[u8]; 2] = [b"com", b"lpt"];

/// Which differences between names the file system sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// All of them: only what is troublesome is escaped.
    Exact,
    /// Not those of case or of Unicode normalisation: capitals and everything beyond ASCII are escaped too.
    Folded,
}

/// The place of an object: its directory below `objects/` and the base of its file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Relative to `objects/`; empty for a key of one short segment.
    pub(crate) directory: String,
    base: String,
}

impl Place {
    /// The name of the document in the directory.
    pub(crate) fn document(&self) -> String {
        [&self.base, DOCUMENT_SUFFIX].concat()
    }

    /// The name of a version's content in the directory. It keeps the extension, so that a person's tools open it.
    pub(crate) fn content(&self, version: &Stamp) -> String {
        match self.base.rsplit_once('.') {
            Some((stem, extension))
                if !stem.is_empty()
                    && (1..=MAX_EXTENSION_BYTES).contains(&extension.len())
                    && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                [stem, "~", version.as_str(), ".", extension].concat()
            }
            _ => [&self.base, "~", version.as_str()].concat(),
        }
    }

    /// The path of a name in the directory, relative to `objects/`.
    pub(crate) fn path(&self, name: &str) -> String {
        join(&self.directory, name)
    }
}

/// What a name in a directory of `objects/` is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An object's document; the text ends its key.
    Document(String),
    /// A directory; the keys below go on with this text (which ends in `/` unless the segment goes on).
    Directory(String),
    /// Content, or something that is not of this store.
    Other,
}

impl Names {
    /// Where the object with this key is.
    pub(crate) fn place(self, key: &ObjectKey) -> Place {
        let (parents, last) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
        let mut directory = String::with_capacity(key.as_str().len());
        if !parents.is_empty() {
            self.enter(&mut directory, parents.split('/'));
        }
        let mut pieces = self.pieces(last);
        let base = pieces.pop().unwrap_or_default().into_owned();
        for piece in pieces {
            push(&mut directory, &piece, "~");
        }
        Place { directory, base }
    }

    /// The directory of the keys that start with these whole segments, relative to `objects/`.
    pub(crate) fn directory(self, segments: &[&str]) -> String {
        let mut directory = String::new();
        self.enter(&mut directory, segments.iter().copied());
        directory
    }

    fn enter<'a>(self, directory: &mut String, segments: impl Iterator<Item = &'a str>) {
        for segment in segments {
            let pieces = self.pieces(segment);
            let last = pieces.len() - 1;
            for (index, piece) in pieces.iter().enumerate() {
                push(directory, piece, if index < last { "~" } else { "" });
            }
        }
    }

    /// Reads a name in a directory.
    pub(crate) fn read(name: &str) -> Entry {
        let (text, kind): (&str, fn(String) -> Entry) = if let Some(base) = name.strip_suffix(DOCUMENT_SUFFIX)
        {
            (base, Entry::Document)
        } else if let Some(piece) = name.strip_suffix('~') {
            (piece, Entry::Directory)
        } else {
            (name, |text| Entry::Directory(text + "/"))
        };
        if text.is_empty() || text.contains('~') {
            return Entry::Other;
        }
        decode(text).map_or(Entry::Other, kind)
    }

    /// Reads the name of a version's content: the end of the key that it must belong to, and the version.
    pub(crate) fn read_content(name: &str) -> Option<(String, Stamp)> {
        let (stem, rest) = name.split_once('~')?;
        let (stamp, extension) = rest.split_at_checked(Stamp::TEXT_BYTES)?;
        Some((decode(&format!("{stem}{extension}"))?, Stamp::parse(stamp)?))
    }

    /// Whether a segment is one piece, and that as it is.
    fn is_plain(self, segment: &str) -> bool {
        let bytes = segment.as_bytes();
        bytes.len() <= MAX_PIECE_BYTES
            && bytes.iter().all(|&byte| byte.is_ascii() && !self.is_escaped(char::from(byte)))
            && bytes.first() != Some(&b'.')
            && !matches!(bytes.last(), Some(b'.' | b' '))
            && !is_device(segment)
    }

    /// A segment in pieces that each fit into a name; at least one. No piece is ever `.` or `..`.
    fn pieces(self, segment: &str) -> Vec<Cow<'_, str>> {
        // Nearly all are; and the path of each read is made of such pieces.
        if self.is_plain(segment) {
            return vec![Cow::Borrowed(segment)];
        }
        self.escaped_pieces(segment).into_iter().map(Cow::Owned).collect()
    }

    fn escaped_pieces(self, segment: &str) -> Vec<String> {
        let mut pieces = Vec::with_capacity(1);
        let mut piece = String::with_capacity(segment.len() + 8);
        let device = is_device(segment);
        let last_index = segment.char_indices().next_back().map_or(0, |(index, _)| index);
        for (index, character) in segment.char_indices() {
            let first = index == 0 && (device || character == '.');
            let last = index == last_index && matches!(character, '.' | ' ');
            let escaped = first || last || self.is_escaped(character);
            let unit_bytes = if escaped { 3 * character.len_utf8() } else { character.len_utf8() };
            if piece.len() + unit_bytes > MAX_PIECE_BYTES {
                pieces.push(std::mem::take(&mut piece));
            }
            if escaped {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a `String` cannot fail.
                    let _ = write!(piece, "%{byte:02X}");
                }
            } else {
                piece.push(character);
            }
        }
        pieces.push(piece);
        pieces
    }

    fn is_escaped(self, character: char) -> bool {
        match character {
            '%' | '~' | '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => true,
            _ if character.is_control() => true,
            _ => self == Names::Folded && (character.is_ascii_uppercase() || !character.is_ascii()),
        }
    }
}

/// Joins a directory, which may be empty, and a name.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { [directory, "/", name].concat() }
}

/// Goes on from a directory to the one with this name and mark.
fn push(directory: &mut String, name: &str, mark: &str) {
    if !directory.is_empty() {
        directory.push('/');
    }
    directory.push_str(name);
    directory.push_str(mark);
}

fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or_default();
    match stem.as_bytes() {
        [name @ .., digit] if name.len() == 3 => {
            digit.is_ascii_digit() && NUMBERED_DEVICES.iter().any(|device| name.eq_ignore_ascii_case(device))
        }
        name => DEVICES.iter().any(|device| name.eq_ignore_ascii_case(device)),
    }
}

/// Undoes the escapes. Names that this module would not have written may decode too: who lists them
/// compares the place of the resulting key.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).expect("a legal key")
    }

    /// Reads a place back as a listing does.
    fn key_at(place: &Place) -> String {
        let names = place.directory.split('/').filter(|name| !name.is_empty()).map(str::to_owned);
        names.chain([place.document()]).fold(String::new(), |text, name| match Names::read(&name) {
            Entry::Document(part) | Entry::Directory(part) => text + &part,
            Entry::Other => panic!("{name} reads as foreign"),
        })
    }

    #[test]
    fn ordinary_keys_keep_their_names() {
        let place = Names::Exact.place(&key("users/7/résumé final.pdf"));
        let stamp = Stamp::parse("20261124T071233.123456789Z-0a1b2c").expect("a stamp");
        assert_eq!(place.directory, "users/7");
        assert_eq!(place.document(), "résumé final.pdf~.json");
        let content = place.content(&stamp);
        assert_eq!(content, "résumé final~20261124T071233.123456789Z-0a1b2c.pdf");
        assert_eq!(Names::read_content(&content), Some(("résumé final.pdf".to_owned(), stamp)));
        assert_eq!(Names::read_content(&place.document()), None);
        assert_eq!(Names::Exact.place(&key("a")).directory, "");
    }

    #[test]
    fn odd_keys_have_places_of_their_own_that_read_back() {
        let long = "ü".repeat(512);
        let odd = [
            "a",
            "a/b",
            "a~",
            "a~/b",
            "a~.json",
            "a%",
            "a%25",
            "a.",
            "a ",
            " a",
            ".a",
            "...",
            "..a",
            "CON",
            "con",
            "con.txt",
            "com1",
            "a\\b",
            "a:b",
            "A",
            "é",
            "e\u{301}",
            "日本/語",
            &long,
            &"x".repeat(1024),
            &"x".repeat(200),
            &"x".repeat(201),
            &format!("{}/b", "x".repeat(200)),
            &"%".repeat(1024),
            &format!("{}..", "x".repeat(200)),
            &format!("{}../y", "x".repeat(200)),
            "json",
            "~.json",
            "a~/~.json",
        ];
        for names in [Names::Exact, Names::Folded] {
            let mut seen = BTreeSet::new();
            for text in odd {
                let place = names.place(&key(text));
                assert_eq!(key_at(&place), text, "{names:?}");
                let path = place.path(&place.document());
                assert!(path.len() < 4000 && path.split('/').all(|name| name.len() <= 255), "{path}");
                assert!(
                    path.split('/').all(|name| name != "." && name != ".." && !name.is_empty()),
                    "{path}"
                );
                let seen_as = if names == Names::Folded { path.to_lowercase() } else { path };
                assert!(seen.insert(seen_as), "{text} shares its place");
            }
        }
    }

    #[test]
    fn plain_segments_are_those_that_stay_as_they_are() {
        let long = "x".repeat(200);
        let plain = ["a", "users", "0190-ab_c.pdf", "a b", "console", "com", "com10", &long];
        let other = [
            "a~",
            "%",
            ".a",
            "..",
            "a.",
            "a ",
            "con",
            "NUL.txt",
            "com1",
            "é",
            "a:b",
            "\u{7f}",
            &"x".repeat(201),
        ];
        for names in [Names::Exact, Names::Folded] {
            for segment in plain {
                assert!(names.is_plain(segment), "{segment}");
                assert_eq!(names.pieces(segment), [segment]);
                assert_eq!(names.escaped_pieces(segment), [segment]);
            }
            for segment in other {
                assert!(!names.is_plain(segment), "{segment}");
            }
        }
        assert!(Names::Exact.is_plain("A") && !Names::Folded.is_plain("A"));
    }

    #[test]
    fn the_longest_name_fits_a_file_system() {
        let stamp = Stamp::parse("20261124T071233.123456789Z-0a1b2c").expect("a stamp");
        let place = Names::Exact.place(&key(&format!("{}.abcdefghijklmnop", "x".repeat(183))));
        assert!(place.directory.is_empty());
        assert!(place.content(&stamp).len() <= 255 && place.document().len() <= 255);
    }

    #[test]
    fn foreign_names_are_not_taken_for_objects() {
        for name in
            ["a~20261124T071233.123456789Z-0a1b2c.pdf", "~.json", "~", "a~b~.json", "%ZZ", "%C3~.json", "a%2"]
        {
            assert_eq!(Names::read(name), Entry::Other, "{name}");
        }
    }
}
