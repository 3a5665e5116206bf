//! CloudWatch: what it knows is read, what the backend did is published.

use std::time::SystemTime;

use serde_json::json;
use storage_core::ErrorKind;
use storage_tests::fixture::Content;

use super::{all_services, root};
use crate::rig::{eventually, kind, open, save, unique};

async fn cloudwatch(form: &[(&str, &str)]) -> String {
    root("monitoring", "2010-08-01", form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_the_bucket_is_what_cloudwatch_says() {
    let settings = all_services(&[]);
    let bucket = settings.iter().find(|(key, _)| *key == "bucket_name").expect("a bucket").1.clone();
    let backend = open(settings).await;
    let told = backend.invoke("storage_metrics", json!({})).await.expect("told");
    assert_eq!((&told["bytes"], &told["objects"]), (&json!({}), &json!(null)), "nothing was counted yet");
    let publish = async |metric: &str, kind: &str, value: &str| {
        cloudwatch(&[
            ("Action", "PutMetricData"),
            ("Namespace", "AWS/S3"),
            ("MetricData.member.1.MetricName", metric),
            ("MetricData.member.1.Value", value),
            ("MetricData.member.1.Dimensions.member.1.Name", "BucketName"),
            ("MetricData.member.1.Dimensions.member.1.Value", &bucket),
            ("MetricData.member.1.Dimensions.member.2.Name", "StorageType"),
            ("MetricData.member.1.Dimensions.member.2.Value", kind),
        ])
        .await
    };
    publish("BucketSizeBytes", "StandardStorage", "123456").await;
    publish("BucketSizeBytes", "GlacierStorage", "789").await;
    publish("NumberOfObjects", "AllStorageTypes", "42").await;
    let told = backend.invoke("storage_metrics", json!({ "days": 2 })).await.expect("told");
    assert_eq!(told["bytes"], json!({ "StandardStorage": 123_456, "GlacierStorage": 789 }));
    assert_eq!(told["objects"], 42);
    assert!(told["counted_at"].is_string(), "{told}");
}

/// The sum of a metric that a namespace has, over the last hour and the next.
async fn sum(namespace: &str, metric: &str, bucket: &str) -> Option<f64> {
    let now = SystemTime::now();
    let hour = std::time::Duration::from_secs(3600);
    let time = |time: SystemTime| jiff::Timestamp::try_from(time).expect("a time").to_string();
    let (start, end) = (time(now - hour), time(now + hour));
    let xml = cloudwatch(&[
        ("Action", "GetMetricStatistics"),
        ("Namespace", namespace),
        ("MetricName", metric),
        ("StartTime", &start),
        ("EndTime", &end),
        ("Period", "86400"),
        ("Statistics.member.1", "Sum"),
        ("Dimensions.member.1.Name", "Backend"),
        ("Dimensions.member.1.Value", "aws_hot"),
        ("Dimensions.member.2.Name", "BucketName"),
        ("Dimensions.member.2.Value", bucket),
    ])
    .await;
    let text = xml.split_once("<Sum>")?.1.split_once('<')?.0;
    text.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_published_under_the_configured_namespace() {
    let namespace = unique("Resumes");
    let settings = all_services(&[("cloudwatch_namespace", &namespace), ("cloudwatch_interval", "1s")]);
    let bucket = settings.iter().find(|(key, _)| *key == "bucket_name").expect("a bucket").1.clone();
    let backend = open(settings).await;
    save(&backend, "object", Content::new(1, 12_345)).await;
    eventually("the publishing", || async {
        (sum(&namespace, "BytesSent", &bucket).await? >= 12_345.0).then_some(())
    })
    .await;
    assert!(sum(&namespace, "Requests", &bucket).await.is_some_and(|requests| requests >= 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_namespace_nothing_is_published() {
    let settings = all_services(&[]);
    let bucket = settings.iter().find(|(key, _)| *key == "bucket_name").expect("a bucket").1.clone();
    let backend = open(settings).await;
    save(&backend, "object", Content::new(1, 10)).await;
    assert_eq!(kind(backend.invoke("publish_metrics", json!({})).await), ErrorKind::Unsupported);
    let namespace = unique("Asked");
    let told = backend.invoke("publish_metrics", json!({ "namespace": namespace })).await.expect("published");
    assert!(told["requests"].as_u64().is_some_and(|requests| requests >= 1), "{told}");
    assert!(sum(&namespace, "BytesSent", &bucket).await.is_some_and(|bytes| bytes >= 10.0));
}
