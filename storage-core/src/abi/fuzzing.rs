//! Values on their way over the boundary and back, and values that only a foreign build could send: what the fuzz
//! targets check.
//!
//! Compiled with the feature `fuzzing` only, which nothing that is shipped has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use abi_stable::std_types::{ROption, RString, RVec, Tuple2, Tuple3};
use serde_json::Value;

use super::value::Mirror;
use crate::backend::OpenRequest;
use crate::capability::{BackendInfo, Capabilities, Health, Limits};
use crate::config::{ConfigField, ConfigKind, ConfigSchema, ConfigValues};
use crate::error::{Error, Result, Retry};
use crate::key::ObjectKey;
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage, Upload,
    UploadPage,
};
use crate::object::{Checksums, ObjectMeta};
use crate::request::{
    ByteRange, CopyOptions, DeleteOptions, DeleteResult, ListOptions, ListPage, MetadataOptions,
    PresignMethod, PresignRequest, PresignedUrl, ReadCondition, RetrieveOptions, SaveOptions, SaveResult,
    WriteCondition,
};
use crate::tiering::{
    LifecycleReport, LifecycleRule, RestoreOptions, RestoreSpeed, RestoreStatus, SetTierOptions, Tier,
};
use crate::versions::{ListVersionsOptions, ObjectVersion, VersionPage};

/// A value that crosses the boundary.
pub trait Crossing: Sized {
    /// What arrives back when the value crosses the boundary twice.
    ///
    /// # Errors
    ///
    /// Never, unless the boundary is at fault.
    fn there_and_back(self) -> Result<Self>;
}

macro_rules! crossing {
    ($($type:ty),+ $(,)?) => {$(
        impl Crossing for $type {
            fn there_and_back(self) -> Result<Self> {
                Self::from_abi(self.into_abi())
            }
        }
    )+};
}

crossing!(
    AbortResult,
    BTreeMap<String, String>,
    BackendInfo,
    ByteRange,
    Capabilities,
    Checksums,
    CompleteOptions,
    ConfigField,
    ConfigKind,
    ConfigSchema,
    ConfigValues,
    CopyOptions,
    DeleteOptions,
    DeleteResult,
    Duration,
    Error,
    Health,
    LifecycleReport,
    LifecycleRule,
    Limits,
    ListOptions,
    ListPage,
    ListPartsOptions,
    ListUploadsOptions,
    ListVersionsOptions,
    MetadataOptions,
    ObjectKey,
    ObjectMeta,
    ObjectVersion,
    OpenRequest,
    Option<String>,
    Part,
    PartOptions,
    PartPage,
    PresignMethod,
    PresignRequest,
    PresignedUrl,
    Range<u64>,
    ReadCondition,
    RestoreOptions,
    RestoreSpeed,
    RestoreStatus,
    RetrieveOptions,
    Retry,
    SaveOptions,
    SaveResult,
    SetTierOptions,
    SystemTime,
    Tier,
    Upload,
    UploadPage,
    Value,
    VersionPage,
    WriteCondition,
);

/// A moment as another build may send it.
///
/// # Errors
///
/// A moment that this system cannot express.
pub fn moment(seconds: i64, nanoseconds: u32) -> Result<SystemTime> {
    SystemTime::from_abi(Tuple2(seconds, nanoseconds))
}

/// A span of time as another build may send it.
///
/// # Errors
///
/// A span that cannot be expressed.
pub fn span(seconds: u64, nanoseconds: u32) -> Result<Duration> {
    Duration::from_abi(Tuple2(seconds, nanoseconds))
}

/// A key as another build may send it.
///
/// # Errors
///
/// A text that is no key.
pub fn key(text: &str) -> Result<ObjectKey> {
    ObjectKey::from_abi(text.into())
}

/// JSON as another build may send it.
///
/// # Errors
///
/// A text that is no JSON.
pub fn json(text: &str) -> Result<Value> {
    Value::from_abi(text.into())
}

/// A tier as another build may send it.
///
/// # Errors
///
/// A code that this version does not know.
pub fn tier(code: u32) -> Result<Tier> {
    Tier::from_abi(code)
}

/// A range as another build may send it.
///
/// # Errors
///
/// A code that this version does not know.
pub fn byte_range(code: u32, first: u64, second: u64) -> Result<ByteRange> {
    ByteRange::from_abi(Tuple3(code, first, second))
}

/// A condition as another build may send it.
///
/// # Errors
///
/// A code that this version does not know, and a tag that is missing or too much.
pub fn write_condition(code: u32, tag: Option<&str>) -> Result<WriteCondition> {
    let tag: ROption<RString> = tag.map(RString::from).into();
    WriteCondition::from_abi(Tuple2(code, tag))
}

/// A restore status as another build may send it.
///
/// # Errors
///
/// A code that this version does not know, and a moment that cannot be expressed.
pub fn restore_status(code: u32, until: Option<(i64, u32)>) -> Result<RestoreStatus> {
    let until = until.map(|(seconds, nanoseconds)| Tuple2(seconds, nanoseconds));
    RestoreStatus::from_abi(Tuple2(code, until.into()))
}

/// A verdict on repeating as another build may send it.
///
/// # Errors
///
/// A span that cannot be expressed.
pub fn retry(code: u32, seconds: u64, nanoseconds: u32) -> Result<Retry> {
    Retry::from_abi(Tuple2(code, Tuple2(seconds, nanoseconds)))
}

/// The form of a setting as another build may send it.
///
/// # Errors
///
/// Never: what is not known is text.
pub fn config_kind(code: u32, words: &[String]) -> Result<ConfigKind> {
    let words: RVec<RString> = words.iter().map(|word| RString::from(word.as_str())).collect();
    ConfigKind::from_abi(Tuple2(code, words))
}

/// Options with one that only another build knows.
///
/// # Errors
///
/// Always: what is asked for is never ignored.
pub fn options_with(name: &str, value: &str) -> Result<SaveOptions> {
    let mut abi = SaveOptions::default().into_abi();
    abi.later.push(Tuple2(name.into(), value.into()));
    SaveOptions::from_abi(abi)
}

/// An answer with a fact that only another build knows.
///
/// # Errors
///
/// Never: the fact is passed over.
pub fn answer_with(name: &str, value: &str) -> Result<SaveResult> {
    let mut abi = SaveResult::default().into_abi();
    abi.later.push(Tuple2(name.into(), value.into()));
    SaveResult::from_abi(abi)
}
