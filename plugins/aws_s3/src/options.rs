//! Options: those of S3 alone, and the refusal of those that it cannot honour. None is ever ignored.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{ObjectLockLegalHoldStatus, ObjectLockMode, StorageClass};
use storage_core::{Capabilities, Checksums, ETag, Extra, Result, SaveOptions, WriteCondition};

use crate::class;
use crate::error::{invalid, unsupported};
use crate::store::Store;

/// The most entries of a page: S3's limit.
pub(crate) const MAX_PAGE: u32 = 1000;

/// The names of the options that a save takes in its `extra`.
pub(crate) const OF_SAVE: [&str; 4] =
    ["storage_class", "object_lock_mode", "object_lock_retain_until", "object_lock_legal_hold"];

/// The option that a delete takes in its `extra`.
pub(crate) const BYPASS: &str = "bypass_governance_retention";

/// What a save asks for, in S3's terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// The class; absent: S3's own choice, STANDARD.
    pub(crate) class: Option<StorageClass>,
    pub(crate) lock_mode: Option<ObjectLockMode>,
    pub(crate) retain_until: Option<DateTime>,
    pub(crate) legal_hold: Option<ObjectLockLegalHoldStatus>,
}

/// Reads the options of a save.
///
/// # Errors
///
/// `Unsupported` for an option that is none; `InvalidArgument` for one of another form.
pub(crate) fn wishes(store: &Store, options: &SaveOptions) -> Result<Wishes> {
    options.validate()?;
    only(&options.extra, &OF_SAVE)?;
    let kind = store.config.kind();
    if options.tier.is_some() {
        store.require(Capabilities::TIERS, "tier")?;
    }
    if !options.tags.is_empty() {
        store.require(Capabilities::TAGS, "tags")?;
    }
    let is_lock = |name: &&String| name.starts_with("object_lock_");
    if let (true, Some(name)) = (kind.is_directory(), options.extra.keys().find(is_lock)) {
        return Err(unsupported("a directory bucket locks no objects").with_context("option", name.as_str()));
    }
    let extra = |name: &str| options.extra.get(name).map(String::as_str);
    let class = match (options.tier, extra("storage_class")) {
        (Some(_), Some(_)) => return Err(invalid("a tier and a storage_class were given: one is enough")),
        (Some(tier), None) => store.config.tiers.class(tier).clone(),
        (None, Some(name)) => class::parse(name, kind)?,
        (None, None) => store.config.storage_class.clone(),
    };
    let lock_mode = extra("object_lock_mode").map(lock_mode).transpose()?;
    let retain_until = extra("object_lock_retain_until").map(moment).transpose()?;
    if lock_mode.is_some() != retain_until.is_some() {
        return Err(invalid("object_lock_mode and object_lock_retain_until go together"));
    }
    Ok(Wishes {
        class: class::to_ask(class),
        lock_mode,
        retain_until,
        legal_hold: extra("object_lock_legal_hold").map(legal_hold).transpose()?,
    })
}

/// A mode of retention.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn lock_mode(text: &str) -> Result<ObjectLockMode> {
    match text {
        "GOVERNANCE" => Ok(ObjectLockMode::Governance),
        "COMPLIANCE" => Ok(ObjectLockMode::Compliance),
        other => Err(invalid(format!("{other:?} is no mode of retention: it is GOVERNANCE or COMPLIANCE"))),
    }
}

/// A moment as RFC 3339 has it.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn moment(text: &str) -> Result<DateTime> {
    DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset)
        .map_err(|_| invalid(format!("{text:?} is no time such as 2030-01-31T12:00:00Z")))
}

/// Whether a legal hold is on.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn legal_hold(text: &str) -> Result<ObjectLockLegalHoldStatus> {
    match text {
        "ON" | "on" | "true" => Ok(ObjectLockLegalHoldStatus::On),
        "OFF" | "off" | "false" => Ok(ObjectLockLegalHoldStatus::Off),
        other => Err(invalid(format!("{other:?} is no state of a legal hold: it is on or off"))),
    }
}

/// Refuses a condition and digests where they do not belong.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn only_description(options: &SaveOptions) -> Result<()> {
    if options.condition != WriteCondition::Always {
        return Err(invalid("a condition does not belong in these options"));
    }
    if options.checksums != Checksums::default() {
        return Err(invalid("a digest does not belong in these options"));
    }
    Ok(())
}

/// Refuses every option of one provider but these.
///
/// # Errors
///
/// `Unsupported`, naming the option and those that there are.
pub(crate) fn only(extra: &Extra, known: &[&str]) -> Result<()> {
    match extra.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let error = unsupported("S3 has no such option here").with_context("option", name.escape_debug());
            Err(if known.is_empty() { error } else { error.with_context("available", known.join(", ")) })
        }
    }
}

/// The size of a page.
///
/// # Errors
///
/// `InvalidArgument` for a limit of 0.
pub(crate) fn page_size(limit: Option<u32>) -> Result<i32> {
    match limit {
        Some(0) => Err(invalid("a page of 0 entries was asked for")),
        // At most 1000, which every integer holds.
        Some(limit) => Ok(limit.min(MAX_PAGE) as i32),
        None => Ok(MAX_PAGE as i32),
    }
}

/// A tag as HTTP's conditions have it.
pub(crate) fn quoted(tag: &ETag) -> String {
    format!("\"{tag}\"")
}

/// The headers of a write's condition: `If-Match` and `If-None-Match`.
pub(crate) fn condition(condition: &WriteCondition) -> (Option<String>, Option<String>) {
    match condition {
        WriteCondition::Always => (None, None),
        WriteCondition::IfAbsent => (None, Some("*".to_owned())),
        WriteCondition::IfMatch(tag) => (Some(quoted(tag)), None),
    }
}

/// Tags as the header has them.
pub(crate) fn tagging(options: &SaveOptions) -> Option<String> {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = options.tags.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    (!options.tags.is_empty()).then(|| pairs.collect::<Vec<_>>().join("&"))
}
