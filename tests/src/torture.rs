//! Libraries that do harm, each with a manifest like any plugin's.
//!
//! One fixture holds every fault; a library is a copy of it in which the fault and the name are written over.
//! Load none of them in the process of a test, unless the fault is one that the host survives.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::plugins::plugin_path;

const MANIFEST_START: &str = "storage-plugin-manifest\ntype=";
const MANIFEST_END: &str = "\nvariable_prefix=TORTURE_\n";
const CHOICE: &str = "torture-fault:none/none;";
const CHOICE_BYTES: usize = 48;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In an initialiser, which the system's loader runs.
    Constructor,
    /// In the function that gives the host the plugin's module.
    Module,
    /// When the host asks for the keys of the configuration, which is the end of loading.
    Schema,
    /// When a backend is opened.
    Open,
    /// When an opened backend is asked whether an object is there.
    Exists,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies of SIGSEGV.
    Segfault,
    /// The process dies of SIGABRT.
    Abort,
    /// The process ends with the code 3.
    Exit,
    /// The call never comes back and uses a whole processor.
    Spin,
    /// A panic: an error in schema and open; in a constructor or the module loader it aborts.
    Panic,
}

impl Stage {
    /// Every stage of a start, in the order in which a host gets there.
    pub const ALL: [Stage; 4] = [Stage::Constructor, Stage::Module, Stage::Schema, Stage::Open];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Constructor => "constructor",
            Stage::Module => "module",
            Stage::Schema => "schema",
            Stage::Open => "open",
            Stage::Exists => "exists",
        }
    }
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 5] = [Fault::Segfault, Fault::Abort, Fault::Exit, Fault::Spin, Fault::Panic];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Segfault => "segfault",
            Fault::Abort => "abort",
            Fault::Exit => "exit",
            Fault::Spin => "spin",
            Fault::Panic => "panic",
        }
    }
}

/// Writes a library of the type `backend_type` with this fault into a folder, under the name that such a
/// plugin has. Returns its path.
///
/// # Panics
///
/// If the fixture was not built, or the type is longer than 60 bytes.
pub fn library(folder: &Path, backend_type: &str, stage: Stage, fault: Fault) -> PathBuf {
    let choice = format!("torture-fault:{}/{};", stage.name(), fault.name());
    write_library(folder, backend_type, &choice)
}

/// The same without any fault: it works.
///
/// # Panics
///
/// As [`library`].
pub fn sound_library(folder: &Path, backend_type: &str) -> PathBuf {
    write_library(folder, backend_type, CHOICE)
}

/// The fixture and the places in it that are written over.
struct Fixture {
    bytes: Vec<u8>,
    /// The lines of the manifest for type and description.
    naming: Range<usize>,
    choice: Range<usize>,
}

/// Read once: searching a library for a text takes its time.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let bytes = std::fs::read(plugin_path("torture")).expect("the fixture can be read");
    let start = find(&bytes, MANIFEST_START) + MANIFEST_START.len();
    let end = start + find(&bytes[start..], MANIFEST_END);
    let choice = find(&bytes, CHOICE);
    Fixture { naming: start..end, choice: choice..choice + CHOICE_BYTES, bytes }
});

fn write_library(folder: &Path, backend_type: &str, choice: &str) -> PathBuf {
    let mut bytes = FIXTURE.bytes.clone();
    overwrite(&mut bytes[FIXTURE.naming.clone()], &format!("{backend_type}\ndescription=Does harm"));
    overwrite(&mut bytes[FIXTURE.choice.clone()], choice);
    let path = folder.join(format!("{DLL_PREFIX}storage_backend_{backend_type}{DLL_SUFFIX}"));
    std::fs::write(&path, bytes).expect("the library can be written");
    path
}

/// Writes a text into a field of fixed length.
fn overwrite(field: &mut [u8], text: &str) {
    assert!(text.len() <= field.len(), "{text:?} is too long");
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}

fn find(bytes: &[u8], text: &str) -> usize {
    let text = text.as_bytes();
    // Looking for the first byte alone is what makes this quick without optimisation.
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|byte| *byte == text[0]) {
        at += offset;
        if bytes[at..].starts_with(text) {
            return at;
        }
        at += 1;
    }
    panic!("{:?} is not in the fixture", String::from_utf8_lossy(text));
}
