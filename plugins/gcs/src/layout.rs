//! Where the plugin keeps what an upload needs on its way.
//!
//! All of it lies below a name that starts with a slash, as no key of a file can: none of it can be read, listed or
//! overwritten as a file.

/// What all names of the plugin start with.
pub(crate) const ROOT: &str = "/.storage/";

/// The first text after all names of the plugin.
pub(crate) const AFTER_ROOT: &str = "/.storage0";

/// The descriptions of uploads in parts.
pub(crate) const UPLOADS: &str = "/.storage/uploads/";

/// The parts of uploads.
pub(crate) const PARTS: &str = "/.storage/parts/";

/// The objects whose existence says that somebody is ending an upload.
pub(crate) const CLAIMS: &str = "/.storage/claims/";

/// The components of parallel uploads that are under way.
pub(crate) const COMPONENTS: &str = "/.storage/components/";

/// The lifecycle rules that this plugin set.
pub(crate) const LIFECYCLE: &str = "/.storage/lifecycle.json";

/// The description of an upload.
pub(crate) fn upload(id: &str) -> String {
    format!("{UPLOADS}{id}")
}

/// What the names of an upload's parts start with.
pub(crate) fn parts(id: &str) -> String {
    format!("{PARTS}{id}/")
}

/// A part of an upload. The names order as the numbers do.
pub(crate) fn part(id: &str, number: u32) -> String {
    format!("{PARTS}{id}/{number:05}")
}

/// The claim on an upload.
pub(crate) fn claim(id: &str) -> String {
    format!("{CLAIMS}{id}")
}

/// What the names of a session's components start with.
pub(crate) fn components(session: &str) -> String {
    format!("{COMPONENTS}{session}/")
}

/// A name that nothing else has.
pub(crate) fn new_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// Whether a text may be an upload's name.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
