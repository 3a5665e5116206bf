//! What is said on one side is heard on the other: arguments, answers, errors, what a backend says of itself.

use futures_util::StreamExt;
use storage_core::{ConfigKind, ErrorKind, RetrieveOptions, SaveOptions};
use storage_tests::examples;

use crate::operations::call_all;
use crate::{key, open, probe, request};

#[tokio::test]
async fn every_argument_of_every_operation_arrives_whole() {
    let calls = call_all(&*open("echo").await).await;
    assert_eq!(calls.len(), 23);
    for call in calls {
        let error = call.answer.expect_err("an echo is an error");
        let echo: Vec<_> = error.context().collect();
        assert_eq!(echo, [("operation", call.operation), ("arguments", call.arguments.as_str())]);
    }
}

#[tokio::test]
async fn every_answer_of_every_operation_arrives_whole() {
    for call in call_all(&*open("answer").await).await {
        assert_eq!(call.answer.expect(call.operation), call.expected, "{}", call.operation);
    }
}

#[tokio::test]
async fn what_a_backend_says_of_itself_arrives_whole() {
    let backend = open("work").await;
    assert_eq!(*backend.info(), examples::info());
}

#[tokio::test]
async fn an_error_arrives_with_all_its_parts() {
    let backend = open("work").await;
    let error = backend.exists(&key("fails")).await.expect_err("it fails");
    assert_eq!(format!("{error:?}"), format!("{:?}", examples::error()));
    assert_eq!(error.report(), examples::error().report());
    let retrieved = backend.retrieve(&key("fails-midway"), RetrieveOptions::default()).await;
    let items: Vec<_> = retrieved.expect("it starts").body.by_ref().collect().await;
    let error = items.last().expect("items").as_ref().expect_err("the last one failed");
    assert_eq!(items.len(), 3, "the stream is over after its error");
    assert_eq!(format!("{error:?}"), format!("{:?}", examples::error()));
}

#[tokio::test]
async fn an_open_that_fails_says_why_in_the_plugins_words() {
    let error = probe().open(request("cold", "fail_in_open")).await.err().expect("it does not open");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("\"cold\""), "{error}");
    let error = probe().open(request("cold", "nonsense")).await.err().expect("it does not open");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.to_string().contains("found in test"), "{error}");
}

#[test]
fn the_schema_arrives_whole() {
    let schema = probe().schema();
    let mode = &schema.fields[0];
    assert!(matches!(&mode.kind, ConfigKind::Choice(words) if words.contains(&"panic_in_open".to_owned())));
    assert_eq!((mode.key.as_str(), mode.variable.as_str()), ("mode", "PROBE_MODE"));
    assert_eq!((mode.default.as_deref(), mode.required, mode.secret), (Some("work"), false, false));
    let kinds: Vec<_> = schema.fields[1..].iter().map(|field| field.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            ConfigKind::Text,
            ConfigKind::Bool,
            ConfigKind::Integer,
            ConfigKind::Size,
            ConfigKind::Duration,
            ConfigKind::Path,
            ConfigKind::Url
        ]
    );
    assert!(schema.fields[1].secret);
}

#[tokio::test]
async fn options_that_no_provider_could_keep_do_not_reach_the_plugin() {
    // Were they to reach it, it would panic.
    let backend = open("panic").await;
    let options = SaveOptions { content_type: Some("text/plain\r\n".to_owned()), ..SaveOptions::default() };
    let copy = storage_core::CopyOptions { replace: Some(options.clone()), ..Default::default() };
    let key = key("k");
    let errors = [
        backend.save(&key, "body".into(), options.clone()).await.err(),
        backend.begin_multipart(&key, options).await.err(),
        backend.copy(&key, &key, copy).await.err(),
    ];
    for error in errors {
        assert_eq!(error.expect("it is refused").kind(), ErrorKind::InvalidArgument);
    }
}
