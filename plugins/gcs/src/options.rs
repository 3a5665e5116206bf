//! Turns the options of the contract into what a request carries, and refuses those that Google cannot honour: none
//! is ever ignored.

use storage_core::{
    Checksums, ETag, Error, ErrorKind, Extra, Result, SaveOptions, Tier, VersionId, WriteCondition,
};

use crate::error::{Failure, not_found};
use crate::open::Store;
use crate::resource::{NewObject, SAVE_ID, class};

/// The most entries of a page.
pub(crate) const MAX_PAGE: u32 = 1000;

/// The options of a save that Google alone has.
const TEMPORARY_HOLD: &str = "temporary_hold";
const EVENT_BASED_HOLD: &str = "event_based_hold";
const CUSTOM_TIME: &str = "custom_time";

/// A write and on what it depends.
#[derive(Clone, Debug)]
pub(crate) struct Conditional {
    condition: WriteCondition,
    /// The generation that the key must have, 0 for none.
    generation: Option<u64>,
    /// How the write is known again if its answer is lost.
    pub(crate) save_id: Option<String>,
}

impl Conditional {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// `PreconditionFailed` for a tag that this backend never gave.
    pub(crate) fn new(condition: WriteCondition) -> Result<Self> {
        let generation = match &condition {
            WriteCondition::Always => None,
            WriteCondition::IfAbsent => Some(0),
            WriteCondition::IfMatch(tag) => Some(tagged(tag)?),
        };
        let save_id = generation.map(|_| crate::layout::new_id());
        Ok(Self { condition, generation, save_id })
    }

    /// The condition as a request carries it.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        self.generation.iter().map(|generation| ("ifGenerationMatch", generation.to_string())).collect()
    }

    /// Marks what is written, so that it is known again.
    pub(crate) fn mark(&self, new: &mut NewObject) {
        if let Some(id) = &self.save_id {
            new.metadata.insert(SAVE_ID.to_owned(), id.clone());
        }
    }

    /// What a failed write means.
    pub(crate) fn refusal(&self, failure: Failure) -> Error {
        if failure.error.kind() != ErrorKind::PreconditionFailed || self.condition != WriteCondition::IfAbsent
        {
            return failure.error;
        }
        let message = "the object exists already";
        failure.error.context().fold(Error::new(ErrorKind::AlreadyExists, message), |error, (name, value)| {
            error.with_context(name.to_owned(), value)
        })
    }
}

/// The generation that a tag of this backend is.
///
/// # Errors
///
/// `PreconditionFailed` for a tag that this backend never gave.
pub(crate) fn tagged(tag: &ETag) -> Result<u64> {
    generation(tag.as_str()).ok_or_else(|| {
        Error::new(ErrorKind::PreconditionFailed, "the object has another tag than the given one")
    })
}

/// The number of a generation, of which there is one text alone.
fn generation(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0)?;
    // Google's numbers are signed.
    (number <= i64::MAX as u64 && number.to_string() == text).then_some(number)
}

/// The generation that a version is; none where the current one is meant.
///
/// # Errors
///
/// `Unsupported` where versions are not kept, `NotFound` for a name that no version has.
pub(crate) fn version(store: &Store, version: Option<&VersionId>) -> Result<Option<u64>> {
    let Some(version) = version else { return Ok(None) };
    if !store.keeps_versions {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the bucket keeps no versions: `gcloud storage buckets update --versioning` turns it on",
        ));
    }
    generation(version.as_str()).map(Some).ok_or_else(|| not_found("version"))
}

/// What an object that is saved with these options is to be like.
///
/// # Errors
///
/// `Unsupported` or `InvalidArgument`, naming the option.
pub(crate) fn describe(store: &Store, name: &str, options: &SaveOptions) -> Result<NewObject> {
    let mut new = NewObject {
        name: name.to_owned(),
        content_type: options.content_type.clone(),
        content_encoding: options.content_encoding.clone(),
        content_language: options.content_language.clone(),
        content_disposition: options.content_disposition.clone(),
        cache_control: options.cache_control.clone(),
        storage_class: storage_class(store, options.tier)?,
        metadata: options.metadata.clone(),
        ..NewObject::default()
    };
    if new.content_type.is_none() {
        new.set_untyped();
    }
    new.set_tags(&options.tags)?;
    for (option, value) in &options.extra {
        match option.as_str() {
            TEMPORARY_HOLD => new.temporary_hold = Some(switch(option, value)?),
            EVENT_BASED_HOLD => new.event_based_hold = Some(switch(option, value)?),
            CUSTOM_TIME => {
                value.parse::<jiff::Timestamp>().map_err(|error| {
                    let message = format!("{CUSTOM_TIME} is not a moment such as 2026-11-24T12:00:00Z");
                    Error::new(ErrorKind::InvalidArgument, message).with_source(error)
                })?;
                new.custom_time = Some(value.clone());
            }
            unknown => {
                let known = [TEMPORARY_HOLD, EVENT_BASED_HOLD, CUSTOM_TIME];
                return Err(Error::new(ErrorKind::Unsupported, "this backend has no such option")
                    .with_context("option", unknown.escape_debug())
                    .with_context("known", known.join(", ")));
            }
        }
    }
    Ok(new)
}

/// The class to save in.
///
/// # Errors
///
/// `Unsupported` for a tier where Google itself chooses the class.
pub(crate) fn storage_class(store: &Store, tier: Option<Tier>) -> Result<Option<String>> {
    match tier {
        None => Ok(store.default_class.clone()),
        Some(tier) if store.has_tiers => Ok(Some(class(tier).to_owned())),
        Some(tier) => Err(Error::new(
            ErrorKind::Unsupported,
            "the bucket has Autoclass, which chooses the class of each file",
        )
        .with_context("tier", tier)),
    }
}

fn switch(option: &str, value: &str) -> Result<bool> {
    value
        .parse()
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, format!("{option} is neither true nor false")))
}

/// Checks options that belong to something else than a save: neither condition nor digests.
///
/// # Errors
///
/// `InvalidArgument`, naming what is misplaced.
pub(crate) fn check_description(options: &SaveOptions) -> Result<()> {
    let misplaced = if options.condition != WriteCondition::Always {
        "a condition"
    } else if !options.checksums.is_empty() {
        "a digest"
    } else {
        return options.validate();
    };
    Err(Error::new(ErrorKind::InvalidArgument, format!("{misplaced} does not belong in these options")))
}

/// Checks the options of one provider where there are none.
///
/// # Errors
///
/// `Unsupported`, naming the first.
pub(crate) fn check_extra(extra: &Extra) -> Result<()> {
    match extra.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(Error::new(ErrorKind::Unsupported, "this operation has no options of this backend alone")
                .with_context("option", name.escape_debug()))
        }
    }
}

/// Checks the digests of a whole that was sent in parts: Google has only a CRC-32C of it.
///
/// # Errors
///
/// `Unsupported`, naming what can be had.
pub(crate) fn check_joined(checksums: &Checksums) -> Result<()> {
    let only_crc32c = Checksums { crc32c: checksums.crc32c, ..Checksums::default() };
    if *checksums == only_crc32c {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "of an object that was sent in parts only a crc32c can be checked as a whole",
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_text_of_a_generation_is_a_tag() {
        assert_eq!(tagged(&ETag::new("1795516141565526")).expect("a generation"), 1_795_516_141_565_526);
        for text in ["", "0", "01", "+1", "1 ", "-1", "x", "18446744073709551615", "99999999999999999999999"]
        {
            let error = tagged(&ETag::new(text)).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        }
    }

    #[test]
    fn conditions_become_generations() {
        let query = |condition| Conditional::new(condition).expect("a condition").query();
        assert_eq!(query(WriteCondition::Always), []);
        assert_eq!(query(WriteCondition::IfAbsent), [("ifGenerationMatch", "0".to_owned())]);
        let seventeen = WriteCondition::IfMatch(ETag::new("17"));
        assert_eq!(query(seventeen), [("ifGenerationMatch", "17".to_owned())]);
    }
}
