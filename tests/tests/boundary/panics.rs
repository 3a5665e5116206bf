//! A panic of a plugin is an error, wherever it happens, and the host and the plugin go on.

use futures_util::StreamExt;
use storage_core::abi::{LoadError, load};
use storage_core::{ErrorKind, RetrieveOptions};
use storage_tests::plugins::plugin_path;

use crate::operations::call_all;
use crate::{key, open, probe, request};

#[tokio::test]
async fn a_panic_in_any_operation_is_an_error_that_names_it() {
    let backend = open("panic").await;
    let calls = call_all(&*backend).await;
    assert_eq!(calls.len(), 23);
    for call in calls {
        let error = call.answer.expect_err(call.operation);
        assert_eq!(error.kind(), ErrorKind::PluginPanicked);
        assert_eq!(error.message(), format!("the plugin panicked: the probe panics in {}", call.operation));
        assert_eq!((error.operation(), error.backend()), (Some(call.operation), Some("hot")));
        let (name, place) = error.context().next().expect("it says where");
        assert!(name == "location" && place.contains("backend.rs:"), "{place}");
    }
    assert_eq!(backend.info().backend_type, "probe", "the backend is still there");
}

#[tokio::test]
async fn a_panic_in_a_stream_is_its_last_item() {
    let backend = open("work").await;
    let key = key("panics-midway");
    let mut retrieved = backend.retrieve(&key, RetrieveOptions::default()).await.expect("it starts");
    let items: Vec<_> = retrieved.body.by_ref().collect().await;
    assert_eq!(items.len(), 3);
    let error = items[2].as_ref().expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::PluginPanicked);
    assert!(error.to_string().contains("the probe panics in a stream"), "{error}");
    assert_eq!(error.operation(), Some("retrieve"));
    assert!(backend.exists(&crate::key("at-once")).await.expect("the backend goes on"));
}

#[tokio::test]
async fn a_panic_in_open_or_info_is_an_error() {
    for (mode, words) in
        [("panic_in_open", "the probe panics in open"), ("panic_in_info", "the probe panics in info")]
    {
        let error = probe().open(request("cold", mode)).await.err().expect("it panics");
        assert_eq!(error.kind(), ErrorKind::PluginPanicked);
        assert!(error.message().contains(words), "{error}");
        assert_eq!((error.operation(), error.backend()), (Some("open"), Some("cold")));
    }
    open("work").await;
}

#[test]
fn a_panic_in_the_schema_is_an_error_of_loading() {
    let error = load(&plugin_path("no-schema")).expect_err("its schema panics");
    let LoadError::Initialisation { reason, source, .. } = &error else {
        panic!("another error: {error:?}");
    };
    assert!(reason.contains("the schema panics"), "{reason}");
    assert_eq!(source.as_ref().map(storage_core::Error::kind), Some(ErrorKind::PluginPanicked));
}

#[tokio::test]
async fn a_panic_in_a_destructor_harms_nobody() {
    drop(open("panic_in_drop").await);
    let backend = open("work").await;
    let key = key("drops-with-panic");
    let mut call = backend.exists(&key);
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    assert!(backend.exists(&crate::key("at-once")).await.expect("the backend goes on"));
}

#[tokio::test]
async fn a_panic_in_the_hosts_body_is_an_error_on_the_plugins_side() {
    let backend = open("work").await;
    let body = futures_util::stream::poll_fn(|_| panic!("the source is broken"));
    let body = storage_core::ByteStream::from_stream(body, None);
    let error = backend.save(&key("k"), body, Default::default()).await.expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("the source is broken"), "{error}");
}

#[tokio::test]
async fn a_panic_in_a_spawned_task_stays_in_the_plugin() {
    let backend = open("work").await;
    assert!(backend.exists(&key("spawned-task-panics")).await.expect("it answers"));
}
