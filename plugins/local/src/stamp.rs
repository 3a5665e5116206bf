//! [`Stamp`]: the name of a version, which is the moment of its save.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// `20261124T071233.123456789Z-0a1b2c`: the moment in UTC and six random hexadecimal digits.
///
/// Stamps of one object ascend, whatever the clock does; the random digits keep a stamp unique even where
/// an object was removed and the clock then set back. A stamp is part of a file name: it is never built from
/// text that [`Stamp::parse`] has not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Stamp(String);

const FORM: &[u8] = b"00000000T000000.000000000Z-xxxxxx";

impl Stamp {
    /// The length of every stamp, in bytes.
    pub(crate) const TEXT_BYTES: usize = FORM.len();

    /// The stamp of something saved now, with its moment: after `previous`, even where the clock went back.
    pub(crate) fn now(previous: Option<Timestamp>) -> (Self, Timestamp) {
        let now = Timestamp::now();
        let moment = match previous {
            Some(previous) if previous >= now => {
                previous.checked_add(SignedDuration::from_nanos(1)).unwrap_or(now)
            }
            _ => now,
        };
        let random: u32 = rand::random_range(0..1 << 24);
        (Self(format!("{}-{random:06x}", moment.strftime("%Y%m%dT%H%M%S.%9fZ"))), moment)
    }

    /// Reads a stamp; none where the text is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == FORM.len()
            && text.bytes().zip(FORM).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                other => byte == *other,
            });
        fits.then(|| Self(text.to_owned()))
    }

    /// The text of the stamp.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Stamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not the name of a version"))
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_ascend_even_where_the_clock_goes_back() {
        let future = Timestamp::now() + SignedDuration::from_hours(1);
        let (first, moment) = Stamp::now(Some(future));
        let (second, _) = Stamp::now(Some(moment));
        assert!(moment > future && second.as_str() > first.as_str(), "{first} {second}");
        assert_eq!(Stamp::parse(first.as_str()), Some(first));
    }

    #[test]
    fn only_stamps_are_read() {
        for text in
            ["", "../../etc/passwd", "20261124T071233.123456789Z-0a1b2/", "20261124T071233.123456789Z-0A1B2C"]
        {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }
}
