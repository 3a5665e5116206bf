//! Page tokens: the place at which a listing goes on, in a form that tells which listing it belongs to.

use storage_core::Result;

use crate::error::invalid;

/// Which listing a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    Objects,
    Versions,
    Uploads,
}

impl Listing {
    fn mark(self) -> &'static str {
        match self {
            Listing::Objects => "o1-",
            Listing::Versions => "v1-",
            Listing::Uploads => "u1-",
        }
    }

    /// The token for a place.
    pub(crate) fn token(self, place: &[&str]) -> String {
        let pieces: Vec<_> = place.iter().map(hex::encode).collect();
        format!("{}{}", self.mark(), pieces.join("-"))
    }

    /// The place that a token of so many pieces names.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a token that is none of this listing.
    pub(crate) fn place<const N: usize>(self, token: &str) -> Result<[String; N]> {
        let place = token.strip_prefix(self.mark()).and_then(|rest| {
            let pieces: Option<Vec<String>> = rest
                .split('-')
                .map(|piece| hex::decode(piece).ok().and_then(|bytes| String::from_utf8(bytes).ok()))
                .collect();
            pieces?.try_into().ok()
        });
        place.ok_or_else(|| invalid("the page token is none that this listing gave"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        let token = Listing::Versions.token(&["a/é", ""]);
        assert_eq!(Listing::Versions.place::<2>(&token).expect("own"), ["a/é".to_owned(), String::new()]);
        assert!(
            Listing::Objects.place::<2>(&token).is_err() && Listing::Versions.place::<1>(&token).is_err()
        );
        for foreign in ["", "not a token", "AAAA", "123", "é/../", "e30=", "o1-zz"] {
            assert!(Listing::Objects.place::<1>(foreign).is_err(), "{foreign}");
        }
    }
}
