//! How long the plugin waits for a service: as long as it takes to send, and not much longer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::json;
use storage_core::{ByteStream, ErrorKind, ObjectKey, Retry, SaveOptions};

use super::served::{Answer, Asked, SILENT, Served, object, told};
use crate::save::save;

const CONTENT: &[u8] = &[7; 640 << 10];

fn bucket(asked: &Asked) -> Answer {
    if asked.method == "GET" { told(&json!({})) } else { told(&object(CONTENT)) }
}

#[tokio::test]
async fn a_slow_upload_has_time_while_its_bytes_flow() {
    let served = Served::new(Duration::from_millis(80), bucket);
    let store = served.open(&[("read_timeout", "400ms")]).await;
    let body = ByteStream::from_stream(futures_util::stream::iter([Ok(Bytes::from_static(CONTENT))]), None);
    let key = ObjectKey::new("file").expect("a key");
    save(&store, &key, body, SaveOptions::default()).await.expect("saved");
    assert_eq!(served.asked("POST", "uploadType=multipart").len(), 1, "it was sent once");
}

#[tokio::test]
async fn silence_before_an_answer_is_a_timeout() {
    let mute = |asked: &Asked| match asked.target.contains("/o/") {
        true => (0, String::new(), String::new()),
        false => told(&json!({})),
    };
    let served = Served::new(Duration::ZERO, mute);
    let store = served.open(&[("read_timeout", "200ms")]).await;
    let error = store.client.object("file", None).await.expect_err("silence").error;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May), "{}", error.report());
}

#[tokio::test]
async fn silence_within_an_answer_is_a_timeout() {
    let short = |asked: &Asked| match asked.target.contains("/o/") {
        true => (206, SILENT.to_owned(), "half".to_owned()),
        false => told(&json!({})),
    };
    let served = Served::new(Duration::ZERO, short);
    let store = served.open(&[("read_timeout", "200ms")]).await;
    let answer = store.client.open("file", 17, 0..8).await.expect("begun");
    let mut chunks = store.client.chunks(answer);
    assert_eq!(chunks.try_next().await.expect("the first half").as_deref(), Some(&b"half"[..]));
    let error = chunks.try_next().await.expect_err("silence");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May), "{}", error.report());
}
