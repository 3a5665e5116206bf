//! Compares the interface with what earlier versions of it have promised. Compiled for tests only.
//!
//! `storage-core/abi/` holds a description of the interface for each version, written by this test when a
//! version is new and never again. A change that breaks the promise fails here, with what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLData, TLField, TLFields, TypeLayout};

use super::manifest::AbiVersion;
use super::module::AbiModule_Ref;

/// The variable that has a new version written down.
const RECORD: &str = "STORAGE_RECORD_ABI";

const TABLE: &str = "table of functions, ";

/// A type of this crate that crosses, its kind and size, and its fields or functions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Type {
    name: String,
    kind: String,
    fields: Vec<String>,
}

impl Type {
    /// Whether fields may be appended: it is a table of functions that is always reached by reference.
    fn can_grow(&self) -> bool {
        self.kind.starts_with(TABLE)
    }
}

/// All types that cross, in the order in which they are met from the module on.
fn interface() -> Vec<Type> {
    let mut types = Vec::new();
    visit(<AbiModule_Ref as StableAbi>::LAYOUT, &mut BTreeSet::new(), &mut types);
    types
}

fn visit(layout: &'static TypeLayout, seen: &mut BTreeSet<String>, types: &mut Vec<Type>) {
    let name = name_of(layout);
    if !seen.insert(name.clone()) {
        return;
    }
    let size = format!("{} bytes, aligned to {}", layout.size(), layout.alignment());
    let (kind, fields) = match layout.data() {
        TLData::Primitive(_) | TLData::Opaque => (format!("opaque, {size}"), None),
        TLData::Struct { fields } => (format!("struct, {size}"), Some(fields)),
        TLData::Union { fields } => (format!("union, {size}"), Some(fields)),
        TLData::Enum(of) => (format!("enum of {} {size}", of.variant_names), Some(of.fields)),
        TLData::PrefixType(of) => {
            (format!("{TABLE}{} from the start", of.first_suffix_field), Some(of.fields))
        }
    };
    // How other crates make their types is seen in the sizes of ours, and checked by the loader.
    if layout.package().as_str() == env!("CARGO_PKG_NAME") {
        let fields = fields.iter().flat_map(lines).collect();
        types.push(Type { name, kind, fields });
    }
    for fields in [fields, Some(layout.phantom_fields())].into_iter().flatten() {
        for field in fields.iter() {
            for function in field.function_range().iter() {
                function.param_type_layouts.iter().for_each(|parameter| visit(parameter(), seen, types));
                function.return_type_layout().into_iter().for_each(|returned| visit(returned(), seen, types));
            }
            visit(field.layout(), seen, types);
        }
    }
}

fn lines(fields: &TLFields) -> Vec<String> {
    fields.iter().map(|field| format!("{}: {}", field.name(), type_of(&field))).collect()
}

fn type_of(field: &TLField) -> String {
    if !field.is_function() {
        return name_of(field.layout());
    }
    let functions = field.function_range().iter().map(|function| {
        let parameters: Vec<_> =
            function.param_type_layouts.iter().map(|parameter| name_of(parameter())).collect();
        let returned = function.return_type_layout().map_or("()".to_owned(), |returned| name_of(returned()));
        format!("fn({}) -> {returned}", parameters.join(", "))
    });
    functions.collect::<Vec<_>>().join(" and ")
}

/// The name with its parameters. Types of other crates do not tell theirs, so that they are looked for.
fn name_of(layout: &'static TypeLayout) -> String {
    let name = layout.full_type().to_string().replace("'a ", "").replace("<'a>", "").trim().to_owned();
    let parameters: Vec<_> = parameters_of(layout).into_iter().map(name_of).collect();
    if parameters.is_empty() { name } else { format!("{}<{}>", layout.name(), parameters.join(", ")) }
}

fn parameters_of(layout: &'static TypeLayout) -> Vec<&'static TypeLayout> {
    let fields: Vec<_> = layout.get_fields().into_iter().flat_map(|fields| fields.to_vec()).collect();
    let layouts = fields.iter().map(TLField::layout);
    match layout.name() {
        "ROption" | "FfiPoll" => layouts.take(1).collect(),
        "RResult" | "Tuple1" | "Tuple2" | "Tuple3" | "Tuple4" => layouts.collect(),
        "RVec" | "RBox" | "RSlice" | "NonNull" => layouts.take(1).filter_map(target_of).collect(),
        "*const" | "*mut" | "&" | "&mut" => target_of(layout).into_iter().collect(),
        "BorrowingFfiFuture" => layouts.take(1).flat_map(parameters_of).collect(),
        "LocalBorrowingFfiFuture" => {
            let polls = fields.iter().filter(|field| field.name() == "poll_fn");
            let polls = polls.filter_map(|field| field.function_range().get(0)?.return_type_layout());
            polls.flat_map(|polled| parameters_of(polled())).collect()
        }
        _ => Vec::new(),
    }
}

/// What a pointer, or a struct that is one, points to.
fn target_of(layout: &'static TypeLayout) -> Option<&'static TypeLayout> {
    match layout.phantom_fields().get(0) {
        Some(target) => Some(target.layout()),
        None => target_of(layout.get_fields()?.get(0)?.layout()),
    }
}

fn to_text(types: &[Type]) -> String {
    let mut text = String::new();
    for Type { name, kind, fields } in types {
        text.extend([name, ": ", kind, "\n"]);
        fields.iter().for_each(|field| text.extend(["    ", field, "\n"]));
    }
    text
}

fn from_text(text: &str) -> Vec<Type> {
    let mut types: Vec<Type> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("    "), types.last_mut()) {
            (Some(field), Some(last)) => last.fields.push(field.to_owned()),
            _ => {
                let (name, kind) = line.split_once(": ").expect("a type has a name and a kind");
                types.push(Type { name: name.to_owned(), kind: kind.to_owned(), fields: Vec::new() });
            }
        }
    }
    types
}

/// What a change does to those who rely on what was promised.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    /// What both sides bridge.
    added: Vec<String>,
    /// What they do not.
    broken: Vec<String>,
}

fn compare(promised: &[Type], now: &[Type]) -> Change {
    let mut change = Change::default();
    for old in promised {
        let Some(new) = now.iter().find(|new| new.name == old.name) else {
            change.broken.push(format!("{} is gone", old.name));
            continue;
        };
        if new.kind != old.kind {
            change.broken.push(format!("{}: `{}` has become `{}`", old.name, old.kind, new.kind));
        }
        for (index, field) in old.fields.iter().enumerate() {
            match new.fields.get(index) {
                Some(found) if found == field => {}
                Some(found) => {
                    change.broken.push(format!("in {}: `{field}` has become `{found}`", old.name));
                }
                None => change.broken.push(format!("in {}: `{field}` is gone", old.name)),
            }
        }
        for field in new.fields.iter().skip(old.fields.len()) {
            let told = format!("in {}: `{field}` is new", old.name);
            if old.can_grow() { change.added.push(told) } else { change.broken.push(told) }
        }
    }
    let known: BTreeSet<_> = promised.iter().map(|old| &old.name).collect();
    let new = now.iter().filter(|new| !known.contains(&new.name));
    change.added.extend(new.map(|new| format!("{} is new", new.name)));
    change
}

/// Whether an interface of the version `now_version` may be so, where this was promised by `version`.
///
/// # Errors
///
/// What is wrong and what to do.
fn judge(
    version: AbiVersion,
    promised: &[Type],
    now_version: AbiVersion,
    now: &[Type],
) -> Result<(), String> {
    let Change { added, broken } = compare(promised, now);
    let list =
        |changes: &[String]| changes.iter().map(|change| format!("\n  - {change}")).collect::<String>();
    if version.major != now_version.major || (added.is_empty() && broken.is_empty()) {
        return Ok(());
    }
    let next = format!("{}.{}", now_version.major + 1, 0);
    if !broken.is_empty() {
        return Err(format!(
            "the plugin interface no longer keeps what {version} has promised:{}\n\
             Plugins of {version} would not load. Leave what is there as it is: append methods, and put options \
             and facts into `later`. If that cannot be, raise the version to {next} in \
             storage-core/src/abi/manifest.rs, with which every plugin has to be built again.",
            list(&broken)
        ));
    }
    if version.minor >= now_version.minor {
        return Err(format!(
            "the plugin interface has grown, and its version is still {version}:{}\n\
             Raise it to {}.{} in storage-core/src/abi/manifest.rs.",
            list(&added),
            version.major,
            version.minor + 1
        ));
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("abi")
}

fn recorded() -> Vec<(AbiVersion, Vec<Type>)> {
    let entries = fs::read_dir(folder()).expect("storage-core/abi/ holds what was promised");
    let mut versions = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let (major, minor) = stem.split_once('.').expect("a file is named after a version");
        let number = |text: &str| text.parse().expect("a number");
        let version = AbiVersion { major: number(major), minor: number(minor) };
        versions.push((version, from_text(&fs::read_to_string(&path).expect("it can be read"))));
    }
    versions.sort_by_key(|(version, _)| *version);
    versions
}

#[cfg(target_pointer_width = "64")]
#[test]
fn every_promise_of_this_major_version_is_kept() {
    let now = interface();
    for (version, promised) in recorded() {
        judge(version, &promised, AbiVersion::CURRENT, &now).unwrap_or_else(|fault| panic!("{fault}"));
    }
    let path = folder().join(format!("{}.txt", AbiVersion::CURRENT));
    if !path.exists() && std::env::var_os(RECORD).is_some() {
        fs::write(&path, to_text(&now)).expect("the record can be written");
    }
    assert!(
        path.exists(),
        "the interface of version {} is not on record: run `{RECORD}=1 cargo test --package storage-core promise` \
         once, and commit {}",
        AbiVersion::CURRENT,
        path.display()
    );
}

/// The interface of today with one text in another's place.
fn changed(from: &str, to: &str) -> Vec<Type> {
    let text = to_text(&interface());
    assert_eq!(text.matches(from).count(), 1, "{from}");
    from_text(&text.replace(from, to))
}

fn version(major: u32, minor: u32) -> AbiVersion {
    AbiVersion { major, minor }
}

#[test]
fn what_is_written_down_is_read_again() {
    assert_eq!(from_text(&to_text(&interface())), interface());
    let names: BTreeSet<_> = interface().into_iter().map(|of| of.name).collect();
    assert_eq!(names.len(), interface().len(), "a name stands for one type");
}

#[test]
fn a_change_of_what_is_there_needs_a_new_major_version() {
    let today = interface();
    let close = "    close: fn(RRef, AbiCall) -> BorrowingFfiFuture<RResult<(), RBox<AbiErrorParts>>>\n";
    let health =
        "    health: fn(RRef, AbiCall) -> BorrowingFfiFuture<RResult<AbiHealth, RBox<AbiErrorParts>>>\n";
    for (from, to, told) in [
        ("    delimited: bool\n", "", "in AbiListOptions: `delimited: bool` has become `extra: "),
        ("    delimited: bool\n", "    delimited: u32\n", "`delimited: bool` has become `delimited: u32`"),
        (
            "    max_level: u8\n",
            "    max_level: u8\n    colours: bool\n",
            "in AbiLog: `colours: bool` is new",
        ),
        (health, &format!("{close}{health}"), "in VTable: `health: fn(RRef, AbiCall)"),
        (close, "", "in VTable: `close: fn(RRef, AbiCall)"),
        (
            "    invoke: fn(RRef, AbiCall, RString",
            "    invoke: fn(RRef, AbiCall, RStr",
            "in VTable: `invoke: ",
        ),
        ("24 from the start", "25 from the start", "has become `table of functions, 25 from the start`"),
        ("enum of Buffer;Chunks;", "enum of Buffer;Chunks;File;", "AbiBody: `enum of Buffer;Chunks;"),
    ] {
        for minor in [0, 1] {
            let fault = judge(version(1, 0), &today, version(1, minor), &changed(from, to)).expect_err(from);
            assert!(fault.contains(told), "{told} is not in: {fault}");
            assert!(
                fault.contains("raise the version to 2.0 in storage-core/src/abi/manifest.rs"),
                "{fault}"
            );
        }
        judge(version(1, 0), &today, version(2, 0), &changed(from, to)).expect("another major version");
    }
}

#[test]
fn an_appended_method_needs_a_new_minor_version_and_no_more() {
    let close = "    close: fn(RRef, AbiCall) -> BorrowingFfiFuture<RResult<(), RBox<AbiErrorParts>>>\n";
    let grown = changed(close, &format!("{close}    verify: fn(RRef, AbiCall) -> AbiVerified\n"));
    let fault =
        judge(version(1, 0), &interface(), version(1, 0), &grown).expect_err("the version is the same");
    assert!(fault.contains("in VTable: `verify: fn(RRef, AbiCall) -> AbiVerified` is new"), "{fault}");
    assert!(fault.contains("Raise it to 1.1 in storage-core/src/abi/manifest.rs"), "{fault}");
    judge(version(1, 0), &interface(), version(1, 1), &grown).expect("that is what a minor version is for");
}
