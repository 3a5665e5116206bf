//! What is particular to this backend. What every backend must do is tested by `storage plugins verify`.

use storage_core::{
    Backend, ByteStream, ConfigValues, ErrorKind, ObjectKey, OpenRequest, RetrieveOptions, SaveOptions,
};

use crate::backend::{{Name}}Backend;

async fn open(settings: &[(&str, &str)]) -> storage_core::Result<{{Name}}Backend> {
    let mut config = ConfigValues::new();
    for (key, text) in settings {
        config.set(*key, *text, "test");
    }
    {{Name}}Backend::open(OpenRequest { name: "test".to_owned(), config, ..OpenRequest::default() }).await
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

#[tokio::test]
async fn a_full_store_refuses_a_save_and_keeps_what_it_has() {
    let backend = open(&[("max_bytes", "10")]).await.expect("it opens");
    let save = |name: &str, content: &'static str| {
        let (backend, key) = (&backend, key(name));
        async move { backend.save(&key, ByteStream::from(content), SaveOptions::default()).await }
    };
    save("a", "12345678").await.expect("there is room");
    for (name, content) in [("b", "123"), ("a", "12345678901")] {
        let error = save(name, content).await.expect_err("there is no room");
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
    let found = backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("the old content");
    assert_eq!(found.body.collect(100).await.expect("whole"), "12345678");
    save("a", "1234567890").await.expect("what is replaced makes room");
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_named() {
    let error = open(&[("max_bytes", "much"), ("max_byte", "1")]).await.expect_err("faulty");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    let text = error.to_string();
    assert!(text.contains("{{VARIABLE}}_MAX_BYTES") && text.contains("did you mean max_bytes?"), "{text}");
}
