//! `delete`.

use storage_core::{DeleteOptions, DeleteResult, Error, ObjectKey, Result};

use crate::options;
use crate::store::Store;

/// Deletes an object. One that does not exist is a success that says so.
///
/// # Errors
///
/// As [`storage_core::Backend::delete`].
pub(crate) fn delete(store: &Store, key: &ObjectKey, options: &DeleteOptions) -> Result<DeleteResult> {
    options::check_extra(&options.extra)?;
    options::check_version(options.version.as_ref())?;
    if options.if_match.is_some() {
        return Err(Error::unsupported("conditional deletes"));
    }
    Ok(DeleteResult { existed: store.remove(key), ..DeleteResult::default() })
}
