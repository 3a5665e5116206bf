//! Native enums as integers and small tuples: an ABI enum could never gain a variant.

use std::time::{Duration, SystemTime};

use super::Mirror;
use crate::capability::Capabilities;
use crate::config::{ConfigKind, ConfigValues};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::object::{Checksums, ETag};
use crate::request::{ByteRange, PresignMethod, WriteCondition};
use crate::tiering::{RestoreSpeed, RestoreStatus, Tier};

fn unknown(what: &str, code: u32) -> Error {
    let message =
        format!("the other side of the plugin boundary sent a {what} that this version does not know");
    Error::new(ErrorKind::Unsupported, message).with_context("code", code)
}

macro_rules! codes {
    ($($native:ident: $what:literal { $($variant:ident = $code:literal),+ $(,)? })+) => {$(
        impl Mirror for $native {
            type Abi = u32;

            fn into_abi(self) -> u32 {
                match self {
                    $($native::$variant => $code,)+
                }
            }

            fn from_abi(code: u32) -> Result<Self> {
                match code {
                    $($code => Ok($native::$variant),)+
                    _ => Err(unknown($what, code)),
                }
            }
        }
    )+};
}

codes! {
    Tier: "tier" { Hot = 1, Warm = 2, Cold = 3, Glacier = 4 }
    RestoreSpeed: "restore speed" { Bulk = 1, Standard = 2, Expedited = 3 }
    PresignMethod: "presign method" { Get = 1, Put = 2 }
}

/// Mirrors a type by way of a tuple that has a mirror.
macro_rules! by_way_of {
    ($native:ident, $tuple:ty, $out:expr, $in:expr) => {
        impl Mirror for $native {
            type Abi = <$tuple as Mirror>::Abi;

            fn into_abi(self) -> Self::Abi {
                let out: fn(Self) -> $tuple = $out;
                out(self).into_abi()
            }

            fn from_abi(abi: Self::Abi) -> Result<Self> {
                let read: fn($tuple) -> Result<Self> = $in;
                read(<$tuple>::from_abi(abi)?)
            }
        }
    };
}

by_way_of! { Capabilities, u64, |set| set.bits(), |bits| Ok(Capabilities::from_bits(bits)) }

type Digests = ((Option<[u8; 32]>, Option<[u8; 16]>), (Option<u32>, Option<u64>));

// Digests are asked for as well as answered, so they have no list of their own for newer ones: such a digest
// goes into the list of the request, which refuses it, or of the answer, which passes over it.
by_way_of! {
    Checksums,
    Digests,
    |sums| {
        let Checksums { sha256, md5, crc32c, crc64nvme } = sums;
        ((sha256, md5), (crc32c, crc64nvme))
    },
    |((sha256, md5), (crc32c, crc64nvme))| Ok(Checksums { sha256, md5, crc32c, crc64nvme })
}

by_way_of! {
    WriteCondition,
    (u32, Option<ETag>),
    |condition| match condition {
        WriteCondition::Always => (0, None),
        WriteCondition::IfAbsent => (1, None),
        WriteCondition::IfMatch(etag) => (2, Some(etag)),
    },
    |parts| match parts {
        (0, None) => Ok(WriteCondition::Always),
        (1, None) => Ok(WriteCondition::IfAbsent),
        (2, Some(etag)) => Ok(WriteCondition::IfMatch(etag)),
        (code, _) => Err(unknown("write condition", code)),
    }
}

by_way_of! {
    ByteRange,
    (u32, u64, u64),
    |range| match range {
        ByteRange::Bounded(start, end) => (0, start, end),
        ByteRange::From(start) => (1, start, 0),
        ByteRange::Suffix(length) => (2, length, 0),
    },
    |parts| match parts {
        (0, start, end) => Ok(ByteRange::Bounded(start, end)),
        (1, start, _) => Ok(ByteRange::From(start)),
        (2, length, _) => Ok(ByteRange::Suffix(length)),
        (code, _, _) => Err(unknown("byte range", code)),
    }
}

by_way_of! {
    RestoreStatus,
    (u32, Option<SystemTime>),
    |status| match status {
        RestoreStatus::NotArchived => (0, None),
        RestoreStatus::Archived => (1, None),
        RestoreStatus::InProgress => (2, None),
        RestoreStatus::Restored { until } => (3, until),
    },
    |parts| match parts {
        (0, _) => Ok(RestoreStatus::NotArchived),
        (1, _) => Ok(RestoreStatus::Archived),
        (2, _) => Ok(RestoreStatus::InProgress),
        (3, until) => Ok(RestoreStatus::Restored { until }),
        (code, _) => Err(unknown("restore status", code)),
    }
}

by_way_of! {
    Retry,
    (u32, Duration),
    |retry| match retry {
        Retry::Never => (0, Duration::ZERO),
        Retry::May => (1, Duration::ZERO),
        Retry::After(pause) => (2, pause),
        Retry::GaveUp => (3, Duration::ZERO),
    },
    |parts| Ok(match parts {
        (1, _) => Retry::May,
        (2, pause) => Retry::After(pause),
        (3, _) => Retry::GaveUp,
        // What this version cannot judge it does not repeat.
        _ => Retry::Never,
    })
}

by_way_of! {
    ConfigKind,
    (u32, Vec<String>),
    |kind| match kind {
        ConfigKind::Text => (0, Vec::new()),
        ConfigKind::Bool => (1, Vec::new()),
        ConfigKind::Integer => (2, Vec::new()),
        ConfigKind::Size => (3, Vec::new()),
        ConfigKind::Duration => (4, Vec::new()),
        ConfigKind::Path => (5, Vec::new()),
        ConfigKind::Url => (6, Vec::new()),
        ConfigKind::Choice(words) => (7, words),
    },
    |parts| Ok(match parts {
        (1, _) => ConfigKind::Bool,
        (2, _) => ConfigKind::Integer,
        (3, _) => ConfigKind::Size,
        (4, _) => ConfigKind::Duration,
        (5, _) => ConfigKind::Path,
        (6, _) => ConfigKind::Url,
        (7, words) => ConfigKind::Choice(words),
        // A form of a newer plugin is text to this host; the plugin checks it itself.
        _ => ConfigKind::Text,
    })
}

by_way_of! {
    ConfigValues,
    Vec<(String, String, String)>,
    |values| {
        let part = |text: &str| text.to_owned();
        values.iter().map(|(key, value)| (part(key), part(&value.text), part(&value.origin))).collect()
    },
    |parts| {
        let mut values = ConfigValues::new();
        for (key, text, origin) in parts {
            values.set(key, text, origin);
        }
        Ok(values)
    }
}
