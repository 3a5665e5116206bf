//! CloudWatch: what it knows of the bucket is read, and what the backend did is published.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};
use storage_core::{Extension, Result};

use super::arguments::Arguments;
use super::{extension, optional};
use crate::error::{invalid, unsupported};
use crate::metrics::Window;
use crate::query::{cloudwatch, elements};
use crate::store::Store;

pub(super) const STORAGE_METRICS: &str = "storage_metrics";
pub(super) const PUBLISH: &str = "publish_metrics";

/// The kinds of storage that CloudWatch counts the bytes of.
const KINDS: [&str; 12] = [
    "StandardStorage",
    "IntelligentTieringFAStorage",
    "IntelligentTieringIAStorage",
    "IntelligentTieringAAStorage",
    "IntelligentTieringAIAStorage",
    "IntelligentTieringDAAStorage",
    "StandardIAStorage",
    "OneZoneIAStorage",
    "GlacierInstantRetrievalStorage",
    "GlacierStorage",
    "DeepArchiveStorage",
    "ReducedRedundancyStorage",
];

pub(super) fn extensions() -> Vec<Extension> {
    vec![
        extension(
            STORAGE_METRICS,
            false,
            "Tells what CloudWatch knows of the bucket's size by class and number of objects, counted once a day.",
            vec![optional("days", "How many days back a figure may be, 1 to 455; 3 where absent.")],
        ),
        extension(
            PUBLISH,
            true,
            "Publishes now what the backend did since it last told CloudWatch.",
            vec![optional("namespace", "Where to; that of the configuration where absent.")],
        ),
    ]
}

/// Reads the bucket's daily figures.
pub(super) async fn storage_metrics(store: &Store, arguments: &Arguments) -> Result<Value> {
    let days = arguments.count("days")?.unwrap_or(3);
    if days > 455 {
        return Err(invalid("CloudWatch keeps figures for 455 days"));
    }
    let sizes = KINDS.map(|kind| figure(store, "BucketSizeBytes", kind, days));
    let (sizes, objects) = futures_util::try_join!(
        try_join_all(sizes),
        figure(store, "NumberOfObjects", "AllStorageTypes", days)
    )?;
    let bytes: Map<String, Value> = KINDS
        .iter()
        .zip(sizes)
        .filter_map(|(kind, size)| Some(((*kind).to_owned(), json!(size?.0 as u64))))
        .collect();
    Ok(json!({
        "bytes": bytes,
        "objects": objects.as_ref().map(|(count, _)| *count as u64),
        "counted_at": objects.map(|(_, at)| at),
    }))
}

/// The latest figure and when it was taken.
async fn figure(store: &Store, metric: &str, kind: &str, days: i32) -> Result<Option<(f64, String)>> {
    let now = SystemTime::now();
    let back = Duration::from_secs(u64::from(days.unsigned_abs()) * 24 * 3600);
    let mut form = vec![
        ("Namespace".to_owned(), "AWS/S3".to_owned()),
        ("MetricName".to_owned(), metric.to_owned()),
        ("StartTime".to_owned(), time(now - back)),
        // The end is no part of the time that is asked for, and has whole seconds.
        ("EndTime".to_owned(), time(now + Duration::from_secs(60))),
        ("Period".to_owned(), "86400".to_owned()),
        ("Statistics.member.1".to_owned(), "Average".to_owned()),
    ];
    form.extend(dimensions("Dimensions", &[("BucketName", &store.config.bucket), ("StorageType", kind)]));
    let xml = cloudwatch(store, "read the metrics of the bucket", "GetMetricStatistics", &form).await?;
    // Figures come in no order; their times, all of one form, are in that of their text.
    let all = elements(&xml, "Timestamp").into_iter().zip(elements(&xml, "Average"));
    let latest = all.max_by_key(|(at, _)| *at);
    Ok(latest.and_then(|(at, value)| Some((value.parse().ok()?, at.to_owned()))))
}

fn time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // The present is within what the format can tell.
    let seconds = i64::try_from(seconds).unwrap_or_default();
    DateTime::from_secs(seconds).fmt(DateTimeFormat::DateTime).unwrap_or_default()
}

fn dimensions(prefix: &str, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let numbered = pairs.iter().zip(1..);
    numbered
        .flat_map(|((name, value), number)| {
            [("Name", name), ("Value", value)]
                .map(|(part, text)| (format!("{prefix}.member.{number}.{part}"), (*text).to_owned()))
        })
        .collect()
}

/// Publishes at once.
pub(super) async fn publish_now(store: &Store, arguments: &Arguments) -> Result<Value> {
    let configured = store.config.metrics.as_ref().map(|(namespace, _)| namespace.as_str());
    let namespace = arguments.text("namespace")?.filter(|text| !text.is_empty()).or(configured);
    let namespace = namespace.ok_or_else(|| {
        unsupported(
            "no namespace is known: name one, or set cloudwatch_namespace (AWS_S3_CLOUDWATCH_NAMESPACE)",
        )
    })?;
    let requests = publish(store, namespace).await?;
    Ok(json!({ "requests": requests, "namespace": namespace }))
}

/// Publishes from time to time, without an end.
pub(crate) async fn publish_regularly(store: Arc<Store>, namespace: String, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = publish(&store, &namespace).await {
            tracing::warn!(error = %error.report(), "metrics could not be published: they are told next time");
        }
    }
}

/// Tells what happened since the last time, if anything did.
async fn publish(store: &Store, namespace: &str) -> Result<u64> {
    let window = store.metrics.take();
    if window == Window::default() {
        return Ok(0);
    }
    let told =
        cloudwatch(store, "publish the metrics", "PutMetricData", &form(store, namespace, &window)).await;
    if told.is_err() {
        store.metrics.put_back(window);
    }
    told.map(|_| window.requests)
}

fn form(store: &Store, namespace: &str, window: &Window) -> Vec<(String, String)> {
    let places = [("Backend", store.name.as_str()), ("BucketName", store.config.bucket.as_str())];
    let mut form = vec![("Namespace".to_owned(), namespace.to_owned())];
    let mut number = 0;
    let mut begin = |name: &str, unit: &str| {
        number += 1;
        let prefix = format!("MetricData.member.{number}");
        let mut lines = vec![
            (format!("{prefix}.MetricName"), name.to_owned()),
            (format!("{prefix}.Unit"), unit.to_owned()),
        ];
        lines.extend(dimensions(&format!("{prefix}.Dimensions"), &places));
        (prefix, lines)
    };
    for (name, unit, value) in [
        ("Requests", "Count", window.requests),
        ("Errors", "Count", window.errors),
        ("Throttled", "Count", window.throttled),
        ("BytesSent", "Bytes", window.bytes_sent),
        ("BytesReceived", "Bytes", window.bytes_received),
    ] {
        let (prefix, lines) = begin(name, unit);
        form.extend(lines);
        form.push((format!("{prefix}.Value"), value.to_string()));
    }
    if window.requests > 0 {
        let (prefix, lines) = begin("Latency", "Milliseconds");
        form.extend(lines);
        let milliseconds = |span: Duration| (span.as_secs_f64() * 1e3).to_string();
        for (name, value) in [
            ("SampleCount", window.requests.to_string()),
            ("Sum", milliseconds(window.total)),
            ("Minimum", milliseconds(window.shortest)),
            ("Maximum", milliseconds(window.longest)),
        ] {
            form.push((format!("{prefix}.StatisticValues.{name}"), value));
        }
    }
    form
}
