//! [`Kind`]: what sort of bucket a name leads to, and what S3 does not do there.
//!
//! The name alone tells: `resumes` is a general-purpose bucket, `resumes--use1-az4--x-s3` a directory bucket of one
//! zone (S3 Express One Zone), an ARN an access point, and one without a region an access point of several regions.

use aws_sdk_s3::types::{
    BucketInfo, BucketLocationConstraint, BucketType, CreateBucketConfiguration, DataRedundancy,
    LocationInfo, LocationType,
};
use storage_core::Capabilities;

/// What directory buckets are named by.
const DIRECTORY: &str = "--x-s3";
/// What access points of directory buckets are named by.
const DIRECTORY_ACCESS_POINT: &str = "--xa-s3";

/// What sort of bucket there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bucket as most are.
    General,
    /// A bucket of one region, through an access point.
    AccessPoint,
    /// Buckets of several regions that replicate one another, through the one of them that is closest.
    MultiRegion,
    /// A bucket of one zone, with folders.
    Directory,
    /// The same, through an access point.
    DirectoryAccessPoint,
}

impl Kind {
    /// The sort of what has this name or ARN.
    pub(crate) fn of(bucket: &str) -> Self {
        match bucket.strip_prefix("arn:") {
            // arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME
            Some(rest) if rest.split(':').nth(2) == Some("") => Self::MultiRegion,
            Some(_) => Self::AccessPoint,
            None if bucket.ends_with(DIRECTORY) => Self::Directory,
            None if bucket.ends_with(DIRECTORY_ACCESS_POINT) => Self::DirectoryAccessPoint,
            None => Self::General,
        }
    }

    /// Whether it is one of S3 Express One Zone.
    pub(crate) fn is_directory(self) -> bool {
        matches!(self, Self::Directory | Self::DirectoryAccessPoint)
    }

    /// Whether there can be versions that can be listed.
    pub(crate) fn may_keep_versions(self) -> bool {
        matches!(self, Self::General | Self::AccessPoint)
    }

    /// What it is called, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::General => "a bucket",
            Self::AccessPoint => "an access point",
            Self::MultiRegion => "a multi-region access point",
            Self::Directory | Self::DirectoryAccessPoint => "a directory bucket",
        }
    }

    /// What every bucket of this sort can do, whatever it holds and however it is set.
    pub(crate) fn capabilities(self) -> Capabilities {
        let all = Capabilities::WRITE_IF_ABSENT
            | Capabilities::WRITE_IF_MATCH
            | Capabilities::DELETE_IF_MATCH
            | Capabilities::PRESIGN_GET
            | Capabilities::PRESIGN_PUT
            | Capabilities::MULTIPART
            | Capabilities::VERIFY_SHA256
            | Capabilities::VERIFY_MD5
            | Capabilities::VERIFY_CRC32C
            | Capabilities::VERIFY_CRC64NVME;
        match self {
            Self::General => {
                all | Capabilities::COPY | Capabilities::TIERS | Capabilities::LIFECYCLE | Capabilities::TAGS
            }
            // Rules are those of the bucket, which an access point does not show.
            Self::AccessPoint => all | Capabilities::COPY | Capabilities::TIERS | Capabilities::TAGS,
            // It can be the target of a copy and not its source, so that nothing is copied within it, and no
            // object onto itself, by which alone its class would change.
            Self::MultiRegion => all | Capabilities::TAGS,
            // One class, no tags, and rules that only delete.
            Self::Directory => all | Capabilities::COPY | Capabilities::LIFECYCLE,
            // The documentation of CopyObject excludes access points of directory buckets as the source.
            Self::DirectoryAccessPoint => all,
        }
    }
}

/// Where and as what a bucket is created; nothing where S3 refuses to be told.
pub(crate) fn configuration(bucket: &str, region: &str) -> Option<CreateBucketConfiguration> {
    if Kind::of(bucket) == Kind::Directory {
        let zone = zone(bucket);
        let (place, redundancy) = match is_local(zone) {
            true => (LocationType::LocalZone, DataRedundancy::SingleLocalZone),
            false => (LocationType::AvailabilityZone, DataRedundancy::SingleAvailabilityZone),
        };
        let location = LocationInfo::builder().r#type(place).name(zone).build();
        let info = BucketInfo::builder().r#type(BucketType::Directory).data_redundancy(redundancy).build();
        return Some(CreateBucketConfiguration::builder().location(location).bucket(info).build());
    }
    // The region that needs no telling.
    if region == "us-east-1" {
        return None;
    }
    let constraint = BucketLocationConstraint::from(region);
    Some(CreateBucketConfiguration::builder().location_constraint(constraint).build())
}

/// The same as an option of the AWS command line.
pub(crate) fn option(bucket: &str, region: &str) -> String {
    if Kind::of(bucket) == Kind::Directory {
        let zone = zone(bucket);
        let sort = if is_local(zone) { "LocalZone" } else { "AvailabilityZone" };
        return format!(
            " --create-bucket-configuration 'Location={{Type={sort},Name={zone}}},\
             Bucket={{Type=Directory,DataRedundancy=Single{sort}}}'"
        );
    }
    match region {
        "us-east-1" => String::new(),
        other => format!(" --create-bucket-configuration LocationConstraint={other}"),
    }
}

/// The zone in the name of a directory bucket: `use1-az4` in `resumes--use1-az4--x-s3`.
fn zone(bucket: &str) -> &str {
    let name = bucket.strip_suffix(DIRECTORY).unwrap_or(bucket);
    name.rsplit_once("--").map_or("", |(_, zone)| zone)
}

/// Whether the name of a directory bucket, or of its access point, is whole: a name of its own and a zone.
pub(crate) fn has_zone(bucket: &str) -> bool {
    let name = bucket.strip_suffix(DIRECTORY).or_else(|| bucket.strip_suffix(DIRECTORY_ACCESS_POINT));
    name.and_then(|name| name.rsplit_once("--"))
        .is_some_and(|(name, zone)| !name.is_empty() && zone.contains('-'))
}

/// Zones of AWS in a city have its name as well: `usw2-lax1-az1`.
fn is_local(zone: &str) -> bool {
    zone.matches('-').count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_sort_of_bucket_it_is() {
        for (name, kind) in [
            ("resumes", Kind::General),
            ("resumes--x", Kind::General),
            ("arn:aws:s3:eu-west-1:123456789012:accesspoint/resumes", Kind::AccessPoint),
            ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", Kind::MultiRegion),
            ("arn:aws-cn:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", Kind::MultiRegion),
            ("resumes--use1-az4--x-s3", Kind::Directory),
            ("readers--use1-az4--xa-s3", Kind::DirectoryAccessPoint),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
        assert!(has_zone("resumes--use1-az4--x-s3") && has_zone("a--b--use1-az4--xa-s3"));
        assert!(!has_zone("resumes--x-s3") && !has_zone("--use1-az4--x-s3") && !has_zone("a--b--x-s3"));
    }

    #[test]
    fn a_directory_bucket_is_created_in_the_zone_of_its_name() {
        let made = |bucket| configuration(bucket, "us-west-2").expect("it must be told");
        let zone = made("resumes--usw2-az1--x-s3");
        let location = zone.location().expect("a place");
        assert_eq!(location.name(), Some("usw2-az1"));
        assert_eq!(location.r#type(), Some(&LocationType::AvailabilityZone));
        let city = made("resumes--usw2-lax1-az1--x-s3");
        assert_eq!(city.location().and_then(LocationInfo::r#type), Some(&LocationType::LocalZone));
        let redundancy = city.bucket().and_then(BucketInfo::data_redundancy);
        assert_eq!(redundancy, Some(&DataRedundancy::SingleLocalZone));
        assert_eq!(
            option("resumes--usw2-az1--x-s3", "us-west-2"),
            " --create-bucket-configuration 'Location={Type=AvailabilityZone,Name=usw2-az1},\
             Bucket={Type=Directory,DataRedundancy=SingleAvailabilityZone}'"
        );
        let region = made("resumes").location_constraint().cloned();
        assert_eq!(region, Some(BucketLocationConstraint::from("us-west-2")));
        assert!(configuration("resumes", "us-east-1").is_none() && option("resumes", "us-east-1").is_empty());
    }
}
