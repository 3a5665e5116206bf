//! Keys and their names at providers: legal keys and no others are accepted; each has one place, below the root, that
//! no other key has and that reads back.
//!
//! The input is text. Its lines are taken for keys, and then for names that somebody put on the disk or into a
//! container.

use std::path::{Component, Path};

use storage_core::ObjectKey;

use crate::blob_name;
use crate::path::{Entry, Names, Place};
use crate::stamp::Stamp;

/// The longest name that file systems take, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Checks keys and names.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let keys: Vec<ObjectKey> = text.split('\n').filter_map(validated).collect();
    for key in &keys {
        for names in [Names::Exact, Names::Folded] {
            has_a_place(names, key);
        }
        has_a_blob(key);
    }
    for (one, other) in keys.iter().zip(keys.iter().skip(1)) {
        keep_apart(one, other);
    }
    for name in text.split(['\n', '/']) {
        reads_as_its_own_only(name);
    }
    // A whole key may as well be the name of a blob that somebody else put there.
    for name in text.split('\n') {
        if let Some(key) = blob_name::to_key(name) {
            assert_eq!(blob_name::of_key(&key).ok().as_deref(), Some(name), "two blobs for {key:?}");
        }
    }
}

/// The key, if the text is one, as the documentation of keys says.
fn validated(text: &str) -> Option<ObjectKey> {
    let legal = (1..=1024).contains(&text.len())
        && text.split('/').all(|segment| !["", ".", ".."].contains(&segment))
        && !text.contains(|c: char| c.is_control() || c == '\u{FFFE}' || c == '\u{FFFF}');
    let key = ObjectKey::new(text);
    assert_eq!(key.is_ok(), legal, "{text:?}: {key:?}");
    let key = key.ok()?;
    assert_eq!(key.as_str(), text);
    Some(key)
}

fn has_a_place(names: Names, key: &ObjectKey) {
    let place = names.place(key);
    let stamp = Stamp::parse("20261124T071233.123456789Z-0a1b2c").expect("a stamp");
    let (document, content) = (place.document(), place.content(&stamp));
    for name in [&document, &content] {
        let path = place.path(name);
        let inside = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(inside && !path.starts_with('/'), "{path:?} leaves the root");
        let sound = |name: &str| {
            !["", ".", ".."].contains(&name) && name.len() <= MAX_NAME_BYTES && !name.contains(['\0', '\\'])
        };
        assert!(path.split('/').all(sound), "{path:?} has a name that file systems refuse");
        if names == Names::Folded {
            let upper = |c: char| c.is_ascii_uppercase() && !c.is_ascii_hexdigit() && !"TZ".contains(c);
            assert!(path.is_ascii() && !path.contains(upper), "{path:?} depends on case");
        }
    }
    assert_eq!(read_back(&place), key.as_str(), "{place:?}");
    let ending = match Names::read(&document) {
        Entry::Document(ending) => ending,
        other => panic!("{document:?} reads as {other:?}"),
    };
    assert_eq!(Names::read_content(&content), Some((ending, stamp)), "{content:?}");
    assert_eq!(Names::read(&content), Entry::Other, "{content:?}");
}

/// The key of a place, as a listing puts it together.
fn read_back(place: &Place) -> String {
    let folders = place.directory.split('/').filter(|name| !name.is_empty()).map(str::to_owned);
    folders.chain([place.document()]).fold(String::new(), |text, name| match Names::read(&name) {
        Entry::Document(part) | Entry::Directory(part) => text + &part,
        Entry::Other => panic!("{name:?} reads as foreign"),
    })
}

fn has_a_blob(key: &ObjectKey) {
    if let Ok(name) = blob_name::of_key(key) {
        assert_eq!(blob_name::to_key(&name).as_ref(), Some(key), "{name:?}");
        assert!(!name.ends_with('.') && !name.contains("./") && !name.contains('\\'), "{name:?}");
    }
}

/// Two keys share no place, even where a file system does not tell capitals from small letters.
fn keep_apart(one: &ObjectKey, other: &ObjectKey) {
    if one == other {
        return;
    }
    let path = |names: Names, key| {
        let place = names.place(key);
        place.path(&place.document())
    };
    assert_ne!(path(Names::Exact, one), path(Names::Exact, other), "{one:?} and {other:?}");
    let folded = |key| path(Names::Folded, key).to_lowercase();
    assert_ne!(folded(one), folded(other), "{one:?} and {other:?}");
    if let (Ok(first), Ok(second)) = (blob_name::of_key(one), blob_name::of_key(other)) {
        let units = |name: &str| name.encode_utf16().collect::<Vec<_>>();
        assert_eq!(units(&first).cmp(&units(&second)), one.cmp(other), "{first:?} and {second:?}");
    }
}

/// Whatever lies in a store's folder: what reads as part of a key leads to this place, or the listing, which compares
/// them, passes it over.
fn reads_as_its_own_only(name: &str) {
    if let Entry::Document(text) = Names::read(name)
        && let Ok(key) = ObjectKey::new(&text)
        && !text.contains('/')
    {
        let place = Names::Exact.place(&key);
        let written = place.path(&place.document());
        assert!(!written.is_empty() && !written.starts_with('/'), "{written:?}");
    }
    if let Some((text, stamp)) = Names::read_content(name) {
        assert_eq!(Stamp::parse(stamp.as_str()), Some(stamp), "{text:?}");
    }
}
