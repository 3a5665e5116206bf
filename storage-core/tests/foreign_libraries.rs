//! Libraries for other systems: their manifests are read, and they are told to be what they are. The files are made here,
//! byte by byte, and hold no more than a reader needs.

use std::path::PathBuf;

use storage_core::abi::{Manifest, ManifestError, read_manifest};

const MANIFEST: &str = "storage-plugin-manifest\ntype=shelf\ndescription=A shelf\nvariable_prefix=SHELF_\n\
    plugin_version=2.1.0\nabi=1.0\nstorage_core_version=0.1.0\nrustc_version=rustc 1.95.0\ntarget=elsewhere\n";

const MACH_X86_64: u32 = 0x0100_0007;
const MACH_ARM64: u32 = 0x0100_000c;
const PE_X86_64: u16 = 0x8664;
const PE_ARM64: u16 = 0xaa64;

fn le(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A text in a field of fixed length.
fn field<const LENGTH: usize>(text: &str) -> Vec<u8> {
    let mut field = [0; LENGTH];
    field[..text.len()].copy_from_slice(text.as_bytes());
    field.to_vec()
}

/// A Mach-O library with one segment of one section.
fn mach_o(cpu: u32, section: &str, content: &str) -> Vec<u8> {
    const HEADERS: u32 = 32 + 72 + 80;
    let size = u32::try_from(content.len()).expect("short");
    [
        // Magic, processor, kind of it, dylib, one command and its size, flags.
        le(&[0xfeed_facf, cpu, 3, 6, 1, 72 + 80, 0, 0]),
        // LC_SEGMENT_64.
        le(&[0x19, 72 + 80]),
        field::<16>("__DATA"),
        // Address, size in memory, place, size; protections, sections, flags.
        le(&[0, 0, size, 0, HEADERS, 0, size, 0, 3, 3, 1, 0]),
        field::<16>(section),
        field::<16>("__DATA"),
        le(&[0, 0, size, 0, HEADERS, 0, 0, 0, 0, 0, 0, 0]),
        content.as_bytes().to_vec(),
    ]
    .concat()
}

/// Several libraries in one file.
fn fat(libraries: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let be = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let number = u32::try_from(libraries.len()).expect("few");
    let mut file = be(&[0xcafe_babe, number]);
    let mut offset = 8 + 20 * number;
    for (cpu, library) in libraries {
        let size = u32::try_from(library.len()).expect("short");
        file.extend(be(&[*cpu, 3, offset, size, 0]));
        offset += size;
    }
    libraries.iter().for_each(|(_, library)| file.extend(library));
    file
}

/// A PE library with one section.
fn pe(machine: u16, section: &str, content: &str) -> Vec<u8> {
    const HEADERS: u32 = 64 + 4 + 20 + 240 + 40;
    let size = u32::try_from(content.len()).expect("short");
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
    // The number of data directories, all of them empty.
    optional[108..112].copy_from_slice(&16_u32.to_le_bytes());
    let mut dos = vec![0; 64];
    dos[..2].copy_from_slice(b"MZ");
    dos[60..].copy_from_slice(&64_u32.to_le_bytes());
    [
        dos,
        b"PE\0\0".to_vec(),
        machine.to_le_bytes().to_vec(),
        1_u16.to_le_bytes().to_vec(),
        le(&[0, 0, 0]),
        240_u16.to_le_bytes().to_vec(),
        // An executable image, for large addresses, and a library.
        0x2022_u16.to_le_bytes().to_vec(),
        optional,
        field::<8>(section),
        le(&[size, 0x1000, size, HEADERS, 0, 0, 0, 0x4000_0040]),
        content.as_bytes().to_vec(),
    ]
    .concat()
}

/// What is said of a file with this content.
fn refusal(name: &str, content: &[u8]) -> ManifestError {
    let folder = std::env::temp_dir().join(format!("storage-foreign-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path: PathBuf = folder.join("libshelf");
    std::fs::write(&path, content).expect("written");
    let read = read_manifest(&path);
    std::fs::remove_dir_all(&folder).expect("removed");
    read.expect_err("it is for none of the systems on which this test runs")
}

/// The platforms for which a file is made, and what it says of itself.
#[cfg(target_os = "linux")]
fn foreign(name: &str, content: &[u8]) -> (String, Option<Manifest>) {
    match refusal(name, content) {
        ManifestError::WrongArchitecture { found, manifest, .. } => {
            (found, manifest.map(|manifest| *manifest))
        }
        other => panic!("{other}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_of_another_system_is_told_with_its_system_and_says_what_it_is() {
    let mac = |cpu| mach_o(cpu, "__storage_plugin", MANIFEST);
    let both = fat(&[(MACH_X86_64, mac(MACH_X86_64)), (MACH_ARM64, mac(MACH_ARM64))]);
    for (content, expected) in [
        (mac(MACH_ARM64), "macOS on Aarch64"),
        (both, "macOS on X86_64 and macOS on Aarch64"),
        (pe(PE_X86_64, ".stplug", MANIFEST), "Windows on X86_64"),
        (pe(PE_ARM64, ".stplug", MANIFEST), "Windows on Aarch64"),
    ] {
        let (found, manifest) = foreign("other", &content);
        assert_eq!(found, expected);
        let manifest = manifest.expect("its manifest is read");
        assert_eq!((&*manifest.backend_type, &*manifest.plugin_version), ("shelf", "2.1.0"), "{found}");
        let told = refusal("other", &content).to_string();
        assert!(told.contains("and this host is Linux on "), "{told}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_is_no_plugin_says_nothing_and_is_told_all_the_same() {
    for content in [mach_o(MACH_ARM64, "__text", MANIFEST), pe(PE_X86_64, ".text", MANIFEST)] {
        assert_eq!(foreign("silent", &content).1, None);
    }
    let torn = mach_o(MACH_ARM64, "__storage_plugin", "storage-plugin-manifest\ntype=shelf\n");
    assert_eq!(foreign("silent", &torn).1, None, "half a manifest is none");
}

#[test]
fn a_damaged_one_is_told_to_be_none() {
    let whole = fat(&[(MACH_ARM64, mach_o(MACH_ARM64, "__storage_plugin", MANIFEST))]);
    let windows = pe(PE_ARM64, ".stplug", MANIFEST);
    for content in [&whole[..40], &windows[..100], b"\xca\xfe\xba\xbe\0\0\0\x7f"] {
        let error = refusal("damaged", content);
        assert!(matches!(error, ManifestError::NotALibrary { .. }), "{error}");
    }
}
