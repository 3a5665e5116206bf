//! Large files get the class that they are to have: what is joined from parts has the class of the parts.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use storage_core::{ByteStream, ObjectKey, SaveOptions, Tier, WriteCondition};

use super::served::{Answer, Asked, Served, object, told};
use crate::compose::{Component, compose};
use crate::options::{Conditional, describe};
use crate::save::save;

const CONTENT: &[u8] = &[7; (8 << 20) + 5];

/// A bucket of this class, to which [`CONTENT`] is sent, however that is.
fn bucket(class: &'static str) -> impl Fn(&Asked) -> Answer {
    move |asked| {
        let is = |part: &str| asked.target.contains(part);
        match asked.method.as_str() {
            "GET" => told(&json!({ "storageClass": class })),
            "PUT" if asked.body.len() == 8 << 20 => {
                (308, "range: bytes=0-8388607\r\n".to_owned(), String::new())
            }
            "POST" if is("uploadType=resumable") => {
                (200, format!("location: http://{}/session\r\n", asked.host), String::new())
            }
            // The first part is 8 MiB and the second the rest.
            "POST" if is("uploadType=multipart") && asked.body.len() > 8 << 20 => {
                told(&object(&CONTENT[5..]))
            }
            "POST" if is("uploadType=multipart") => told(&object(&CONTENT[..5])),
            "POST" if is("/rewriteTo/") => told(&json!({ "done": true, "resource": object(CONTENT) })),
            _ => told(&object(CONTENT)),
        }
    }
}

/// How [`CONTENT`] came into a bucket of this class: the sessions, and the objects that were joined.
async fn ways(class: &'static str, settings: &[(&str, &str)], tier: Option<Tier>) -> (usize, usize) {
    let served = Served::new(Duration::ZERO, bucket(class));
    let store = served.open(settings).await;
    let body = ByteStream::from_stream(futures_util::stream::iter([Ok(Bytes::from_static(CONTENT))]), None);
    let key = ObjectKey::new("file").expect("a key");
    save(&store, &key, body, SaveOptions { tier, ..SaveOptions::default() }).await.expect("saved");
    (served.asked("POST", "uploadType=resumable").len(), served.asked("POST", "/compose").len())
}

#[tokio::test]
async fn what_is_not_in_the_class_of_the_parts_is_not_joined_from_them() {
    let (session, joined) = ((1, 0), (0, 1));
    assert_eq!(ways("STANDARD", &[], None).await, joined);
    assert_eq!(ways("STANDARD", &[], Some(Tier::Glacier)).await, session, "the caller's");
    assert_eq!(
        ways("STANDARD", &[("storage_class", "COLDLINE")], None).await,
        session,
        "the configuration's"
    );
    assert_eq!(ways("NEARLINE", &[], None).await, session, "the bucket's");
    assert_eq!(ways("NEARLINE", &[], Some(Tier::Hot)).await, joined);
    assert_eq!(ways("MULTI_REGIONAL", &[], None).await, joined, "a class of old days is as good");
}

#[tokio::test]
async fn parts_of_another_class_are_joined_elsewhere_and_copied_into_it() {
    let served = Served::new(Duration::ZERO, bucket("STANDARD"));
    let store = served.open(&[]).await;
    let component = |name: &str, content: &[u8]| Component {
        name: name.to_owned(),
        generation: 3,
        size_bytes: content.len() as u64,
        crc32c: crc_fast::crc32_iscsi(content),
    };
    let components = vec![component("/.storage/parts/x/1", &CONTENT[5..]), component("p2", &CONTENT[..5])];
    let options = SaveOptions { tier: Some(Tier::Cold), ..SaveOptions::default() };
    let new = describe(&store, "file", &options).expect("sound");
    let condition = Conditional::new(WriteCondition::IfAbsent).expect("a condition");
    compose(&store, "/.storage/components/x/", components, new, &condition).await.expect("made");
    let [joined] = &served.asked("POST", "/compose")[..] else { panic!("it is joined once") };
    assert!(joined.target.contains("/o/%2F.storage%2Fcomponents%2Fx%2Fwhole/compose"), "{}", joined.target);
    assert!(!joined.target.contains("ifGenerationMatch"), "the condition is of the file");
    assert_eq!(joined.json()["destination"]["storageClass"], "STANDARD", "as its sources are");
    let [copied] = &served.asked("POST", "/rewriteTo/")[..] else { panic!("it is copied once") };
    for part in ["%2Fx%2Fwhole/rewriteTo/b/cvs/o/file?", "sourceGeneration=17", "ifGenerationMatch=0"] {
        assert!(copied.target.contains(part), "{part} is not in {}", copied.target);
    }
    assert_eq!(copied.json()["storageClass"], "COLDLINE");
    assert!(copied.json()["metadata"]["storage.save-id"].is_string(), "it is known again");
}
