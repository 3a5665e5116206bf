//! Lifecycle rules are there only where their record can be overwritten.

use std::time::Duration;

use serde_json::json;
use storage_core::{Backend as _, Capabilities, ErrorKind};

use super::served::{Served, told};
use crate::backend::GcsBackend;

#[tokio::test]
async fn a_bucket_that_lets_nothing_go_has_no_lifecycle_rules() {
    for (bucket, has_rules) in [
        (json!({}), true),
        (json!({ "retentionPolicy": { "retentionPeriod": "60" } }), false),
        (json!({ "defaultEventBasedHold": true }), false),
    ] {
        let answer = bucket.clone();
        let served = Served::new(Duration::ZERO, move |_| told(&answer));
        let backend = GcsBackend::open(served.request(&[])).await.expect("the bucket opens");
        let declared = backend.info().capabilities.has(Capabilities::LIFECYCLE);
        assert_eq!(declared, has_rules, "{bucket}");
        if !has_rules {
            let error = backend.apply_lifecycle(Vec::new()).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(served.asked("PATCH", "").is_empty(), "nothing was changed");
        }
        backend.close().await.expect("closed");
    }
}
