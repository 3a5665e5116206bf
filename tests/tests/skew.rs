//! Hosts and plugins of different versions work together, or say why not. Real libraries, built for the purpose.

use std::process::Command;

use storage_core::abi::{AbiVersion, LoadError, load, read_manifest};
use storage_core::{
    Backend, DeleteOptions, ErrorKind, ListOptions, ObjectKey, OpenRequest, RetrieveOptions, SaveOptions,
};
use storage_tests::plugins::plugin_path;
use storage_tests::skew::{Variant, host, plugin};

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// Opens the plugin of a variant in this host and puts an object through its life.
async fn use_plugin(variant: Variant) -> std::sync::Arc<dyn Backend> {
    let path = plugin(variant).expect("the plugin is built");
    let module = load(&path).expect("it loads");
    assert_eq!(module.manifest().backend_type, "memory");
    let backend = module.open(OpenRequest::default()).await.expect("it opens");
    let key = key("a/b");
    backend.save(&key, "content".into(), SaveOptions::default()).await.expect("it saves");
    let retrieved = backend.retrieve(&key, RetrieveOptions::default()).await.expect("it reads");
    assert_eq!(retrieved.body.collect(100).await.expect("its bytes"), "content");
    let listed = backend.list_files(ListOptions::default()).await.expect("it lists").objects;
    assert_eq!(listed.len(), 1);
    assert!(backend.delete(&key, DeleteOptions::default()).await.expect("it deletes").existed);
    backend
}

#[tokio::test]
async fn a_plugin_of_an_older_minor_works_and_what_it_lacks_runs_the_default() {
    let backend = use_plugin(Variant::Older).await;
    backend.close().await.expect("there is nothing to end");
}

#[tokio::test]
async fn a_plugin_of_a_newer_minor_works_and_its_new_kinds_of_error_are_kept() {
    let backend = use_plugin(Variant::Newer).await;
    let path = plugin(Variant::Newer).expect("the plugin is built");
    assert!(read_manifest(&path).expect("a manifest").abi > AbiVersion::CURRENT);
    let error = backend.exists(&key("quarantined")).await.expect_err("it is kept from readers");
    assert_eq!(error.kind(), ErrorKind::from_code(99));
    assert_eq!(error.message(), "kept from readers");
    backend.close().await.expect("it closes");
}

#[tokio::test]
async fn a_plugin_with_another_tokio_works() {
    use_plugin(Variant::OtherTokio).await;
}

#[test]
fn a_plugin_whose_structs_differ_is_refused_with_the_way_out() {
    let error = load(&plugin(Variant::Incompatible).expect("the plugin is built")).expect_err("it differs");
    let words = error.to_string();
    let LoadError::AbiMismatch { layout: Some(layout), .. } = error else {
        panic!("another error: {error:?}");
    };
    assert!(words.ends_with("rebuild the plugin with the host's storage-core"), "{words}");
    assert!(layout.contains("priority"), "{layout}");
}

#[test]
fn a_newer_host_works_with_the_plugins_of_today_and_names_what_they_do_not_know() {
    let output = Command::new(host(Variant::Newer).expect("the host is built"))
        .args([plugin_path("memory"), plugin(Variant::Newer).expect("the plugin is built")])
        .output()
        .expect("the host starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let of_today = [
        "retrieve: b\"content\"",
        "list: 1",
        "exists: true",
        "verify: unsupported: this backend does not support verify",
        "suffix: unsupported: the option suffix is newer than this plugin; rebuild it with the host's storage-core",
        "delete: true",
        "close: ()",
    ];
    let of_its_own = [
        "retrieve: b\"content\"",
        "list: 1",
        "exists: quarantined: kept from readers",
        "verify: false",
        "suffix: unsupported: the option suffix is newer than this plugin; rebuild it with the host's storage-core",
        "delete: true",
        "close: ()",
    ];
    let lines: Vec<_> = text.lines().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines, [of_today, of_its_own].concat(), "{errors}");
    assert!(output.status.success(), "{errors}");
}

#[tokio::test]
async fn plugins_of_every_version_serve_side_by_side_in_whatever_order_they_are_loaded() {
    use_plugin(Variant::Older).await;
    use_plugin(Variant::Newer).await;
    load(&plugin(Variant::Incompatible).expect("the plugin is built")).expect_err("it differs");
    let today = load(&plugin_path("memory")).expect("it loads").open(OpenRequest::default()).await;
    today.expect("it opens").close().await.expect("it closes");
    use_plugin(Variant::OtherTokio).await;
    use_plugin(Variant::Older).await;
}
