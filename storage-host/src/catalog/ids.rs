//! The names of users, files and versions: validated before they reach a key or a query.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use storage_core::{Error, ErrorKind, Result};
use uuid::Uuid;

/// The owner of files, as the application names its users.
///
/// 1 to 128 of ASCII letters, digits and `._@+-`, not `.` or `..`: it becomes a segment of object keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    /// Validates the name of a user. Numbers may be given as they are.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the rule.
    pub fn new(name: impl fmt::Display) -> Result<Self> {
        let name = name.to_string();
        let legal = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
        let sound =
            !name.is_empty() && name.len() <= 128 && name.chars().all(legal) && name != "." && name != "..";
        if sound {
            return Ok(Self(name));
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            "a user id is 1 to 128 of ASCII letters, digits and ._@+-, and neither . nor ..",
        )
        .with_context("user_id", name.escape_debug()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserId {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for UserId {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<UserId> for String {
    fn from(user: UserId) -> Self {
        user.0
    }
}

macro_rules! uuid_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new name, later in order than those made before (UUIDv7, RFC 9562).
            #[allow(clippy::new_without_default, reason = "each call gives another name")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID.
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// The 16 bytes of the UUID.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The name with this UUID.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    Error::new(ErrorKind::InvalidArgument, concat!("not ", $what, " id: it is a UUID"))
                        .with_context("given", text.escape_debug())
                })
            }
        }
    };
}

uuid_name! {
    /// A file of an application.
    FileId, "a file"
}

uuid_name! {
    /// One version of a file.
    FileVersionId, "a version"
}
