//! Opening: what is missing or wrong is told with what to do about it.

mod seaweedfs {
    use std::time::{Duration, Instant};

    use storage_core::{Capabilities, Error, ErrorKind, Retry};
    use storage_tests::proxy::{Proxy, Rule};

    use crate::Settings;

    async fn refused(settings: Settings) -> Error {
        let error = settings.open().await.err().expect("it does not open");
        assert!(
            !error.report().contains(settings.get("secret_key")),
            "the secret is told: {}",
            error.report()
        );
        error
    }

    #[tokio::test]
    async fn a_missing_bucket_is_told_with_the_command_that_makes_it() {
        let settings = Settings::on("seaweedfs").with("create_bucket", "false");
        let error = refused(settings.clone()).await;
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.report();
        for part in
            [&format!("mc mb ALIAS/{}", settings.get("bucket_name")), "MINIO_CREATE_BUCKET=true", "s3 mb"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[tokio::test]
    async fn a_wrong_secret_names_the_variable() {
        let error = refused(Settings::on("seaweedfs").with("secret_key", "hunter2-hunter2")).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::Never));
        assert!(error.report().contains("MINIO_SECRET_KEY"), "{}", error.report());
    }

    #[tokio::test]
    async fn an_unknown_access_key_names_the_variable() {
        let error = refused(Settings::on("seaweedfs").with("access_key", "nobody")).await;
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.report().contains("MINIO_ACCESS_KEY"), "{}", error.report());
    }

    #[tokio::test]
    async fn tls_towards_a_server_without_it_is_told() {
        let settings = Settings::on("seaweedfs");
        let host = settings.get("endpoint_url").trim_start_matches("http://").to_owned();
        let error = refused(settings.with("endpoint_url", host).with("secure", "true")).await;
        assert!(error.report().contains("MINIO_SECURE=false"), "{}", error.report());
    }

    #[tokio::test]
    async fn a_host_without_a_scheme_is_reached_as_secure_says() {
        let settings = Settings::on("seaweedfs");
        let host = settings.get("endpoint_url").trim_start_matches("http://").to_owned();
        settings.with("endpoint_url", host).with("secure", "false").opened().await;
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_may_come_back() {
        // Port 1 of the loopback address is nobody's.
        let start = Instant::now();
        let error = refused(Settings::on("seaweedfs").with("endpoint_url", "http://127.0.0.1:1")).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May));
        assert!(
            error.report().contains("refused") && start.elapsed() < Duration::from_secs(5),
            "{}",
            error.report()
        );
    }

    #[tokio::test]
    async fn what_only_other_servers_say_is_understood() {
        for (status, code, kind, part) in [
            (403, "RequestTimeTooSkewed", ErrorKind::Unauthenticated, "synchronise them"),
            (400, "AuthorizationHeaderMalformed", ErrorKind::ConfigInvalid, "MINIO_REGION"),
            (403, "AccessDenied", ErrorKind::PermissionDenied, "not allowed"),
            (503, "SlowDown", ErrorKind::RateLimited, "fewer requests"),
            (301, "PermanentRedirect", ErrorKind::ConfigInvalid, "MINIO_ENDPOINT_URL"),
        ] {
            let settings = Settings::on("seaweedfs");
            let proxy = Proxy::before(settings.get("endpoint_url")).await;
            let body = format!("<Error><Code>{code}</Code><Message>in the server's words</Message></Error>");
            proxy.add(Rule::always().answer(status, body).response_header("retry-after", "7"));
            let error = refused(settings.through(&proxy)).await;
            assert_eq!(error.kind(), kind, "{}", error.report());
            let text = error.report();
            assert!(text.contains(part) && text.contains("in the server's words"), "{text}");
            let retry = if status == 503 { Retry::After(Duration::from_secs(7)) } else { Retry::Never };
            assert_eq!(error.retry(), retry, "{text}");
        }
    }

    #[tokio::test]
    async fn a_bucket_that_keeps_no_versions_is_refused_where_they_are_asked_for() {
        let settings = Settings::on("seaweedfs");
        let plain = settings.opened().await;
        assert!(!plain.info().capabilities.has(Capabilities::VERSIONS));
        let error = refused(settings.with("versioning", "true")).await;
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.report().contains("mc version enable"), "{}", error.report());
    }

    #[tokio::test]
    async fn a_new_bucket_is_made_as_it_is_configured() {
        let settings = Settings::on("seaweedfs")
            .with("versioning", "true")
            .with("expire_after", "30days")
            .with("expire_old_versions_after", "7days");
        let backend = settings.opened().await;
        assert!(backend.info().capabilities.has(Capabilities::VERSIONS | Capabilities::LIFECYCLE));
        let rules = backend.invoke("lifecycle_rules", serde_json::json!({})).await.expect("shown");
        assert_eq!(rules["rules"][0]["expire_days"], 30, "{rules}");
        assert_eq!(rules["rules"][0]["expire_old_versions_days"], 7, "{rules}");
    }

    #[tokio::test]
    async fn the_server_that_answered_is_named() {
        let info = Settings::on("seaweedfs").opened().await.info();
        assert!(info.server.as_deref().is_some_and(|server| server.starts_with("SeaweedFS 4.")), "{info:?}");
    }
}

mod juicefs {
    use serde_json::json;

    use crate::Settings;

    #[tokio::test]
    async fn minio_is_named_and_asked_for_its_health() {
        let backend = Settings::on("juicefs").opened().await;
        assert_eq!(backend.info().server.as_deref(), Some("MinIO"));
        let health = backend.health().await.expect("healthy");
        assert_eq!(health.extra.get("minio_live").map(String::as_str), Some("200"), "{health:?}");
        let answer = backend.invoke("server_health", json!({})).await.expect("asked");
        assert_eq!(answer["live"], 200, "{answer}");
    }
}
