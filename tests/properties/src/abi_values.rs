//! Values on their way over the plugin boundary: each comes back as it was, and what only a foreign build could send is
//! an error or a value that comes back as well.
//!
//! The input decides, byte by byte, which value is made.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::Value;
use storage_core::abi::fuzzing::{self, Crossing};
use storage_core::{
    AbortResult, BackendInfo, ByteRange, Capabilities, Checksums, CompleteOptions, ConfigField, ConfigKind,
    ConfigSchema, ConfigValues, CopyOptions, DeleteOptions, DeleteResult, ETag, Error, ErrorKind, Extension,
    ExtensionArgument, Health, LifecycleReport, LifecycleRule, Limits, ListOptions, ListPage,
    ListPartsOptions, ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta,
    ObjectVersion, OpenRequest, Part, PartOptions, PartPage, PresignMethod, PresignRequest, PresignedUrl,
    ReadCondition, RestoreOptions, RestoreSpeed, RestoreStatus, RetrieveOptions, Retry, SaveOptions,
    SaveResult, SetTierOptions, Tier, Upload, UploadId, UploadPage, VersionId, VersionPage, WriteCondition,
};

/// Checks a value, and what a foreign build may send in its place.
pub fn abi_values(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What ends before its value is whole is no value.
    while !input.is_empty() && value(&mut input).and_then(|()| foreign(&mut input)).is_ok() {}
}

#[allow(clippy::needless_pass_by_value, reason = "a value is made where it is checked")]
fn crosses<T: Crossing + Clone + PartialEq + Debug>(value: T) {
    let back = value.clone().there_and_back();
    assert_eq!(back.as_ref().ok(), Some(&value), "{back:?}");
}

/// What another build sent comes back, if it was understood.
fn settles<T: Crossing + Clone + PartialEq + Debug>(value: storage_core::Result<T>) {
    match value {
        Ok(value) => crosses(value),
        Err(error) => assert!(!error.message().is_empty()),
    }
}

#[allow(clippy::too_many_lines, reason = "one line for each type that crosses")]
fn value(input: &mut Unstructured<'_>) -> Result<()> {
    match input.int_in_range(0..=32)? {
        0 => crosses(moment(input)?),
        1 => crosses(Duration::arbitrary(input)?),
        2 => crosses(checksums(input)?),
        3 => crosses(range(input)?),
        4 => crosses(u64::arbitrary(input)?..u64::arbitrary(input)?),
        5 => crosses(texts(input)?),
        6 => crosses(Option::<String>::arbitrary(input)?),
        7 => crosses(Capabilities::from_bits(input.arbitrary()?)),
        8 => crosses(key(input)?),
        9 => returns(error(input)?),
        10 => crosses(json(input, 3)?),
        11 => crosses(values(input)?),
        12 => crosses(OpenRequest { name: input.arbitrary()?, config: values(input)?, extra: texts(input)? }),
        13 => crosses(schema(input)?),
        14 => crosses(info(input)?),
        15 => {
            let (problems, free_bytes) = input.arbitrary()?;
            crosses(Health { problems, free_bytes, extra: texts(input)? });
        }
        16 => crosses(object(input)?),
        17 => crosses(save(input)?),
        18 => crosses(SaveResult {
            size_bytes: input.arbitrary()?,
            etag: tag(input)?,
            version: version(input)?,
            checksums: checksums(input)?,
            extra: texts(input)?,
        }),
        19 => crosses(retrieve(input)?),
        20 => {
            crosses(MetadataOptions { version: version(input)?, extra: texts(input)? });
            crosses(DeleteOptions { version: version(input)?, if_match: tag(input)?, extra: texts(input)? });
            let (existed, delete_marker) = input.arbitrary()?;
            crosses(DeleteResult { existed, version: version(input)?, delete_marker });
        }
        21 => {
            let (prefix, start_after, page_token, limit, delimited) = input.arbitrary()?;
            crosses(ListOptions { prefix, start_after, page_token, limit, delimited, extra: texts(input)? });
        }
        22 => {
            let (common_prefixes, next_page_token) = input.arbitrary()?;
            crosses(ListPage { objects: some(input, object)?, common_prefixes, next_page_token });
        }
        23 => crosses(CopyOptions {
            source_version: version(input)?,
            source_if_match: tag(input)?,
            condition: condition(input)?,
            replace: maybe(input, save)?,
            extra: texts(input)?,
        }),
        24 => crosses(presign(input)?),
        25 => {
            let (url, headers) = input.arbitrary()?;
            crosses(PresignedUrl { url, headers, expires_at: moment(input)? });
        }
        26 => {
            crosses(PartOptions { checksums: checksums(input)?, extra: texts(input)? });
            let (condition, checksums) = (condition(input)?, checksums(input)?);
            crosses(CompleteOptions { condition, checksums, extra: texts(input)? });
            crosses(AbortResult { existed: input.arbitrary()? });
            let (after, limit, next_after) = input.arbitrary()?;
            crosses(ListPartsOptions { after, limit });
            crosses(PartPage { parts: some(input, part)?, next_after });
        }
        27 => {
            let (prefix, page_token, limit, next_page_token): (String, Option<String>, _, _) =
                input.arbitrary()?;
            crosses(ListUploadsOptions { prefix: prefix.clone(), page_token: page_token.clone(), limit });
            crosses(ListVersionsOptions { prefix, page_token, limit });
            crosses(UploadPage { uploads: some(input, upload)?, next_page_token });
        }
        28 => {
            let next_page_token = input.arbitrary()?;
            crosses(VersionPage { versions: some(input, object_version)?, next_page_token });
        }
        29 => {
            crosses(SetTierOptions {
                version: version(input)?,
                speed: maybe(input, speed)?,
                extra: texts(input)?,
            });
            let (version, days) = (version(input)?, input.arbitrary()?);
            crosses(RestoreOptions { version, days, speed: speed(input)?, extra: texts(input)? });
        }
        30 => crosses(rule(input)?),
        31 => crosses(match input.int_in_range(0..=3)? {
            0 => RestoreStatus::NotArchived,
            1 => RestoreStatus::Archived,
            2 => RestoreStatus::InProgress,
            _ => RestoreStatus::Restored { until: maybe(input, moment)? },
        }),
        _ => {
            let (applied, document, notes) = input.arbitrary()?;
            crosses(LifecycleReport { applied, document, notes });
        }
    }
    Ok(())
}

/// What no build of this version sends.
fn foreign(input: &mut Unstructured<'_>) -> Result<()> {
    let code = if input.arbitrary()? { input.int_in_range(0..=9)? } else { input.arbitrary()? };
    match input.int_in_range(0..=9)? {
        0 => settles(fuzzing::moment(input.arbitrary()?, input.arbitrary()?)),
        1 => settles(fuzzing::span(input.arbitrary()?, input.arbitrary()?)),
        2 => {
            let text: String = input.arbitrary()?;
            let key = fuzzing::key(&text);
            assert_eq!(key.is_ok(), ObjectKey::new(&text).is_ok(), "{text:?}");
            settles(key);
            settles(fuzzing::json(&text));
        }
        3 => settles(fuzzing::tier(code)),
        4 => settles(fuzzing::byte_range(code, input.arbitrary()?, input.arbitrary()?)),
        5 => settles(fuzzing::write_condition(code, Option::<&str>::arbitrary(input)?)),
        6 => settles(fuzzing::restore_status(code, input.arbitrary()?)),
        7 => settles(fuzzing::retry(code, input.arbitrary()?, input.arbitrary()?)),
        8 => settles(fuzzing::config_kind(code, &Vec::<String>::arbitrary(input)?)),
        _ => {
            let (name, value) = <(&str, &str)>::arbitrary(input)?;
            let error = fuzzing::options_with(name, value).expect_err("what is asked for is never ignored");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let answer = fuzzing::answer_with(name, value).ok();
            assert_eq!(answer, Some(SaveResult::default()), "a fact that is not known is passed over");
        }
    }
    Ok(())
}

/// Errors are not compared as values are: the chain of causes comes back as messages.
fn returns(error: Error) {
    let told = format!("{error:?}");
    let back = error.there_and_back().expect("what this version sends it can read");
    assert_eq!(format!("{back:?}"), told);
}

fn error(input: &mut Unstructured<'_>) -> Result<Error> {
    let mut error = Error::new(ErrorKind::from_code(input.arbitrary()?), String::arbitrary(input)?)
        .with_retry(match input.int_in_range(0..=3)? {
            0 => Retry::Never,
            1 => Retry::May,
            2 => Retry::After(input.arbitrary()?),
            _ => Retry::GaveUp,
        });
    if input.arbitrary()? {
        error = error.with_operation(String::arbitrary(input)?);
    }
    if input.arbitrary()? {
        error = error.with_backend(String::arbitrary(input)?);
    }
    if input.arbitrary()? {
        error = error.with_key(String::arbitrary(input)?);
    }
    for (name, value) in Vec::<(String, String)>::arbitrary(input)? {
        error = error.with_context(name, value);
    }
    let mut cause: Option<Error> = None;
    for message in Vec::<String>::arbitrary(input)?.into_iter().take(8) {
        let outer = Error::new(ErrorKind::Internal, message);
        cause = Some(match cause.take() {
            Some(inner) => outer.with_source(inner),
            None => outer,
        });
    }
    Ok(match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

fn maybe<T>(input: &mut Unstructured<'_>, make: fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<T>> {
    if input.arbitrary()? { make(input).map(Some) } else { Ok(None) }
}

fn some<T>(input: &mut Unstructured<'_>, make: fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = input.int_in_range(0..=3)?;
    (0..count).map(|_| make(input)).collect()
}

fn texts(input: &mut Unstructured<'_>) -> Result<BTreeMap<String, String>> {
    input.arbitrary()
}

fn moment(input: &mut Unstructured<'_>) -> Result<SystemTime> {
    let span = Duration::new(u64::from(u32::arbitrary(input)?) << 8, input.int_in_range(0..=999_999_999)?);
    Ok(if input.arbitrary()? { SystemTime::UNIX_EPOCH + span } else { SystemTime::UNIX_EPOCH - span })
}

fn checksums(input: &mut Unstructured<'_>) -> Result<Checksums> {
    let (sha256, md5, crc32c, crc64nvme) = input.arbitrary()?;
    Ok(Checksums { sha256, md5, crc32c, crc64nvme })
}

fn range(input: &mut Unstructured<'_>) -> Result<ByteRange> {
    Ok(match input.int_in_range(0..=2)? {
        0 => ByteRange::Bounded(input.arbitrary()?, input.arbitrary()?),
        1 => ByteRange::From(input.arbitrary()?),
        _ => ByteRange::Suffix(input.arbitrary()?),
    })
}

fn key(input: &mut Unstructured<'_>) -> Result<ObjectKey> {
    ObjectKey::new(String::arbitrary(input)?).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn tag(input: &mut Unstructured<'_>) -> Result<Option<ETag>> {
    Ok(Option::<String>::arbitrary(input)?.map(ETag::new))
}

fn version(input: &mut Unstructured<'_>) -> Result<Option<VersionId>> {
    Ok(Option::<String>::arbitrary(input)?.map(VersionId::new))
}

fn tier(input: &mut Unstructured<'_>) -> Result<Tier> {
    input.choose(&Tier::ALL).copied()
}

fn speed(input: &mut Unstructured<'_>) -> Result<RestoreSpeed> {
    input.choose(&[RestoreSpeed::Bulk, RestoreSpeed::Standard, RestoreSpeed::Expedited]).copied()
}

fn condition(input: &mut Unstructured<'_>) -> Result<WriteCondition> {
    Ok(match input.int_in_range(0..=2)? {
        0 => WriteCondition::Always,
        1 => WriteCondition::IfAbsent,
        _ => WriteCondition::IfMatch(ETag::new(String::arbitrary(input)?)),
    })
}

/// JSON that is not nested deeper than this. What JSON has no number for, an infinity say, becomes null.
fn json(input: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    Ok(match input.int_in_range(0..=if depth > 0 { 6 } else { 4 })? {
        0 => Value::Null,
        1 => Value::Bool(input.arbitrary()?),
        2 => Value::from(i64::arbitrary(input)?),
        3 => Value::from(f64::arbitrary(input)?),
        4 => Value::String(input.arbitrary()?),
        5 => {
            let count = input.int_in_range(0..=3)?;
            (0..count).map(|_| json(input, depth - 1)).collect::<Result<Vec<_>>>()?.into()
        }
        _ => {
            let count = input.int_in_range(0..=3)?;
            let member = |_| Ok((String::arbitrary(&mut *input)?, json(&mut *input, depth - 1)?));
            Value::Object((0..count).map(member).collect::<Result<_>>()?)
        }
    })
}

fn values(input: &mut Unstructured<'_>) -> Result<ConfigValues> {
    let mut values = ConfigValues::new();
    for (key, text, origin) in Vec::<(String, String, String)>::arbitrary(input)? {
        values.set(key, text, origin);
    }
    Ok(values)
}

fn schema(input: &mut Unstructured<'_>) -> Result<ConfigSchema> {
    Ok(ConfigSchema { fields: some(input, field)? })
}

fn field(input: &mut Unstructured<'_>) -> Result<ConfigField> {
    let kind = match input.int_in_range(0..=7)? {
        0 => ConfigKind::Text,
        1 => ConfigKind::Bool,
        2 => ConfigKind::Integer,
        3 => ConfigKind::Size,
        4 => ConfigKind::Duration,
        5 => ConfigKind::Path,
        6 => ConfigKind::Url,
        _ => ConfigKind::Choice(input.arbitrary()?),
    };
    let (key, variable, required, secret, default, description) = input.arbitrary()?;
    Ok(ConfigField { key, variable, kind, required, secret, default, description })
}

fn info(input: &mut Unstructured<'_>) -> Result<BackendInfo> {
    let (backend_type, location, server, bits) = input.arbitrary()?;
    let capabilities = Capabilities::from_bits(bits);
    let (max_object_bytes, max_single_save_bytes, min_part_bytes, max_part_bytes) = input.arbitrary()?;
    let (max_parts, max_delete_batch, max_list_page, max_presign_expiry) = input.arbitrary()?;
    let limits = Limits {
        max_object_bytes,
        max_single_save_bytes,
        min_part_bytes,
        max_part_bytes,
        max_parts,
        max_delete_batch,
        max_list_page,
        max_presign_expiry,
    };
    let extensions = some(input, extension)?;
    let extra = texts(input)?;
    Ok(BackendInfo { backend_type, location, server, capabilities, limits, extensions, extra })
}

fn extension(input: &mut Unstructured<'_>) -> Result<Extension> {
    let (name, description, mutates) = input.arbitrary()?;
    let argument = |(name, description, required)| ExtensionArgument { name, description, required };
    let arguments = Vec::<(String, String, bool)>::arbitrary(input)?;
    Ok(Extension { name, description, mutates, arguments: arguments.into_iter().map(argument).collect() })
}

fn object(input: &mut Unstructured<'_>) -> Result<ObjectMeta> {
    let mut meta = ObjectMeta::new(key(input)?, input.arbitrary()?, moment(input)?);
    (meta.etag, meta.version) = (tag(input)?, version(input)?);
    (meta.content_type, meta.content_encoding, meta.content_language) = input.arbitrary()?;
    (meta.content_disposition, meta.cache_control, meta.storage_class) = input.arbitrary()?;
    (meta.checksums, meta.tier) = (checksums(input)?, maybe(input, tier)?);
    (meta.metadata, meta.tags, meta.extra) = input.arbitrary()?;
    Ok(meta)
}

fn object_version(input: &mut Unstructured<'_>) -> Result<ObjectVersion> {
    let (is_latest, is_delete_marker) = input.arbitrary()?;
    Ok(ObjectVersion { meta: object(input)?, is_latest, is_delete_marker })
}

fn save(input: &mut Unstructured<'_>) -> Result<SaveOptions> {
    let mut options = SaveOptions { condition: condition(input)?, ..SaveOptions::default() };
    (options.content_type, options.content_encoding, options.content_language) = input.arbitrary()?;
    (options.content_disposition, options.cache_control) = input.arbitrary()?;
    (options.metadata, options.tags, options.extra) = input.arbitrary()?;
    (options.checksums, options.tier) = (checksums(input)?, maybe(input, tier)?);
    Ok(options)
}

fn retrieve(input: &mut Unstructured<'_>) -> Result<RetrieveOptions> {
    let condition = ReadCondition {
        if_match: tag(input)?,
        if_none_match: tag(input)?,
        if_modified_since: maybe(input, moment)?,
        if_unmodified_since: maybe(input, moment)?,
    };
    Ok(RetrieveOptions {
        range: maybe(input, range)?,
        version: version(input)?,
        condition,
        extra: texts(input)?,
    })
}

fn presign(input: &mut Unstructured<'_>) -> Result<PresignRequest> {
    let method = input.choose(&[PresignMethod::Get, PresignMethod::Put]).copied()?;
    let mut request = PresignRequest::new(key(input)?, method, input.arbitrary()?);
    request.version = version(input)?;
    (request.content_type, request.content_disposition) = input.arbitrary()?;
    (request.content_length_bytes, request.checksums) = (input.arbitrary()?, checksums(input)?);
    request.extra = texts(input)?;
    Ok(request)
}

fn part(input: &mut Unstructured<'_>) -> Result<Part> {
    let (number, size_bytes, etag) = <(u32, u64, String)>::arbitrary(input)?;
    Ok(Part { number, size_bytes, etag: ETag::new(etag), checksums: checksums(input)? })
}

fn upload(input: &mut Unstructured<'_>) -> Result<Upload> {
    let id = UploadId::new(String::arbitrary(input)?);
    Ok(Upload { key: key(input)?, id, started_at: moment(input)? })
}

fn rule(input: &mut Unstructured<'_>) -> Result<LifecycleRule> {
    let (id, prefix, enabled) = input.arbitrary()?;
    let transition = |input: &mut Unstructured<'_>| Ok((input.arbitrary()?, tier(input)?));
    let transitions = some(input, transition)?;
    let (expire_after, expire_old_versions_after, abort_uploads_after) = input.arbitrary()?;
    Ok(LifecycleRule {
        id,
        prefix,
        enabled,
        transitions,
        expire_after,
        expire_old_versions_after,
        abort_uploads_after,
    })
}
