//! Storage classes of S3, and which tier each of them is.

use aws_sdk_s3::types::StorageClass;
use storage_core::{Error, ErrorKind, Result, Tier};

use crate::bucket::Kind;

/// The classes that an object can be given. `EXPRESS_ONEZONE` is that of every object in a directory bucket and of none
/// elsewhere, and `OUTPOSTS`, `SNOW` and the `FSX_*` classes are those of other products.
pub(crate) const CONFIGURABLE: [&str; 8] = [
    "STANDARD",
    "INTELLIGENT_TIERING",
    "STANDARD_IA",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
];

/// The class of directory buckets.
pub(crate) const EXPRESS: &str = "EXPRESS_ONEZONE";

/// Which class stands for which tier, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tiers {
    classes: [(Tier, StorageClass); 4],
}

impl Tiers {
    /// These classes, for [`Tier::ALL`].
    pub(crate) fn new(classes: [StorageClass; 4]) -> Self {
        let [hot, warm, cold, glacier] = classes;
        Self { classes: [(Tier::Hot, hot), (Tier::Warm, warm), (Tier::Cold, cold), (Tier::Glacier, glacier)] }
    }

    /// The class that objects of a tier are stored in.
    pub(crate) fn class(&self, tier: Tier) -> &StorageClass {
        let found = self.classes.iter().find(|(one, _)| *one == tier);
        found.map_or(&self.classes[0].1, |(_, class)| class)
    }

    /// The tier that objects of a class are in: what is configured first, else what the class is like.
    pub(crate) fn tier(&self, class: &StorageClass) -> Tier {
        let configured = self.classes.iter().find(|(_, one)| one == class);
        configured.map_or_else(|| usual_tier(class), |(tier, _)| *tier)
    }
}

/// What a class is like: by how soon its objects can be read and what reading costs.
fn usual_tier(class: &StorageClass) -> Tier {
    match class {
        StorageClass::StandardIa | StorageClass::OnezoneIa => Tier::Warm,
        StorageClass::GlacierIr => Tier::Cold,
        StorageClass::Glacier | StorageClass::DeepArchive => Tier::Glacier,
        // STANDARD, REDUCED_REDUNDANCY and EXPRESS_ONEZONE; INTELLIGENT_TIERING, whose objects are read at
        // once unless its archive tiers were turned on; and those of other products.
        _ => Tier::Hot,
    }
}

/// Whether objects of this class must be restored before they can be read.
pub(crate) fn is_archive(class: &StorageClass) -> bool {
    matches!(class, StorageClass::Glacier | StorageClass::DeepArchive)
}

/// The class in an answer: S3 leaves STANDARD out.
pub(crate) fn of_answer(class: Option<&StorageClass>) -> StorageClass {
    class.cloned().unwrap_or(StorageClass::Standard)
}

/// The class that somebody named for an object in a bucket of this sort.
///
/// # Errors
///
/// `InvalidArgument`, with the classes that there are.
pub(crate) fn parse(name: &str, kind: Kind) -> Result<StorageClass> {
    let known: &[&str] = if kind.is_directory() { &[EXPRESS] } else { &CONFIGURABLE };
    if known.contains(&name) {
        return Ok(StorageClass::from(name));
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("{name:?} is no storage class of {}: it is one of {}", kind.name(), known.join(", ")),
    ))
}

/// The class as it is asked for. What S3 does anyway is not: some buckets know no other class than their own.
pub(crate) fn to_ask(class: StorageClass) -> Option<StorageClass> {
    Some(class).filter(|class| !matches!(class, StorageClass::Standard | StorageClass::ExpressOnezone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(names: [&str; 4]) -> Tiers {
        Tiers::new(names.map(StorageClass::from))
    }

    #[test]
    fn every_class_has_a_tier_and_every_tier_its_class() {
        let tiers = tiers(["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"]);
        for (class, tier) in [
            ("STANDARD", Tier::Hot),
            ("INTELLIGENT_TIERING", Tier::Hot),
            ("STANDARD_IA", Tier::Warm),
            ("ONEZONE_IA", Tier::Warm),
            ("GLACIER_IR", Tier::Cold),
            ("GLACIER", Tier::Glacier),
            ("DEEP_ARCHIVE", Tier::Glacier),
            ("EXPRESS_ONEZONE", Tier::Hot),
            ("REDUCED_REDUNDANCY", Tier::Hot),
            ("OUTPOSTS", Tier::Hot),
            ("A_CLASS_OF_NEXT_YEAR", Tier::Hot),
        ] {
            assert_eq!(tiers.tier(&StorageClass::from(class)), tier, "{class}");
        }
        for tier in Tier::ALL {
            assert_eq!(tiers.tier(tiers.class(tier)), tier);
        }
        assert_eq!(of_answer(None), StorageClass::Standard);
    }

    #[test]
    fn what_is_configured_outweighs_what_a_class_is_like() {
        let tiers = tiers(["INTELLIGENT_TIERING", "STANDARD", "ONEZONE_IA", "DEEP_ARCHIVE"]);
        assert_eq!(tiers.tier(&StorageClass::Standard), Tier::Warm);
        assert_eq!(tiers.tier(&StorageClass::OnezoneIa), Tier::Cold);
        assert_eq!(tiers.class(Tier::Glacier), &StorageClass::DeepArchive);
    }

    #[test]
    fn a_class_that_does_not_exist_is_refused_with_those_that_do() {
        let parse_for = |name, kind| parse(name, kind).map_err(|error| error.to_string());
        assert_eq!(parse_for("GLACIER_IR", Kind::General), Ok(StorageClass::GlacierIr));
        assert_eq!(parse_for(EXPRESS, Kind::Directory), Ok(StorageClass::ExpressOnezone));
        for (name, kind, known) in [
            ("Standard", Kind::General, "STANDARD_IA"),
            (EXPRESS, Kind::General, "STANDARD_IA"),
            ("GLACIER", Kind::Directory, EXPRESS),
        ] {
            let told = parse_for(name, kind).expect_err("no class");
            assert!(told.contains(known), "{told}");
        }
    }
}
