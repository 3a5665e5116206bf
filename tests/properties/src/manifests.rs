//! Manifests of libraries that nobody has vouched for: reading one never fails but by an error, what is read can be
//! shown on a terminal as it is, and it is what the library says.
//!
//! The input is a library. What begins like the text of a manifest is put into a library first.

use std::fmt::Write as _;
use std::path::Path;

use storage_core::abi::{Manifest, ManifestError, read_manifest};

use crate::scratch;

/// The first line of a manifest.
const MAGIC: &str = "storage-plugin-manifest";

/// Checks a library, or the text of a manifest.
pub fn manifests(data: &[u8]) {
    if !data.starts_with(MAGIC.as_bytes()) {
        if let Some(manifest) = read(data) {
            is_presentable(&manifest);
        }
        return;
    }
    let Some(manifest) = read(&library(data)) else { return };
    is_presentable(&manifest);
    let told = String::from_utf8_lossy(data);
    let lines: Vec<&str> = told.split('\0').next().unwrap_or_default().lines().collect();
    for (name, value) in fields(&manifest) {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if name == "abi" {
            let numbers = line.and_then(|line| line.split_once('.'));
            let numbers = numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            assert_eq!(numbers, Some((manifest.abi.major, manifest.abi.minor)), "{line:?}");
        } else {
            assert_eq!(line, Some(value.as_str()), "{name}");
        }
    }
    assert_eq!(read(&library(written(&manifest).as_bytes())), Some(manifest), "it reads back");
}

/// What a file says of itself, whichever platform it is for.
fn read(file: &[u8]) -> Option<Manifest> {
    let path = scratch::put("library", Some(file));
    match read_manifest(&path) {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            is_told(&error, &path);
            match error {
                ManifestError::WrongArchitecture { manifest, .. } => manifest.map(|manifest| *manifest),
                ManifestError::Missing { .. } | ManifestError::Unreadable { .. } => panic!("{error}"),
                _ => None,
            }
        }
    }
}

/// An error is text for people, and not what the file put into it.
fn is_told(error: &ManifestError, path: &Path) {
    let told = error.to_string();
    assert!(told.contains(&path.display().to_string()), "{told:?}");
    assert!(!told.contains(char::is_control), "{told:?}");
    assert!(told.len() < 4096, "{} bytes", told.len());
}

fn is_presentable(manifest: &Manifest) {
    for (name, value) in fields(manifest) {
        assert!(!value.contains(char::is_control), "{name}: {value:?}");
    }
}

fn fields(manifest: &Manifest) -> [(&'static str, String); 8] {
    [
        ("type", manifest.backend_type.clone()),
        ("description", manifest.description.clone()),
        ("variable_prefix", manifest.variable_prefix.clone()),
        ("plugin_version", manifest.plugin_version.clone()),
        ("abi", manifest.abi.to_string()),
        ("storage_core_version", manifest.storage_core_version.clone()),
        ("rustc_version", manifest.rustc_version.clone()),
        ("target", manifest.target.clone()),
    ]
}

fn written(manifest: &Manifest) -> String {
    let mut text = format!("{MAGIC}\n");
    for (name, value) in fields(manifest) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// The smallest ELF library with this text in the section of manifests: a header, the text, the sections' names, and
/// three section headers.
fn library(manifest: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: u64 = 64;
    const NAMES: &[u8] = b"\0.storage_plugin\0.shstrtab\0";
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let names_at = HEADER_BYTES + manifest.len() as u64;
    let sections_at = (names_at + NAMES.len() as u64).next_multiple_of(8);

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(3_u16.to_le_bytes()); // A shared object.
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for offset in [0, 0, sections_at] {
        file.extend(offset.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [HEADER_BYTES as u16, 56, 0, 64, 3, 2] {
        file.extend(number.to_le_bytes());
    }
    file.extend(manifest);
    file.extend(NAMES);
    file.resize(sections_at as usize, 0);
    file.extend([0; 64]);
    for (name, kind, flags, at, length) in
        [(1_u32, 1_u32, 2_u64, HEADER_BYTES, manifest.len() as u64), (17, 3, 0, names_at, NAMES.len() as u64)]
    {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for number in [flags, 0, at, length] {
            file.extend(number.to_le_bytes());
        }
        file.extend([0; 8]);
        file.extend(1_u64.to_le_bytes());
        file.extend([0; 8]);
    }
    file
}
