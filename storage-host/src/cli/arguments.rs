//! How values are written on the command line.

use std::num::NonZeroU64;
use std::time::Duration;

use storage_core::config::{parse_duration, parse_size};
use storage_core::{ByteRange, Error, ErrorKind};

/// An error of usage that only shows once the arguments are seen together.
pub(super) fn usage(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A name and a value: `job_id=123`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The longest name of a service key, in characters.
const MAX_KEY_NAME: usize = 100;

/// What a service key is to be called: a name that lists and logs show as it is.
pub(super) fn key_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a key needs a name".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("the name of a key has no control characters".to_owned());
    }
    if text.chars().count() > MAX_KEY_NAME {
        return Err(format!("the name of a key has at most {MAX_KEY_NAME} characters"));
    }
    Ok(text.to_owned())
}

/// A SHA-256 digest in hexadecimal, as `sha256sum` prints it.
pub(super) fn sha256(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| "write 64 hexadecimal digits")?;
    Ok(digest)
}

/// A span of time, as the configuration writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a duration such as 15m or 7days".to_owned())
}

/// Bytes per second: `50MiB/s`.
pub(super) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = text.strip_suffix("/s").and_then(parse_size).and_then(NonZeroU64::new);
    bytes.ok_or_else(|| "write a rate such as 50MiB/s".to_owned())
}

/// A limit that can also be lifted: `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(pub(super) Option<u64>);

/// A limit of bytes: `100MiB`, or `none`.
pub(super) fn bytes_limit(text: &str) -> Result<Limit, String> {
    limit(text, parse_size).ok_or_else(|| "write a size such as 1048576 or 100MiB, or none".to_owned())
}

/// A limit of a number of things: `100`, or `none`.
pub(super) fn count_limit(text: &str) -> Result<Limit, String> {
    limit(text, |text| text.parse().ok()).ok_or_else(|| "write a whole number, or none".to_owned())
}

fn limit(text: &str, parse: impl Fn(&str) -> Option<u64>) -> Option<Limit> {
    if text == "none" {
        return Some(Limit(None));
    }
    // The catalog counts with signed numbers.
    parse(text).filter(|limit| i64::try_from(*limit).is_ok()).map(|limit| Limit(Some(limit)))
}

/// How many there shall be at most. None at all would look as if there were none.
pub(super) fn at_most(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "write a whole number from 1 on".to_owned())
}

/// A range of bytes as in HTTP, where the last byte is part of it.
pub(super) fn byte_range(text: &str) -> Result<ByteRange, String> {
    let form = "write a range such as 0-99, 100- or -50";
    let number = |text: &str| text.parse::<u64>().map_err(|_| form.to_owned());
    match text.split_once('-').ok_or(form)? {
        ("", length) => Ok(ByteRange::Suffix(number(length)?)),
        (start, "") => Ok(ByteRange::From(number(start)?)),
        (start, last) => Ok(ByteRange::Bounded(number(start)?, number(last)?.saturating_add(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_in_http() {
        assert_eq!(byte_range("0-99"), Ok(ByteRange::Bounded(0, 100)));
        assert_eq!(byte_range("100-"), Ok(ByteRange::From(100)));
        assert_eq!(byte_range("-50"), Ok(ByteRange::Suffix(50)));
        for faulty in ["", "-", "a-b", "5"] {
            assert!(byte_range(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn a_rate_is_bytes_per_second_and_never_none() {
        assert_eq!(rate("50MiB/s").map(NonZeroU64::get), Ok(50 << 20));
        for faulty in ["", "50MiB", "0/s", "-1/s", "fast/s"] {
            assert!(rate(faulty).is_err(), "{faulty}");
        }
    }

    #[test]
    fn a_limit_may_be_none_and_must_be_countable() {
        assert_eq!(bytes_limit("100KiB"), Ok(Limit(Some(102_400))));
        assert_eq!(count_limit("none"), Ok(Limit(None)));
        for faulty in ["", "-1", "many", "18446744073709551615"] {
            assert!(bytes_limit(faulty).is_err() && count_limit(faulty).is_err(), "{faulty}");
        }
    }
}
