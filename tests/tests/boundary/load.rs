//! Each reason why a library is not loaded has its own answer. Broken libraries are made out of a good one.

use std::path::{Path, PathBuf};

use storage_core::abi::{AbiVersion, LoadError, ManifestError, load, read_manifest};
use storage_tests::plugins::plugin_path;
use tempfile::TempDir;

/// A library with these contents.
fn library(contents: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("libbroken.so");
    std::fs::write(&path, contents).expect("it can be written");
    (folder, path)
}

fn good() -> Vec<u8> {
    std::fs::read(plugin_path("probe")).expect("the probe can be read")
}

/// The good library with one text in another's place.
fn patched(from: &str, to: &str) -> (TempDir, PathBuf) {
    assert_eq!(from.len(), to.len());
    let mut contents = good();
    let mut places = 0;
    let mut at = 0;
    while let Some(offset) = contents[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        at += offset;
        contents[at..at + to.len()].copy_from_slice(to.as_bytes());
        places += 1;
    }
    assert!(places > 0, "{from} is nowhere in the library");
    library(&contents)
}

fn manifest_error(path: &Path) -> ManifestError {
    let read = read_manifest(path).expect_err("there is no manifest to read");
    let LoadError::Manifest(loaded) = load(path).expect_err("it does not load") else {
        panic!("loading gives another answer than reading");
    };
    assert_eq!(read.to_string(), loaded.to_string());
    assert!(read.to_string().contains(&path.display().to_string()), "{read}");
    read
}

#[test]
fn a_manifest_is_read_without_loading() {
    let manifest = read_manifest(&plugin_path("probe")).expect("it has one");
    assert_eq!(manifest.backend_type, "probe");
    assert_eq!(manifest.description, "Misbehaves on demand");
    assert_eq!(manifest.variable_prefix, "PROBE_");
    assert_eq!(manifest.plugin_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.abi, AbiVersion::CURRENT);
    assert!(manifest.rustc_version.starts_with("rustc "));
    assert!(manifest.target.starts_with(std::env::consts::ARCH));
    assert_eq!(load(&plugin_path("probe")).expect("it loads").manifest(), &manifest);
}

#[test]
fn a_missing_file_is_missing() {
    assert!(matches!(manifest_error(Path::new("/nowhere/libx.so")), ManifestError::Missing { .. }));
}

#[test]
fn text_folders_and_truncated_libraries_are_no_libraries() {
    let good = good();
    let (_text, text) = library(b"#!/bin/sh\necho I am no library\n");
    let (_empty, empty) = library(b"");
    let (_header, header) = library(&good[..64]);
    let (_half, half) = library(&good[..good.len() / 2]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for path in [&text, &empty, &header, &half, &folder.path().to_owned()] {
        let error = manifest_error(path);
        assert!(matches!(error, ManifestError::NotALibrary { .. }), "{error:?}");
    }
}

#[cfg(all(target_os = "linux", target_endian = "little"))]
#[test]
fn a_library_for_another_machine_says_for_which() {
    let mut contents = good();
    let (aarch64, x86_64) = (183_u16, 62_u16);
    let other = if cfg!(target_arch = "aarch64") { x86_64 } else { aarch64 };
    contents[18..20].copy_from_slice(&other.to_le_bytes());
    let (_folder, path) = library(&contents);
    let ManifestError::WrongArchitecture { found, expected, .. } = manifest_error(&path) else {
        panic!("another error");
    };
    assert_ne!(found, expected);
    assert!(found.contains("Aarch64") != expected.contains("Aarch64"), "{found} {expected}");
}

#[test]
fn a_library_without_a_manifest_is_no_plugin() {
    let error = manifest_error(&plugin_path("stranger"));
    assert!(matches!(error, ManifestError::NotAPlugin { .. }), "{error:?}");
}

#[test]
fn a_library_with_a_manifest_and_without_a_module_is_no_plugin() {
    let (_folder, path) =
        patched("_1as_0lib_1header_0root_bmodule_bloader", "_1as_0lib_1header_0root_bmodule_bloadex");
    let error = load(&path).expect_err("it does not load");
    assert!(matches!(error, LoadError::Manifest(ManifestError::NotAPlugin { .. })), "{error:?}");
}

#[test]
fn a_malformed_manifest_says_what_is_wrong() {
    for (from, to, reason) in [
        ("storage-plugin-manifest\ntype=", "storage-plugin-manifesto\nype=", "does not start with"),
        ("\nabi=1.0\n", "\nabi=one\n", "\"one\" is not an ABI version"),
        ("\nabi=1.0\n", "\nabj=1.0\n", "the line abi= is missing"),
    ] {
        let (_folder, path) = patched(from, to);
        let error = manifest_error(&path);
        assert!(matches!(error, ManifestError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn another_major_version_of_the_interface_is_told_with_both_versions() {
    for (text, plugin, advice) in [
        ("\nabi=9.4\n", AbiVersion { major: 9, minor: 4 }, "rebuild the host"),
        ("\nabi=0.9\n", AbiVersion { major: 0, minor: 9 }, "rebuild the plugin"),
    ] {
        let (_folder, path) = patched("\nabi=1.0\n", text);
        let error = load(&path).expect_err("it does not load");
        let words = error.to_string();
        let LoadError::AbiMismatch { plugin: found, host, layout: None, .. } = error else {
            panic!("another error: {error:?}");
        };
        assert_eq!((found, host), (plugin, AbiVersion::CURRENT));
        assert!(words.contains(advice) && words.contains(&plugin.to_string()), "{words}");
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_missing_shared_library_is_named() {
    let (_folder, path) = patched("libgcc_s.so.1", "libnix_s.so.1");
    let error = load(&path).expect_err("it does not load");
    let LoadError::MissingLibrary { library, .. } = &error else {
        panic!("another error: {error:?}");
    };
    assert_eq!(library, "libnix_s.so.1");
}
