//! What must hold for every input, however it was made.
//!
//! Each property takes bytes, makes of them what one part of the project reads from strangers, and panics where that
//! part breaks a promise. The fuzz targets in `tests/fuzz` call them with what libFuzzer finds; the tests of this crate
//! call them with the kept corpora and with what proptest makes, so that every run of the tests does.
//!
//! Nothing here depends on the time of day, on chance or on what an earlier input left behind.

mod abi_values;
mod configuration;
mod headers;
mod keys;
mod links;
mod manifests;
mod multipart;
mod scratch;
mod signing;
mod tokens;

/// The way from keys to names on disk. It touches no disk and depends on nothing else of its plugin, which is a library
/// that is loaded and never linked: so its source is compiled in.
#[allow(dead_code, reason = "the plugin uses more of it")]
#[allow(rustdoc::broken_intra_doc_links, reason = "its private items are none of this crate's")]
#[path = "../../../plugins/local/src/path.rs"]
mod path;
/// The names of versions, which are part of the names on disk.
#[allow(dead_code, reason = "the plugin uses more of it")]
#[allow(rustdoc::broken_intra_doc_links, reason = "its private items are none of this crate's")]
#[path = "../../../plugins/local/src/stamp.rs"]
mod stamp;

/// The way from keys to the names of blobs.
#[allow(dead_code, reason = "the plugin uses more of it")]
#[allow(rustdoc::broken_intra_doc_links, reason = "its private items are none of this crate's")]
#[path = "../../../plugins/azure_blob/src/name.rs"]
mod blob_name;

pub use abi_values::abi_values;
pub use configuration::configuration;
pub use headers::headers;
pub use keys::keys;
pub use links::links;
pub use manifests::manifests;
pub use multipart::multipart;
pub use tokens::tokens;

/// A property: it panics where an input breaks it.
pub type Property = fn(&[u8]);

/// Every property, by the name of its fuzz target and of its folder in `tests/fuzz/corpus`.
pub const ALL: [(&str, Property); 8] = [
    ("abi_values", abi_values),
    ("configuration", configuration),
    ("headers", headers),
    ("keys", keys),
    ("links", links),
    ("manifests", manifests),
    ("multipart", multipart),
    ("tokens", tokens),
];
