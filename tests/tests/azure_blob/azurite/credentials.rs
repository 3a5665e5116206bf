//! Every form of credentials that needs no TLS, and that none is ever told.

use std::io::Write;
use std::sync::{Arc, Mutex};

use storage_core::{Capabilities, ErrorKind, PresignMethod, PresignRequest, Retry};
use tracing_subscriber::fmt::MakeWriter;

use crate::rig::{Rig, Validity, content, key, open, read, refusal, save};

#[tokio::test]
async fn a_connection_string_is_enough() {
    let rig = Rig::new("azurite");
    let text = format!(
        "DefaultEndpointsProtocol=http;AccountName={};AccountKey={};BlobEndpoint={};",
        rig.account(),
        rig.server.setting("account_key"),
        rig.url()
    );
    let settings = vec![
        ("connection_string", text),
        ("container_name", rig.container.clone()),
        ("create_container", "true".to_owned()),
    ];
    let backend = open(settings).await.expect("opened");
    save(&backend, "object", "text").await.expect("saved");
    assert_eq!(read(&backend, "object").await.expect("read"), "text");
}

#[tokio::test]
async fn a_signature_for_the_container_saves_copies_and_completes_uploads_but_signs_nothing() {
    let rig = Rig::new("azurite");
    rig.open().await;
    let mut settings = rig.place();
    settings.push(("sas_token", format!("?{}", rig.container_sas("racwdltx", Validity::Now))));
    let backend = open(settings).await.expect("opened");
    assert!(!backend.info().capabilities.has(Capabilities::PRESIGN_GET));
    let hour = std::time::Duration::from_secs(3600);
    let request = PresignRequest::new(key("object"), PresignMethod::Get, hour);
    assert_eq!(backend.presign(request).await.expect_err("no key").kind(), ErrorKind::Unsupported);
    let bytes = content(9 << 20);
    save(&backend, "object", bytes.clone()).await.expect("saved");
    backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
    assert!(read(&backend, "copy").await.expect("read") == bytes);
    let upload = backend.begin_multipart(&key("parts"), Default::default()).await.expect("begun");
    let part = backend.upload_part(&key("parts"), &upload, 1, bytes.clone().into(), Default::default()).await;
    let parts = vec![part.expect("sent")];
    backend.complete_multipart(&key("parts"), &upload, parts, Default::default()).await.expect("complete");
    assert!(read(&backend, "parts").await.expect("read") == bytes);
    assert_eq!(backend.health().await.expect("healthy").problems, [""; 0]);
}

#[tokio::test]
async fn the_health_probe_names_the_permission_that_is_missing() {
    let rig = Rig::new("azurite");
    rig.open().await;
    for (permissions, missing) in [("rl", "write blobs"), ("racwl", "delete blobs"), ("racwd", "list blobs")]
    {
        let mut settings = rig.place();
        settings.push(("sas_token", rig.container_sas(permissions, Validity::Now)));
        let backend = open(settings).await.expect("opened");
        let problems = backend.health().await.expect("it answers").problems;
        assert!(problems.len() == 1 && problems[0].contains(missing), "{permissions}: {problems:?}");
    }
}

#[tokio::test]
async fn a_write_with_a_signature_to_read_is_not_permitted() {
    let rig = Rig::new("azurite");
    save(&rig.open().await, "object", "text").await.expect("saved");
    let mut settings = rig.place();
    settings.push(("sas_token", rig.container_sas("rl", Validity::Now)));
    let backend = open(settings).await.expect("opened");
    assert_eq!(read(&backend, "object").await.expect("read"), "text");
    let error = save(&backend, "object", "other").await.expect_err("may not write");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::PermissionDenied, Retry::Never));
}

#[tokio::test]
async fn an_expired_signature_is_told_as_that() {
    let rig = Rig::new("azurite");
    rig.open().await;
    let mut settings = rig.place();
    settings.push(("sas_token", rig.container_sas("racwdl", Validity::Past)));
    let error = refusal(settings).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.message().contains("AZURE_SAS_TOKEN"), "{error}");
}

#[tokio::test]
async fn an_altered_signature_is_refused() {
    let rig = Rig::new("azurite");
    rig.open().await;
    let token = rig.container_sas("racwdl", Validity::Now).replace("sp=racwdl", "sp=racwdlt");
    let mut settings = rig.place();
    settings.push(("sas_token", token));
    assert_eq!(refusal(settings).await.kind(), ErrorKind::Unauthenticated);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_told_even_at_the_finest_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // Other tests of this process may log here too: the more there is, the better.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    save(&backend, "object", content(9 << 20)).await.expect("saved");
    backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
    let token = rig.container_sas("rl", Validity::Now);
    let signature = token.rsplit_once("sig=").expect("signed").1.to_owned();
    let mut settings = rig.place();
    settings.push(("sas_token", token));
    let reader = open(settings).await.expect("opened");
    let refused = save(&reader, "object", "x").await.expect_err("may not write");
    let mut settings = rig.settings();
    settings.retain(|(key, _)| *key != "account_key");
    settings.push(("account_key", "aHVudGVyMg==".to_owned()));
    let wrong = refusal(settings).await;
    let logged = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(logged.contains("azure_blob"), "the plugin's events arrive: {logged}");
    let told = format!("{logged}{} {refused:?} {} {wrong:?}", refused.report(), wrong.report());
    for secret in [rig.server.setting("account_key"), &signature, "aHVudGVyMg==", "SharedKey ", "sig="] {
        assert!(!told.contains(secret), "{secret} was told");
    }
}
