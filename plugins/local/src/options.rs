//! Refuses the options that a local disk cannot honour: none is ever ignored.

use storage_core::{Error, ErrorKind, Extra, Result, SaveOptions, VersionId, WriteCondition};

use crate::store::Store;

/// Checks the options of a save.
///
/// # Errors
///
/// `Unsupported`, naming the option.
pub(crate) fn check_save(options: &SaveOptions) -> Result<()> {
    if let Some(tier) = options.tier {
        return Err(
            Error::new(ErrorKind::Unsupported, "a local disk has no tiers").with_context("tier", tier)
        );
    }
    check_extra(&options.extra)
}

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
        return check_save(options);
    };
    Err(Error::new(ErrorKind::InvalidArgument, format!("{misplaced} does not belong in these options")))
}

/// Checks the options of one provider: this one has none.
///
/// # Errors
///
/// `Unsupported`, naming the first.
pub(crate) fn check_extra(extra: &Extra) -> Result<()> {
    match extra.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Unsupported, "a local disk has no options of its own")
            .with_context("option", name.escape_debug())),
    }
}

/// Checks the wish for one version.
///
/// # Errors
///
/// `Unsupported` where versions are not kept.
pub(crate) fn check_version(store: &Store, version: Option<&VersionId>) -> Result<()> {
    if version.is_some() && !store.is_versioned() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "versions are not kept; set versioning (LOCAL_VERSIONING) to true",
        ));
    }
    Ok(())
}

/// The size of a page.
///
/// # Errors
///
/// `InvalidArgument` for a limit of 0.
pub(crate) fn page_size(limit: Option<u32>) -> Result<usize> {
    match limit {
        Some(0) => Err(Error::new(ErrorKind::InvalidArgument, "a page of 0 entries was asked for")),
        Some(limit) => Ok(limit.min(MAX_PAGE) as usize),
        None => Ok(MAX_PAGE as usize),
    }
}

/// The most entries of a page.
pub(crate) const MAX_PAGE: u32 = 1000;
