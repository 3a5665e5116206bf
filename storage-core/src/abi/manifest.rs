//! The manifest of a plugin: what a library says of itself without being run.
//!
//! A few lines of text in a section of their own. [`crate::export_backend!`] puts them there when the plugin is
//! compiled; [`read_manifest`] finds them with an object-file reader, so that a folder full of foreign or broken
//! files can be listed safely.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use object::read::macho::{FatArch as _, MachOFatFile32, MachOFatFile64};
use object::read::{ReadCache, ReadRef as _};
use object::{Architecture, BinaryFormat, FileKind, Object, ObjectKind, ObjectSection};

/// The version of the boundary as text; [`AbiVersion::CURRENT`] as numbers.
macro_rules! abi_version {
    () => {
        "1.0"
    };
}

/// The version of the boundary as `abi_stable` wants it.
pub(super) const ABI_VERSION_TEXT: &str = concat!(abi_version!(), ".0");

/// The version of the plugin boundary.
///
/// A host loads the plugins of its own major: older and newer minors alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbiVersion {
    /// Raised by a change that older and newer sides cannot bridge.
    pub major: u32,
    /// Raised by an addition.
    pub minor: u32,
}

impl AbiVersion {
    /// The version of this build.
    pub const CURRENT: AbiVersion = AbiVersion { major: 1, minor: 0 };

    /// Whether this build can load a plugin of that version.
    pub fn can_load(self, plugin: AbiVersion) -> bool {
        self.major == plugin.major
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a plugin library says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The backend type that it registers (`minio`).
    pub backend_type: String,
    /// What it is, in a few words.
    pub description: String,
    /// The start of the names of its environment variables (`MINIO_`).
    pub variable_prefix: String,
    /// The version of the plugin.
    pub plugin_version: String,
    /// The version of the boundary that it was built for.
    pub abi: AbiVersion,
    /// The version of `storage-core` that it was built with.
    pub storage_core_version: String,
    /// The compiler that built it.
    pub rustc_version: String,
    /// The platform that it was built for.
    pub target: String,
}

/// Why a file has no manifest that could be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no such file.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no shared library, or a damaged one.
    #[error("{} is not a shared library: {reason}", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What the object-file reader says.
        reason: String,
    },
    /// The library is for another platform.
    #[error("{} is made for {found}, and this host is {expected}", path.display())]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// The platform of the library, or all of them.
        found: String,
        /// The platform of this host.
        expected: String,
        /// What the library says of itself, where it is a plugin.
        manifest: Option<Box<Manifest>>,
    },
    /// The library is a plugin of something else, or of nothing.
    #[error("{} is a shared library, but not a storage plugin", path.display())]
    NotAPlugin {
        /// The file.
        path: PathBuf,
    },
    /// The manifest is there and cannot be understood.
    #[error("the manifest of {} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The section, as each format names it. Mach-O has the segment apart; PE has no room for more.
fn section_name(format: BinaryFormat) -> &'static str {
    match format {
        BinaryFormat::MachO => "__storage_plugin",
        BinaryFormat::Coff | BinaryFormat::Pe => ".stplug",
        _ => ".storage_plugin",
    }
}

const MAGIC: &str = "storage-plugin-manifest";

/// The number of lines after the magic one.
const FIELDS: usize = 8;

type Fields = [(&'static str, &'static str); FIELDS];

/// The lines of a manifest. Called when a plugin is compiled.
#[doc(hidden)]
pub const fn manifest_fields(
    backend_type: &'static str,
    description: &'static str,
    variable_prefix: &'static str,
    plugin_version: &'static str,
) -> Fields {
    [
        ("type", backend_type),
        ("description", description),
        ("variable_prefix", variable_prefix),
        ("plugin_version", plugin_version),
        ("abi", abi_version!()),
        ("storage_core_version", env!("CARGO_PKG_VERSION")),
        ("rustc_version", env!("STORAGE_RUSTC_VERSION")),
        ("target", env!("STORAGE_TARGET")),
    ]
}

/// The length of the whole text, in bytes.
#[doc(hidden)]
pub const fn manifest_length(fields: &Fields) -> usize {
    let mut length = MAGIC.len() + 1;
    let mut index = 0;
    while index < FIELDS {
        length += fields[index].0.len() + fields[index].1.len() + 2;
        index += 1;
    }
    length
}

/// The whole text.
#[doc(hidden)]
pub const fn manifest_bytes<const LENGTH: usize>(fields: &Fields) -> [u8; LENGTH] {
    let mut text = [b'\n'; LENGTH];
    let mut at = write(&mut text, 0, MAGIC) + 1;
    let mut index = 0;
    while index < FIELDS {
        at = write(&mut text, at, fields[index].0);
        text[at] = b'=';
        at = write(&mut text, at + 1, fields[index].1) + 1;
        index += 1;
    }
    assert!(at == LENGTH, "the length of the manifest is wrong");
    text
}

const fn write(text: &mut [u8], mut at: usize, part: &str) -> usize {
    let part = part.as_bytes();
    let mut index = 0;
    while index < part.len() {
        // In UTF-8, U+0080 to U+009F are 0xC2 and a byte below 0xA0.
        let is_late_control = part[index] == 0xC2 && part[index + 1] < 0xA0;
        assert!(
            part[index] >= b' ' && part[index] != 0x7F && !is_late_control,
            "the manifest of a plugin holds a line break or another control character"
        );
        text[at] = part[index];
        at += 1;
        index += 1;
    }
    at
}

/// Reads the manifest of a library without running anything of it.
///
/// # Errors
///
/// One variant of [`ManifestError`] per cause.
pub fn read_manifest(path: &Path) -> Result<Manifest, ManifestError> {
    let owned = || path.to_owned();
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ManifestError::Missing { path: owned() },
        _ => ManifestError::Unreadable { path: owned(), source },
    };
    let not_a_library = |reason: String| ManifestError::NotALibrary { path: owned(), reason };

    // To open a pipe would be to wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(not_a_library("it is not a file".to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let file = ReadCache::new(file);
    let damaged = |error: object::Error| not_a_library(error.to_string());
    let read = |library: &object::File<'_, _>| {
        let section = library.section_by_name(section_name(library.format()));
        let section = section.ok_or_else(|| ManifestError::NotAPlugin { path: owned() })?;
        let text = section.data().map_err(damaged)?;
        parse(text).map_err(|reason| ManifestError::Malformed { path: owned(), reason })
    };
    let expected = (BinaryFormat::native_object(), native());
    let (mut found, mut foreign) = (Vec::new(), None);
    for (offset, size) in slices(&file).map_err(damaged)? {
        let library = object::File::parse(file.range(offset, size)).map_err(damaged)?;
        if library.kind() != ObjectKind::Dynamic {
            return Err(not_a_library(format!("it is an object file of the kind {:?}", library.kind())));
        }
        let platform = (library.format(), library.architecture());
        if platform == expected {
            return read(&library);
        }
        found.push(platform_name(platform));
        foreign = foreign.or_else(|| read(&library).ok());
    }
    Err(ManifestError::WrongArchitecture {
        path: owned(),
        found: found.join(" and "),
        expected: platform_name(expected),
        manifest: foreign.map(Box::new),
    })
}

/// Where the libraries lie in a file: one that fills it or, in a file for several kinds of Mac, one for each kind.
fn slices(file: &ReadCache<File>) -> object::Result<Vec<(u64, u64)>> {
    Ok(match FileKind::parse(file)? {
        FileKind::MachOFat32 => {
            MachOFatFile32::parse(file)?.arches().iter().map(|slice| slice.file_range()).collect()
        }
        FileKind::MachOFat64 => {
            MachOFatFile64::parse(file)?.arches().iter().map(|slice| slice.file_range()).collect()
        }
        _ => vec![(0, file.len().unwrap_or_default())],
    })
}

/// A platform as people call it: `Windows on X86_64`.
fn platform_name((format, architecture): (BinaryFormat, Architecture)) -> String {
    let system = match format {
        BinaryFormat::Elf => "Linux",
        BinaryFormat::MachO => "macOS",
        BinaryFormat::Coff | BinaryFormat::Pe => "Windows",
        other => return format!("{architecture:?} ({other:?})"),
    };
    format!("{system} on {architecture:?}")
}

/// The architecture of this process.
fn native() -> Architecture {
    if cfg!(target_arch = "x86_64") {
        Architecture::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Architecture::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Architecture::Riscv64
    } else if cfg!(target_arch = "powerpc64") {
        Architecture::PowerPc64
    } else if cfg!(target_arch = "s390x") {
        Architecture::S390x
    } else if cfg!(target_arch = "x86") {
        Architecture::I386
    } else if cfg!(target_arch = "arm") {
        Architecture::Arm
    } else {
        Architecture::Unknown
    }
}

/// Reads the text of a manifest. Lines that it does not know are those of newer versions.
fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err(format!("it does not start with {MAGIC}"));
    }
    let lines: Vec<_> = lines.filter_map(|line| line.split_once('=')).collect();
    let field = |name: &str| {
        let line = lines.iter().find(|(key, _)| *key == name);
        let (_, value) = line.ok_or_else(|| format!("the line {name}= is missing"))?;
        // It is shown on terminals, which take such characters for commands; no plugin of ours can hold one.
        if value.contains(char::is_control) {
            return Err(format!("the line {name}= holds a control character"));
        }
        Ok((*value).to_owned())
    };
    let abi = field("abi")?;
    let abi = abi
        .split_once('.')
        .and_then(|(major, minor)| {
            Some(AbiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
        })
        .ok_or_else(|| format!("{abi:?} is not an ABI version"))?;
    Ok(Manifest {
        backend_type: field("type")?,
        description: field("description")?,
        variable_prefix: field("variable_prefix")?,
        plugin_version: field("plugin_version")?,
        abi,
        storage_core_version: field("storage_core_version")?,
        rustc_version: field("rustc_version")?,
        target: field("target")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: Fields = manifest_fields("local", "Files = bytes", "LOCAL_", "0.3.1");
    const TEXT: [u8; manifest_length(&LINES)] = manifest_bytes(&LINES);

    #[test]
    fn what_a_plugin_writes_is_what_a_host_reads() {
        let mut padded = TEXT.to_vec();
        padded.extend([0; 32]);
        let manifest = parse(&padded).expect("well formed");
        assert_eq!(manifest.backend_type, "local");
        assert_eq!(manifest.description, "Files = bytes");
        assert_eq!(manifest.plugin_version, "0.3.1");
        assert_eq!(manifest.abi, AbiVersion::CURRENT);
        assert!(manifest.rustc_version.starts_with("rustc "), "{}", manifest.rustc_version);
        assert_eq!(ABI_VERSION_TEXT, format!("{}.0", AbiVersion::CURRENT));
    }

    #[test]
    fn lines_of_newer_versions_are_passed_over_and_missing_ones_are_named() {
        let text = String::from_utf8(TEXT.to_vec()).expect("text");
        assert!(parse(format!("{text}signature=abc\n").as_bytes()).is_ok());
        let reason = parse(text.replace("abi=", "abc=").as_bytes()).expect_err("incomplete");
        assert_eq!(reason, "the line abi= is missing");
        assert!(parse(text.replace("abi=1.0", "abi=one").as_bytes()).is_err());
        let reason = parse(text.replace("Files", "\u{1b}[2J").as_bytes()).expect_err("an escape sequence");
        assert_eq!(reason, "the line description= holds a control character");
        assert!(parse(b"\x7fELF").is_err() && parse(&[0xff, 0xfe]).is_err() && parse(b"").is_err());
    }
}
