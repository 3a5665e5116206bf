//! Object lock through the plugin's own operations, and lifecycle rules beside those of others.

mod seaweedfs {
    use std::time::Duration;

    use serde_json::json;
    use storage_core::{DeleteOptions, ErrorKind, LifecycleRule, SaveOptions};

    use crate::{Settings, key};

    fn lockable() -> Settings {
        Settings::on("seaweedfs").with("object_lock", "true")
    }

    #[tokio::test]
    async fn a_version_under_legal_hold_stays_until_it_is_lifted() {
        let backend = lockable().opened().await;
        let version =
            backend.save(&key("a"), "text".into(), SaveOptions::default()).await.expect("saved").version;
        let name = version.as_ref().map(ToString::to_string);
        let hold =
            |on: bool| backend.invoke("set_legal_hold", json!({ "key": "a", "version": name, "on": on }));
        hold(true).await.expect("held");
        let shown = backend.invoke("get_lock", json!({ "key": "a", "version": name })).await.expect("shown");
        assert_eq!(shown["legal_hold"], true, "{shown}");
        let object = key("a");
        let delete = || {
            let options = DeleteOptions { version: version.clone(), ..DeleteOptions::default() };
            backend.delete(&object, options)
        };
        let error = delete().await.err();
        hold(false).await.expect("lifted");
        let error = error.expect("it is held");
        assert_eq!(error.kind(), ErrorKind::ObjectLocked, "{}", error.report());
        assert!(delete().await.expect("deleted").existed);
    }

    #[tokio::test]
    async fn a_retention_is_set_shown_and_cannot_be_shortened() {
        let backend = lockable().opened().await;
        backend.save(&key("a"), "text".into(), SaveOptions::default()).await.expect("saved");
        let until = |text: &str, bypass: bool| {
            let arguments =
                json!({ "key": "a", "mode": "governance", "until": text, "bypass_governance": bypass });
            backend.invoke("set_retention", arguments)
        };
        until("2099-01-01T00:00:00Z", false).await.expect("set");
        let shown = backend.invoke("get_lock", json!({ "key": "a" })).await.expect("shown");
        assert_eq!((&shown["mode"], &shown["until"]), (&json!("governance"), &json!("2099-01-01T00:00:00Z")));
        let error = until("2030-01-01T00:00:00Z", false).await.expect_err("it cannot be shortened");
        assert_eq!(error.kind(), ErrorKind::ObjectLocked, "{}", error.report());
        let error = until("2001-01-01T00:00:00Z", false).await.expect_err("it is over");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}", error.report());
    }

    #[tokio::test]
    async fn a_bucket_that_locks_everything_is_probed_without_heaping_up_versions() {
        let settings = lockable().with("lock_mode", "governance").with("lock_for", "1day");
        settings.opened().await;
        let backend = settings.opened().await;
        backend.health().await.expect("healthy");
        let versions = backend.list_versions(Default::default()).await.expect("listed").versions;
        assert_eq!(versions.len(), 1, "one probe for all times: {versions:?}");
        assert!(backend.info().capabilities.has(storage_core::Capabilities::WRITE_IF_ABSENT));
    }

    #[tokio::test]
    async fn lifecycle_rules_of_others_stay() {
        let settings = Settings::on("seaweedfs").with("expire_after", "30days");
        let backend = settings.opened().await;
        let rule = LifecycleRule {
            id: "tidy".to_owned(),
            prefix: "tmp/".to_owned(),
            enabled: true,
            transitions: Vec::new(),
            expire_after: Some(Duration::from_secs(7 * 24 * 3600)),
            expire_old_versions_after: None,
            abort_uploads_after: None,
        };
        let report = backend.apply_lifecycle(vec![rule]).await.expect("applied");
        assert!(report.applied && report.notes.is_empty(), "{report:?}");
        let shown = backend.invoke("lifecycle_rules", json!({})).await.expect("shown");
        let ids: Vec<_> =
            shown["rules"].as_array().expect("a list").iter().map(|rule| rule["id"].clone()).collect();
        assert_eq!(ids, [json!("bucket"), json!("storage-service:tidy")], "{shown}");
        backend.apply_lifecycle(Vec::new()).await.expect("dropped");
        let shown = backend.invoke("lifecycle_rules", json!({})).await.expect("shown");
        assert_eq!(shown["rules"].as_array().map(Vec::len), Some(1), "the bucket's own stays: {shown}");
    }
}
