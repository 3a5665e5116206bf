//! Refuses the options that this server cannot honour: none is ever ignored.

use storage_core::{Checksums, Error, ErrorKind, Extra, Result, SaveOptions, VersionId, WriteCondition};

use crate::error::invalid;
use crate::store::Store;

/// The most entries of a page: what S3 gives.
pub(crate) const MAX_PAGE: u32 = 1000;

/// What may be done where conditions are not declared.
const NO_CONDITIONS: &str = "it would overwrite silently, as the probe at the opening showed";

/// Checks the options of a save.
///
/// # Errors
///
/// `Unsupported`, naming the option.
pub(crate) fn check_save(store: &Store, options: &SaveOptions) -> Result<()> {
    check_condition(store, &options.condition)?;
    if let Some(tier) = options.tier {
        return Err(
            Error::new(ErrorKind::Unsupported, "this backend has no tiers").with_context("tier", tier)
        );
    }
    if !options.tags.is_empty() {
        store.require(store.features.tags, "tags", "keep them as metadata")?;
    }
    check_extra(&options.extra)
}

/// Checks the condition of a write.
///
/// # Errors
///
/// `Unsupported`.
pub(crate) fn check_condition(store: &Store, condition: &WriteCondition) -> Result<()> {
    match condition {
        WriteCondition::Always => Ok(()),
        WriteCondition::IfAbsent => store.require(
            store.features.write_if_absent,
            "writes on condition that nothing is there",
            NO_CONDITIONS,
        ),
        WriteCondition::IfMatch(_) => {
            store.require(store.features.write_if_match, "writes on condition of a tag", NO_CONDITIONS)
        }
    }
}

/// Checks options that belong to something else than a save: neither condition nor digests.
///
/// # Errors
///
/// `InvalidArgument` or `Unsupported`, naming the option.
pub(crate) fn check_description(store: &Store, options: &SaveOptions) -> Result<()> {
    let misplaced = if options.condition != WriteCondition::Always {
        "a condition"
    } else if !options.checksums.is_empty() {
        "a digest"
    } else {
        return check_save(store, options);
    };
    Err(invalid(format!("{misplaced} does not belong in these options")))
}

/// Checks the options of one provider: there are none.
///
/// # Errors
///
/// `Unsupported`, naming the first.
pub(crate) fn check_extra(extra: &Extra) -> Result<()> {
    match extra.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Unsupported, "this backend has no options of its own")
            .with_context("option", name.escape_debug())),
    }
}

/// Checks the wish for one version, and gives its name for the request.
///
/// # Errors
///
/// `Unsupported` where versions are not kept.
pub(crate) fn check_version(store: &Store, version: Option<&VersionId>) -> Result<Option<String>> {
    let Some(version) = version else { return Ok(None) };
    store.require(
        store.features.versions,
        "versions of this bucket",
        "turn them on with `mc version enable ALIAS/BUCKET` and open the backend again",
    )?;
    Ok(Some(version.as_str().to_owned()))
}

/// Whether a text can be the name of a version or an upload: nothing else is sent, since a server may
/// take what it cannot read for no name at all.
pub(crate) fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\' | '?' | '#' | '%');
    // A server that keeps files takes these two for folders. Any other name may begin with a dot: those of Ceph do.
    let is_folder = matches!(text, "." | "..");
    !text.is_empty() && text.len() <= 1024 && !is_folder && text.chars().all(legal)
}

/// Refuses digests of something whose bytes the backend does not see.
///
/// # Errors
///
/// `Unsupported`.
pub(crate) fn refuse_checksums(checksums: &Checksums, what: &str) -> Result<()> {
    if checksums.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, format!("this server does not check digests of {what}")))
}

/// The size of a page.
///
/// # Errors
///
/// `InvalidArgument` for a limit of 0.
pub(crate) fn page_size(limit: Option<u32>) -> Result<u32> {
    match limit {
        Some(0) => Err(invalid("a page of 0 entries was asked for")),
        Some(limit) => Ok(limit.min(MAX_PAGE)),
        None => Ok(MAX_PAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_sent_as_names() {
        for name in ["null", "3f2a-11", "a_b.c", "UPLOAD:1==", ".rW-9.x", "..."] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", ".", "..", "../object", "a/b", "é", "a b", "a%2Fb", "x?y"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
