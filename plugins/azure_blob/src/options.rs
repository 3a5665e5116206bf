//! Refuses the options that a container cannot honour: none is ever ignored.

use storage_core::{Error, ErrorKind, Extra, Result, SaveOptions, VersionId, WriteCondition};

use crate::error;
use crate::store::Store;

/// The most entries of a page: Azure's limit.
pub(crate) const MAX_PAGE: u32 = 5000;

/// Checks options that belong to something else than a save: neither condition nor digests.
///
/// # Errors
///
/// `InvalidArgument` or `Unsupported`, naming the option.
pub(crate) fn check_description(options: &SaveOptions) -> Result<()> {
    let misplaced = if options.condition != WriteCondition::Always {
        "a condition"
    } else if !options.checksums.is_empty() {
        "a digest"
    } else {
        return check_extra(&options.extra);
    };
    Err(Error::new(ErrorKind::InvalidArgument, format!("{misplaced} does not belong in these options")))
}

/// Checks the options of one provider: there is none yet.
///
/// # Errors
///
/// `Unsupported`, naming the first.
pub(crate) fn check_extra(extra: &Extra) -> Result<()> {
    match extra.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Unsupported, "a container has no options of its own")
            .with_context("option", name.escape_debug())),
    }
}

/// The version that is wanted, if one is.
///
/// # Errors
///
/// `Unsupported` where versions are not kept; `NotFound` for a text that names no version.
pub(crate) fn version<'a>(store: &Store, version: Option<&'a VersionId>) -> Result<Option<&'a str>> {
    let Some(version) = version else {
        return Ok(None);
    };
    if !store.config.versioning {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "versions are not kept: turn versioning on in the account's data protection and set versioning \
             (AZURE_VERSIONING) to true",
        ));
    }
    // Azure names a version by its time and answers another text with an error about the query.
    let text = version.as_str();
    let legal = text.len() == 28 && text.parse::<jiff::Timestamp>().is_ok();
    if legal { Ok(Some(text)) } else { Err(error::not_found("version")) }
}

/// The size of a page.
///
/// # Errors
///
/// `InvalidArgument` for a limit of 0.
pub(crate) fn page_size(limit: Option<u32>) -> Result<u32> {
    match limit {
        Some(0) => Err(Error::new(ErrorKind::InvalidArgument, "a page of 0 entries was asked for")),
        Some(limit) => Ok(limit.min(MAX_PAGE)),
        None => Ok(1000),
    }
}
