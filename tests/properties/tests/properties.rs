//! The properties with the kept corpora and with what proptest makes: texts, bytes, and corpora that were altered.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use storage_properties::{ALL, Property};

/// Inputs that proptest makes for each property.
const CASES: u32 = 256;
/// The longest input that is kept, in bytes, and how many there are for one property.
const MAX_SEED_BYTES: usize = 16 * 1024;
const MAX_SEEDS: usize = 256;

/// The kept inputs of a property, by name of file.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry of the folder");
            let content = fs::read(entry.path()).expect("a kept input");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    seeds.sort();
    seeds
}

fn holds_for_what_is_kept(name: &str, property: Property) {
    let seeds = seeds(name);
    assert!((1..=MAX_SEEDS).contains(&seeds.len()), "{} inputs are kept for {name}", seeds.len());
    for (file, seed) in seeds {
        assert!(seed.len() <= MAX_SEED_BYTES, "{file} is too large to be kept");
        let held = std::panic::catch_unwind(|| property(&seed)).is_ok();
        assert!(held, "{name} does not hold for tests/fuzz/corpus/{name}/{file}: what it says is above");
    }
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Put(Index, Vec<u8>),
    Cut(Index, usize),
    Flip(Index, u8),
    /// A piece of another kept input.
    Splice(Index, Index, Index, usize),
}

fn edits() -> impl Strategy<Value = Edit> {
    // Bytes that mean something somewhere.
    let telling = select(&b"\0\n\r\"'\\=$#/.~%:;,-*{}[] 09aB\x7f\xff"[..]);
    let bytes = prop::collection::vec(prop_oneof![2 => telling, 1 => any::<u8>()], 1..8);
    prop_oneof![
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Edit::Put(at, bytes)),
        (any::<Index>(), 1..24_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, mask)| Edit::Flip(at, mask)),
        (any::<Index>(), any::<Index>(), any::<Index>(), 1..64_usize)
            .prop_map(|(at, other, from, length)| Edit::Splice(at, other, from, length)),
    ]
}

fn apply(input: &mut Vec<u8>, edit: &Edit, seeds: &[(String, Vec<u8>)]) {
    let place = |at: &Index, length: usize| at.index(length + 1);
    match edit {
        Edit::Put(at, bytes) => {
            let at = place(at, input.len());
            input.splice(at..at, bytes.iter().copied());
        }
        Edit::Cut(at, length) => {
            let at = place(at, input.len());
            input.drain(at..input.len().min(at + length));
        }
        Edit::Flip(at, mask) => {
            let at = place(at, input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte ^= mask;
            }
        }
        Edit::Splice(at, other, from, length) => {
            let (_, other) = other.get(seeds);
            let (at, from) = (place(at, input.len()), place(from, other.len()));
            input.splice(at..at, other[from..other.len().min(from + length)].iter().copied());
        }
    }
}

fn holds_for_what_is_made(name: &str, property: Property) {
    let seeds = seeds(name);
    let altered = (any::<Index>(), prop::collection::vec(edits(), 1..6)).prop_map(move |(seed, edits)| {
        let (_, mut input) = seed.get(&seeds).clone();
        edits.iter().for_each(|edit| apply(&mut input, edit, &seeds));
        input
    });
    let inputs = prop_oneof![
        4 => altered,
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => "[^\\p{Cc}/]{1,90}(/[a-zA-Z.~% \u{e9}]{1,90}){0,3}".prop_map(String::into_bytes),
    ];
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) });
    let outcome = runner.run(&inputs, |input| {
        std::panic::catch_unwind(|| property(&input)).map_err(|told| {
            let told = told.downcast_ref::<String>().map_or("it does not hold", String::as_str);
            TestCaseError::fail(told.to_owned())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => {
            panic!("{name}: {reason} for \"{}\": put it into tests/fuzz/corpus/{name}", input.escape_ascii())
        }
        Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
    }
}

/// The test of each property has a name of its own.
macro_rules! properties {
    ($($name:ident),+ $(,)?) => {
        mod what_is_kept {
            $(
                #[test]
                fn $name() {
                    super::holds_for_what_is_kept(stringify!($name), storage_properties::$name);
                }
            )+
        }

        mod what_is_made {
            $(
                #[test]
                fn $name() {
                    super::holds_for_what_is_made(stringify!($name), storage_properties::$name);
                }
            )+
        }

        #[test]
        fn every_property_is_tested_and_has_a_target() {
            assert_eq!(ALL.map(|(name, _)| name), [$(stringify!($name)),+]);
            let targets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
            let mut targets: Vec<_> = fs::read_dir(targets)
                .expect("the targets")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            targets.sort();
            assert_eq!(targets, [$(concat!(stringify!($name), ".rs")),+]);
        }
    };
}

properties!(abi_values, configuration, headers, keys, links, manifests, multipart, tokens);
