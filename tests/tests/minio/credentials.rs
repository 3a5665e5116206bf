//! Keys that may not do everything, and secrets that are not told.

mod seaweedfs {
    use storage_core::{Capabilities, ErrorKind, RetrieveOptions, SaveOptions};
    use storage_tests::servers::Server;

    use crate::{Settings, key};

    #[tokio::test]
    async fn a_key_that_may_only_read_opens_reads_and_is_found_by_the_health_probe() {
        let settings = Settings::on("seaweedfs");
        let owner = settings.opened().await;
        owner.save(&key("a"), "text".into(), SaveOptions::default()).await.expect("saved");
        let server = Server::get("seaweedfs");
        let reader = settings
            .with("access_key", server.setting("readonly_access_key"))
            .with("secret_key", server.setting("readonly_secret_key"))
            .opened()
            .await;
        assert!(!reader.info().capabilities.has(Capabilities::WRITE_IF_ABSENT), "nothing is known of it");
        let found = reader.retrieve(&key("a"), RetrieveOptions::default()).await.expect("it may read");
        assert_eq!(found.body.collect(100).await.expect("read"), "text");
        let health = reader.health().await.expect("it answers");
        assert!(health.problems.iter().any(|problem| problem.contains("s3:PutObject")), "{health:?}");
        let error =
            reader.save(&key("b"), "text".into(), SaveOptions::default()).await.expect_err("it may not");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.report());
    }

    #[tokio::test]
    async fn a_token_that_the_server_does_not_know_is_told_as_that() {
        let settings = Settings::on("seaweedfs").with("session_token", "no-token-of-this-server");
        let error = settings.open().await.err().expect("it does not open");
        let kinds = [ErrorKind::Unauthenticated, ErrorKind::PermissionDenied, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{}", error.report());
        assert!(!error.report().contains("no-token-of-this-server"), "{}", error.report());
    }

    #[tokio::test]
    async fn no_description_tells_a_secret() {
        let settings = Settings::on("seaweedfs");
        let backend = settings.opened().await;
        let told = format!("{:?} {:?}", backend.info(), backend.health().await);
        assert!(!told.contains(settings.get("secret_key")), "{told}");
    }
}
