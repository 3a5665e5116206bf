//! The configuration: its defaults, its faults, and the bucket that it describes.

use std::time::Duration;

use serde_json::json;
use storage_core::{ConfigValues, ErrorKind, OpenRequest, Result};

use crate::config::Config;
use crate::open::new_bucket;

fn read(pairs: &[(&str, &str)]) -> Result<Config> {
    let mut config = ConfigValues::new();
    for (key, text) in pairs {
        config.set(*key, *text, "test");
    }
    Config::read(&OpenRequest { name: "cvs".to_owned(), config, ..OpenRequest::default() })
}

#[test]
fn a_bucket_is_all_that_must_be_given() {
    let config = read(&[("bucket_name", "cvs")]).expect("enough");
    assert_eq!(config.endpoint, "https://storage.googleapis.com");
    assert!(!config.create_bucket && !config.anonymous && config.storage_class.is_none());
    assert_eq!((config.composite_threshold_bytes, config.transfer_memory_bytes), (32 << 20, 64 << 20));
    assert_eq!(config.connect_timeout, Duration::from_secs(10));
    let config = read(&[("bucket_name", "cvs"), ("endpoint_url", "http://localhost:4443/")]).expect("enough");
    assert_eq!(config.endpoint, "http://localhost:4443", "a slash at the end adds nothing");
}

#[test]
fn every_fault_is_told_at_once_and_no_secret_is() {
    let error = read(&[
        ("bucket_name", "gs://CVs"),
        ("create_bucket", "true"),
        ("credentials_file", "/x.json"),
        ("credentials_json", "{\"private_key\":\"hunter2\"}"),
        ("storage_class", "COLD"),
        ("autoclass", "true"),
        ("versioning", "true"),
        ("retention", "30days"),
        ("soft_delete", "1day"),
        ("transfer_memory", "1MiB"),
        ("cdn_key", "hunter3"),
        ("cdn_url", "https://cdn.example.org"),
    ])
    .expect_err("faulty");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    let text = error.to_string();
    for part in [
        "GCS_BUCKET_NAME",
        "without gs://",
        "GCS_PROJECT_ID): is required to create a bucket",
        "GCS_CREDENTIALS_JSON): is given together",
        "one of STANDARD, NEARLINE, COLDLINE, ARCHIVE",
        "GCS_STORAGE_CLASS): cannot be chosen for a bucket with Autoclass",
        "GCS_RETENTION): cannot be had together with versioning",
        "GCS_SOFT_DELETE): is neither 7days to 90days nor 0s",
        "GCS_TRANSFER_MEMORY): is below the 16MiB",
        "GCS_CDN_KEY_NAME): is missing",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn a_bucket_is_created_as_it_is_configured() {
    let bucket = |pairs: &[(&str, &str)]| {
        let all: Vec<_> =
            [("bucket_name", "cvs"), ("project_id", "p")].iter().chain(pairs).copied().collect();
        new_bucket(&read(&all).expect("sound"))
    };
    let plain = bucket(&[]);
    assert_eq!((&plain["location"], &plain["storageClass"]), (&json!("US"), &json!("STANDARD")));
    assert_eq!(plain["iamConfiguration"]["publicAccessPrevention"], "enforced");
    assert_eq!(plain["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"], true);
    for absent in ["versioning", "autoclass", "softDeletePolicy", "retentionPolicy", "customPlacementConfig"]
    {
        assert!(plain[absent].is_null(), "{absent} is Google's default");
    }
    let pair = bucket(&[("location", "europe-west1+europe-west4"), ("storage_class", "NEARLINE")]);
    assert_eq!((&pair["location"], &pair["storageClass"]), (&json!("EU"), &json!("NEARLINE")));
    let regions = json!({ "dataLocations": ["EUROPE-WEST1", "EUROPE-WEST4"] });
    assert_eq!(pair["customPlacementConfig"], regions);
    let kept = bucket(&[("versioning", "true"), ("soft_delete", "0s"), ("kms_key", "projects/p/k")]);
    assert_eq!(kept["versioning"]["enabled"], true);
    assert_eq!(kept["softDeletePolicy"]["retentionDurationSeconds"], "0");
    assert_eq!(kept["encryption"]["defaultKmsKeyName"], "projects/p/k");
    let locked = bucket(&[("retention", "2days"), ("autoclass", "true")]);
    assert_eq!(locked["retentionPolicy"]["retentionPeriod"], "172800");
    assert_eq!(locked["autoclass"]["terminalStorageClass"], "ARCHIVE");
}
