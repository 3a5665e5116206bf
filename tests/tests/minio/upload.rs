//! Saves: one request for small files, parts for large ones, and nothing left of those that fail.

mod seaweedfs {
    use std::time::Duration;

    use storage_core::{ErrorKind, ObjectKey, RetrieveOptions, Retry, SaveOptions};
    use storage_tests::fixture::{Chunking, Content};
    use storage_tests::proxy::{End, Proxy, Rule};

    use crate::{behind_proxy, is_part, key};

    const LARGE: Content = Content::new(3, 30 << 20);

    async fn holds(backend: &dyn storage_core::Backend, key: &ObjectKey, content: Content) {
        let found = backend.retrieve(key, RetrieveOptions::default()).await.expect("found");
        content.compare(0..content.size_bytes, found.body).await.expect("the content is whole");
    }

    async fn save(backend: &dyn storage_core::Backend, content: Content) -> storage_core::Result<()> {
        let saved = backend.save(&key("a"), content.body(Chunking::Undeclared), SaveOptions::default()).await;
        saved.map(drop)
    }

    /// The server is told to abort an upload, soon.
    async fn is_aborted(proxy: &Proxy) {
        let abort =
            proxy.seen(|seen| seen.request.method == "DELETE" && seen.request.query("uploadId").is_some());
        tokio::time::timeout(Duration::from_secs(30), abort).await.expect("the upload is aborted");
    }

    async fn left_nothing(backend: &dyn storage_core::Backend) {
        assert!(!backend.exists(&key("a")).await.expect("answered"));
        let mut patience = 100;
        while !backend.list_uploads(Default::default()).await.expect("listed").uploads.is_empty() {
            patience -= 1;
            assert!(patience > 0, "an upload is left");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn a_small_file_takes_one_request_that_carries_its_digest() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let content = Content::new(1, 100_000);
        save(&*backend, content).await.expect("saved");
        let exchanges = proxy.exchanges();
        let asked: Vec<_> = exchanges.iter().map(|seen| &seen.request).collect();
        assert_eq!(asked.iter().filter(|request| request.path.ends_with("/a")).count(), 1, "{asked:?}");
        let put = asked.iter().find(|request| request.method == "PUT").expect("a PUT");
        assert!(put.header("x-amz-checksum-crc64nvme").is_some(), "{put:?}");
        assert_eq!(put.header("x-amz-trailer"), None, "no trailer, which old servers refuse");
        holds(&*backend, &key("a"), content).await;
    }

    #[tokio::test]
    async fn parts_that_are_refused_for_a_moment_are_sent_again() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let slow = Rule::on(is_part).times(2).answer(503, "<Error><Code>SlowDown</Code></Error>");
        let fired = proxy.add(slow);
        save(&*backend, LARGE).await.expect("saved");
        assert_eq!(fired.fired(), 2);
        holds(&*backend, &key("a"), LARGE).await;
    }

    #[tokio::test]
    async fn a_part_whose_connection_is_reset_is_sent_again() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let fired = proxy.add(Rule::on(is_part).after(1).times(1).cut_request(1 << 20, End::Reset));
        save(&*backend, LARGE).await.expect("saved");
        assert_eq!(fired.fired(), 1);
        holds(&*backend, &key("a"), LARGE).await;
    }

    #[tokio::test]
    async fn a_part_that_keeps_failing_ends_the_save_and_aborts_the_upload() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let second =
            |request: &storage_tests::proxy::Request| request.query("partNumber").as_deref() == Some("2");
        proxy.add(Rule::on(second).answer(500, "<Error><Code>InternalError</Code></Error>"));
        let error = save(&*backend, LARGE).await.expect_err("it fails");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::GaveUp),
            "{}",
            error.report()
        );
        left_nothing(&*backend).await;
        is_aborted(&proxy).await;
    }

    #[tokio::test]
    async fn a_save_that_is_dropped_aborts_its_upload() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let (body, taken) = Content::new(5, 40 << 20).body_that_stalls(20 << 20);
        let object = key("a");
        tokio::select! {
            saved = backend.save(&object, body, SaveOptions::default()) => panic!("it never ends: {saved:?}"),
            () = taken.notified() => {}
        }
        is_aborted(&proxy).await;
        left_nothing(&*backend).await;
    }

    #[tokio::test]
    async fn an_upload_that_begins_after_its_save_was_dropped_is_aborted() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let begins = |request: &storage_tests::proxy::Request| request.query("uploads").is_some();
        proxy.add(
            Rule::on(move |request| request.method == "POST" && begins(request))
                .delay(Duration::from_millis(300)),
        );
        let save = save(&*backend, LARGE);
        tokio::select! {
            saved = save => panic!("the upload has not begun: {saved:?}"),
            _ = proxy.seen(|seen| seen.request.query("uploads").is_some()) => {}
        }
        is_aborted(&proxy).await;
        left_nothing(&*backend).await;
    }

    #[tokio::test]
    async fn a_completion_that_fails_with_a_success_is_repeated() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let completes = |request: &storage_tests::proxy::Request| {
            request.method == "POST" && request.query("uploadId").is_some()
        };
        let body = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>later</Message></Error>";
        let fired = proxy.add(Rule::on(completes).times(1).answer(200, body));
        save(&*backend, LARGE).await.expect("saved");
        assert_eq!(fired.fired(), 1);
        holds(&*backend, &key("a"), LARGE).await;
    }

    #[tokio::test]
    async fn a_completion_that_keeps_failing_with_a_success_is_no_success() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let completes = |request: &storage_tests::proxy::Request| {
            request.method == "POST" && request.query("uploadId").is_some()
        };
        proxy.add(Rule::on(completes).answer(200, "<Error><Code>InternalError</Code></Error>"));
        let error = save(&*backend, LARGE).await.expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
        left_nothing(&*backend).await;
    }

    #[tokio::test]
    async fn bytes_that_change_on_the_way_up_are_refused() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        proxy.add(Rule::on(|request| request.method == "PUT").alter_request(1_000));
        for size_bytes in [100_000, 20 << 20] {
            let error = save(&*backend, Content::new(1, size_bytes)).await.expect_err("they are not those");
            let kinds = [ErrorKind::ChecksumMismatch, ErrorKind::Unauthenticated];
            assert!(kinds.contains(&error.kind()), "{}", error.report());
            left_nothing(&*backend).await;
        }
    }

    #[tokio::test]
    async fn a_large_file_goes_up_in_parallel_and_within_its_memory() {
        let (proxy, backend) = behind_proxy(|settings| settings.with("transfer_memory", "32MiB")).await;
        let content = Content::new(9, 256 << 20);
        save(&*backend, content).await.expect("saved");
        let exchanges = proxy.exchanges();
        let parts: Vec<_> = exchanges.iter().filter(|seen| is_part(&seen.request)).collect();
        assert_eq!(parts.len(), 32);
        assert!(parts.iter().all(|seen| seen.request.header("x-amz-checksum-crc64nvme").is_some()));
        assert!((2..=5).contains(&proxy.most_at_once()), "{} at once", proxy.most_at_once());
        holds(&*backend, &key("a"), content).await;
    }

    #[tokio::test]
    async fn a_file_beyond_what_the_parts_can_hold_is_refused_at_once() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let most = backend.info().limits.max_object_bytes.expect("told");
        let body = Content::new(1, 1_000).body_that_declares(most + 1);
        let error = backend.save(&key("a"), body, SaveOptions::default()).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.message().contains("MINIO_TRANSFER_MEMORY"), "{error}");
        assert!(proxy.exchanges().iter().all(|seen| seen.request.method != "PUT"));
    }

    #[tokio::test]
    async fn forgotten_uploads_are_swept() {
        let (_proxy, backend) = behind_proxy(|settings| settings).await;
        backend.begin_multipart(&key("a"), SaveOptions::default()).await.expect("begun");
        let sweep = |seconds: u64| {
            backend.invoke("sweep_uploads", serde_json::json!({ "older_than_seconds": seconds }))
        };
        assert_eq!(sweep(3600).await.expect("swept")["aborted"], 0, "a young one stays");
        // Times of the server have whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert_eq!(sweep(0).await.expect("swept")["aborted"], 1);
        left_nothing(&*backend).await;
    }
}

mod juicefs {
    use storage_core::{RetrieveOptions, SaveOptions};
    use storage_tests::fixture::{Chunking, Content};
    use storage_tests::proxy::Proxy;

    use crate::{Settings, key};

    #[tokio::test]
    async fn without_digests_in_headers_the_signature_covers_the_bytes() {
        let settings = Settings::on("juicefs");
        let proxy = Proxy::before(settings.get("endpoint_url")).await;
        let backend = settings.through(&proxy).opened().await;
        proxy.forget();
        let content = Content::new(2, 20 << 20);
        let saved = backend.save(&key("a"), content.body(Chunking::Even), SaveOptions::default()).await;
        saved.expect("saved");
        for seen in proxy.exchanges().iter().filter(|seen| seen.request.method == "PUT") {
            let signed = seen.request.header("x-amz-content-sha256").expect("always there");
            assert_eq!(signed.len(), 64, "the SHA-256 of the bytes, and not {signed}");
            assert_eq!(seen.request.header("x-amz-checksum-crc64nvme"), None);
        }
        let found = backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("found");
        content.compare(0..content.size_bytes, found.body).await.expect("whole");
    }
}
