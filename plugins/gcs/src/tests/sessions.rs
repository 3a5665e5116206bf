//! A session of a resumable upload that is over before the upload is.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use storage_core::{ByteStream, ErrorKind, ObjectKey, Retry, SaveOptions};

use super::served::{Answer, Asked, Served, told};
use crate::save::save;

const CONTENT: &[u8] = &[7; (8 << 20) + 5];

/// A bucket whose sessions are over after so many bytes.
fn bucket(status: u16, after_bytes: usize) -> impl Fn(&Asked) -> Answer {
    let ended = json!({ "error": { "message": "over", "errors": [{ "reason": "gone" }] } });
    move |asked| match asked.method.as_str() {
        "GET" => told(&json!({})),
        "POST" => (200, format!("location: http://{}/session\r\n", asked.host), String::new()),
        "PUT" if after_bytes > 0 && asked.body.len() == 8 << 20 => {
            (308, "range: bytes=0-8388607\r\n".to_owned(), String::new())
        }
        _ => (status, String::new(), ended.to_string()),
    }
}

#[tokio::test]
async fn a_session_that_is_over_is_no_missing_object_and_may_begin_anew() {
    for (status, after_bytes) in [(410, 0), (404, 0), (410, 8 << 20), (404, 8 << 20)] {
        let served = Served::new(Duration::ZERO, bucket(status, after_bytes));
        let store = served.open(&[("composite_threshold", "0")]).await;
        let body =
            ByteStream::from_stream(futures_util::stream::iter([Ok(Bytes::from_static(CONTENT))]), None);
        let key = ObjectKey::new("file").expect("a key");
        let error = save(&store, &key, body, SaveOptions::default()).await.expect_err("over");
        let told = (error.kind(), error.retry());
        assert_eq!(told, (ErrorKind::Unavailable, Retry::May), "{status}: {}", error.report());
        let sent = served.asked("PUT", "/session").len();
        assert_eq!(sent, 1 + usize::from(after_bytes > 0), "nothing more is sent to it");
    }
}
