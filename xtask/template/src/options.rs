//! Refuses the options that this backend cannot honour: none is ever ignored.

use storage_core::{Error, ErrorKind, Extra, Result, SaveOptions, VersionId, WriteCondition};

/// Checks the options of a save.
///
/// # Errors
///
/// `Unsupported`, naming the option.
pub(crate) fn check_save(options: &SaveOptions) -> Result<()> {
    if options.condition != WriteCondition::Always {
        return Err(Error::unsupported("conditional saves"));
    }
    if !options.checksums.is_empty() {
        return Err(Error::unsupported("expected digests"));
    }
    if !options.tags.is_empty() {
        return Err(Error::unsupported("tags"));
    }
    if options.tier.is_some() {
        return Err(Error::unsupported("tiers"));
    }
    check_extra(&options.extra)
}

/// Checks the wish for one version.
///
/// # Errors
///
/// `Unsupported`: this backend keeps none.
pub(crate) fn check_version(version: Option<&VersionId>) -> Result<()> {
    if version.is_some() { Err(Error::unsupported("versions")) } else { Ok(()) }
}

/// Checks options of one provider: this one has none.
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
