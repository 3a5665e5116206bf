//! The ABI-stable mirrors of the contract's values, and the way there and back.
//!
//! [`Mirror`] pairs a native type with its mirror; `mirror!` writes both for structs. Conversions move
//! what they can and never copy a payload. What comes over the boundary was made by another build of this
//! crate, so that it is checked on arrival and a fault is an error.

mod codes;
mod error;
mod structs;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use abi_stable::std_types::{ROption, RResult, RString, RVec, Tuple2, Tuple3};
use serde_json::Value;

pub(crate) use error::AbiError;
pub(crate) use structs::*;

use super::module::AbiOpened;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::multipart::UploadId;
use crate::object::{ETag, VersionId};

/// A native type and its ABI-stable twin.
pub(crate) trait Mirror: Sized {
    /// The twin.
    type Abi;

    /// On the way out. Never fails and never panics, since it runs where a panic would abort.
    fn into_abi(self) -> Self::Abi;

    /// On the way in.
    ///
    /// # Errors
    ///
    /// Where this version cannot express what the other side sent.
    fn from_abi(abi: Self::Abi) -> Result<Self>;
}

/// What every operation answers across the boundary.
pub(crate) type Outcome<T> = RResult<T, AbiError>;

/// Named fields that newer versions add to a struct which must not grow.
pub(crate) type Later = RVec<Tuple2<RString, RString>>;

/// Refuses a request that asks for something which only a newer version knows.
fn refuse_unknown(later: &Later) -> Result<()> {
    match later.iter().next() {
        None => Ok(()),
        Some(Tuple2(name, _)) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the option {name} is newer than this plugin; rebuild it with the host's storage-core"),
        )),
    }
}

/// A native struct and its mirror, field by field, by the same names. A field that is added to the native
/// struct does not compile until it is decided how it crosses (in `later`).
macro_rules! mirror {
    ($($role:ident $native:ty as $abi:ident { $($field:ident: $type:ty),* $(,)? })+) => {$(
        #[repr(C)]
        #[derive(abi_stable::StableAbi)]
        pub(crate) struct $abi {
            $(pub(crate) $field: <$type as $crate::abi::value::Mirror>::Abi,)*
            pub(crate) later: $crate::abi::value::Later,
        }

        impl $crate::abi::value::Mirror for $native {
            type Abi = $abi;

            fn into_abi(self) -> $abi {
                let Self { $($field),* } = self;
                $abi {
                    $($field: $crate::abi::value::Mirror::into_abi($field),)*
                    later: $crate::abi::value::Later::new(),
                }
            }

            fn from_abi(abi: $abi) -> $crate::error::Result<Self> {
                let $abi { $($field,)* later } = abi;
                mirror!(@$role later);
                Ok(Self { $($field: $crate::abi::value::Mirror::from_abi($field)?),* })
            }
        }
    )+};
    // What is asked for is never ignored.
    (@request $later:ident) => { $crate::abi::value::refuse_unknown(&$later)? };
    // An answer may tell more than this version understands.
    (@answer $later:ident) => { drop($later) };
}
use mirror;

macro_rules! same {
    ($($type:ty),+) => {$(
        impl Mirror for $type {
            type Abi = $type;

            fn into_abi(self) -> $type {
                self
            }

            fn from_abi(abi: $type) -> Result<Self> {
                Ok(abi)
            }
        }
    )+};
}
same!((), bool, u32, u64, [u8; 16], [u8; 32]);
// What an adapter has put together already.
same!(AbiRetrieved, AbiOpened);

impl Mirror for String {
    type Abi = RString;

    fn into_abi(self) -> RString {
        self.into()
    }

    fn from_abi(abi: RString) -> Result<Self> {
        Ok(abi.into())
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type Abi = ROption<T::Abi>;

    fn into_abi(self) -> Self::Abi {
        self.map(T::into_abi).into()
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        abi.into_option().map(T::from_abi).transpose()
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type Abi = RVec<T::Abi>;

    fn into_abi(self) -> Self::Abi {
        self.into_iter().map(T::into_abi).collect()
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        abi.into_iter().map(T::from_abi).collect()
    }
}

impl<T: Mirror> Mirror for Result<T> {
    type Abi = Outcome<T::Abi>;

    fn into_abi(self) -> Self::Abi {
        match self {
            Ok(value) => RResult::ROk(value.into_abi()),
            Err(error) => RResult::RErr(error.into_abi()),
        }
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        Ok(match abi {
            RResult::ROk(value) => Ok(T::from_abi(value)?),
            RResult::RErr(error) => Err(Error::from_abi(error)?),
        })
    }
}

impl<A: Mirror, B: Mirror> Mirror for (A, B) {
    type Abi = Tuple2<A::Abi, B::Abi>;

    fn into_abi(self) -> Self::Abi {
        Tuple2(self.0.into_abi(), self.1.into_abi())
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        Ok((A::from_abi(abi.0)?, B::from_abi(abi.1)?))
    }
}

impl<A: Mirror, B: Mirror, C: Mirror> Mirror for (A, B, C) {
    type Abi = Tuple3<A::Abi, B::Abi, C::Abi>;

    fn into_abi(self) -> Self::Abi {
        Tuple3(self.0.into_abi(), self.1.into_abi(), self.2.into_abi())
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        Ok((A::from_abi(abi.0)?, B::from_abi(abi.1)?, C::from_abi(abi.2)?))
    }
}

impl Mirror for BTreeMap<String, String> {
    type Abi = RVec<Tuple2<RString, RString>>;

    fn into_abi(self) -> Self::Abi {
        self.into_iter().map(Mirror::into_abi).collect()
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        abi.into_iter().map(Mirror::from_abi).collect()
    }
}

impl Mirror for Range<u64> {
    type Abi = Tuple2<u64, u64>;

    fn into_abi(self) -> Self::Abi {
        Tuple2(self.start, self.end)
    }

    fn from_abi(abi: Self::Abi) -> Result<Self> {
        Ok(abi.0..abi.1)
    }
}

/// Whole seconds and the nanoseconds within one.
impl Mirror for Duration {
    type Abi = Tuple2<u64, u32>;

    fn into_abi(self) -> Self::Abi {
        Tuple2(self.as_secs(), self.subsec_nanos())
    }

    fn from_abi(Tuple2(seconds, nanoseconds): Self::Abi) -> Result<Self> {
        Duration::from_secs(seconds)
            .checked_add(Duration::from_nanos(nanoseconds.into()))
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a duration is out of range"))
    }
}

/// Seconds since 1970, counted downwards before it, and the nanoseconds after that second.
impl Mirror for SystemTime {
    type Abi = Tuple2<i64, u32>;

    fn into_abi(self) -> Self::Abi {
        match self.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Tuple2(i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
                match before.subsec_nanos() {
                    0 => Tuple2(whole, 0),
                    nanoseconds => Tuple2(whole.saturating_sub(1), 1_000_000_000 - nanoseconds),
                }
            }
        }
    }

    fn from_abi(Tuple2(seconds, nanoseconds): Self::Abi) -> Result<Self> {
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = match seconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
            _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
        };
        second
            .and_then(|second| second.checked_add(Duration::from_nanos(nanoseconds.into())))
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a moment is out of range"))
    }
}

impl Mirror for ObjectKey {
    type Abi = RString;

    fn into_abi(self) -> RString {
        self.as_str().into()
    }

    fn from_abi(abi: RString) -> Result<Self> {
        ObjectKey::new(abi)
    }
}

macro_rules! opaque {
    ($($type:ident),+) => {$(
        impl Mirror for $type {
            type Abi = RString;

            fn into_abi(self) -> RString {
                self.as_str().into()
            }

            fn from_abi(abi: RString) -> Result<Self> {
                Ok($type::new(abi))
            }
        }
    )+};
}
opaque!(ETag, VersionId, UploadId);

/// JSON crosses as its text, fractions to their last digit.
impl Mirror for Value {
    type Abi = RString;

    fn into_abi(self) -> RString {
        self.to_string().into()
    }

    fn from_abi(abi: RString) -> Result<Self> {
        serde_json::from_str(&abi).map_err(|error| {
            Error::new(ErrorKind::Internal, "the other side sent no JSON").with_source(error)
        })
    }
}

#[cfg(test)]
mod tests;
