//! What a server can do is found out and not assumed; the probe is quick and leaves nothing.

mod seaweedfs {
    use storage_core::{
        Capabilities, ErrorKind, ListOptions, ListVersionsOptions, SaveOptions, WriteCondition,
    };
    use storage_tests::proxy::{Proxy, Rule};

    use crate::{Settings, key};

    const CONDITIONS: [Capabilities; 3] =
        [Capabilities::WRITE_IF_ABSENT, Capabilities::WRITE_IF_MATCH, Capabilities::DELETE_IF_MATCH];

    #[tokio::test]
    async fn what_is_honoured_is_declared() {
        let backend = Settings::on("seaweedfs").opened().await;
        let capabilities = backend.info().capabilities;
        assert!(CONDITIONS.iter().all(|one| capabilities.has(*one)), "{:?}", capabilities.names());
        assert_eq!(backend.info().extra.get("digests_checked_by_server").map(String::as_str), Some("true"));
    }

    #[tokio::test]
    async fn a_server_that_lets_conditional_writes_pass_is_found_out() {
        let settings = Settings::on("seaweedfs");
        settings.opened().await;
        let proxy = Proxy::before(settings.get("endpoint_url")).await;
        // As a server that does not know the header and overwrites.
        proxy.add(Rule::on(|request| request.header("if-none-match").is_some()).answer(200, ""));
        let backend = settings.through(&proxy).opened().await;
        assert!(!backend.info().capabilities.has(Capabilities::WRITE_IF_ABSENT));
        assert!(backend.info().capabilities.has(Capabilities::WRITE_IF_MATCH), "each is found out by itself");
        let options = SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
        let error = backend.save(&key("a"), "text".into(), options).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!backend.exists(&key("a")).await.expect("answered"));
    }

    #[tokio::test]
    async fn a_server_that_fails_for_a_moment_is_not_taken_for_a_weak_one() {
        let settings = Settings::on("seaweedfs");
        settings.opened().await;
        let proxy = Proxy::before(settings.get("endpoint_url")).await;
        proxy.add(
            Rule::on(|request| request.header("if-none-match").is_some())
                .answer(503, "<Error><Code>SlowDown</Code></Error>"),
        );
        let error = settings.through(&proxy).open().await.err().expect("it does not open");
        assert!(error.retry().is_allowed(), "{}", error.report());
    }

    #[tokio::test]
    async fn the_probe_leaves_nothing_and_takes_few_requests() {
        let settings =
            Settings::on("seaweedfs").with("object_lock", "true").with("abort_uploads_after", "0s");
        settings.opened().await;
        let proxy = Proxy::before(settings.get("endpoint_url")).await;
        let backend = settings.through(&proxy).opened().await;
        let asked = proxy.exchanges().len();
        assert!(asked <= 30, "{asked} requests");
        backend.health().await.expect("healthy");
        assert!(backend.list_files(ListOptions::default()).await.expect("listed").objects.is_empty());
        let versions = backend.list_versions(ListVersionsOptions::default()).await.expect("listed").versions;
        assert!(versions.is_empty(), "{versions:?}");
        assert!(backend.list_uploads(Default::default()).await.expect("listed").uploads.is_empty());
    }

    #[tokio::test]
    async fn without_a_probe_nothing_is_written_and_nothing_declared() {
        let settings = Settings::on("seaweedfs").with("abort_uploads_after", "0s");
        settings.opened().await;
        let proxy = Proxy::before(settings.get("endpoint_url")).await;
        let backend = settings.with("probe", "false").through(&proxy).opened().await;
        assert!(proxy.exchanges().iter().all(|seen| seen.request.method == "GET"));
        let capabilities = backend.info().capabilities;
        assert!(CONDITIONS.iter().all(|one| !capabilities.has(*one)));
        backend.save(&key("a"), "text".into(), SaveOptions::default()).await.expect("saved");
    }
}

mod juicefs {
    use storage_core::{Capabilities, ErrorKind, RetrieveOptions, SaveOptions, WriteCondition};

    use crate::{Settings, key};

    #[tokio::test]
    async fn what_is_ignored_is_not_declared_and_refused() {
        let backend = Settings::on("juicefs").opened().await;
        let info = backend.info();
        for ignored in [
            Capabilities::WRITE_IF_ABSENT,
            Capabilities::WRITE_IF_MATCH,
            Capabilities::DELETE_IF_MATCH,
            Capabilities::VERSIONS,
            Capabilities::LIFECYCLE,
        ] {
            assert!(!info.capabilities.has(ignored), "{:?}", info.capabilities.names());
        }
        assert!(info.capabilities.has(Capabilities::TAGS), "what it has is declared");
        assert_eq!(info.extra.get("digests_checked_by_server").map(String::as_str), Some("false"));
        backend.save(&key("a"), "old".into(), SaveOptions::default()).await.expect("saved");
        let options = SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
        let error = backend.save(&key("a"), "new".into(), options).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let found = backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("found");
        assert_eq!(found.body.collect(100).await.expect("read"), "old");
    }
}
