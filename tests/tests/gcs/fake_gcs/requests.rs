//! What the plugin asks for where fake-gcs-server does not look: conditions, generations, classes, holds, lifecycle.

use serde_json::json;
use storage_core::{
    CopyOptions, DeleteOptions, ETag, ErrorKind, LifecycleRule, ListPartsOptions, ReadCondition, SaveOptions,
    SetTierOptions, Tier, VersionId, WriteCondition,
};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::Rule;

use super::*;

const SMALL: Content = Content::new(1, 100_000);
const MIDDLE: Content = Content::new(2, 17 << 20);
const LARGE: Content = Content::new(3, 40 << 20);

fn asked(request: &Request) -> Option<String> {
    request.query("ifGenerationMatch")
}

#[tokio::test]
async fn a_small_file_is_one_request_with_its_digest() {
    let opened = open().await;
    let before = opened.proxy.exchanges().len();
    let options = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    opened.save("a/é", SMALL, options).await.expect("saved");
    let requests = opened.seen(|request| request.path.contains("/upload/"));
    assert_eq!((requests.len(), before > 0), (1, true), "{requests:#?}");
    let new = json_of(&requests[0].request);
    assert_eq!((&new["name"], &new["contentType"]), (&json!("a/é"), &json!("text/plain")));
    assert_eq!(new["storageClass"], "STANDARD", "the class is told, whatever the bucket's default becomes");
    assert_eq!(new["crc32c"].as_str().map(str::len), Some(8), "Google refuses what has another digest");
    assert_eq!(asked(&requests[0].request), None);
}

#[tokio::test]
async fn conditions_are_generations_however_large_the_file_is() {
    let opened = open().await;
    let sent = [
        (SMALL, Box::new(is_upload("multipart")) as Box<dyn Fn(&Request) -> bool>),
        (MIDDLE, Box::new(is_upload("resumable"))),
        (LARGE, Box::new(ends_with("POST", "/compose"))),
    ];
    for (number, (content, is_deciding)) in sent.into_iter().enumerate() {
        let name = format!("file{number}");
        for (condition, expected) in [
            (WriteCondition::IfAbsent, "0".to_owned()),
            (WriteCondition::IfMatch(ETag::new("17")), "17".to_owned()),
        ] {
            let options = SaveOptions { condition, ..SaveOptions::default() };
            // The small one is refused by the server, which looks at conditions of such uploads alone.
            let answer = opened.save(&name, content, options).await;
            let decided =
                opened.seen(|request| is_deciding(request) && asked(request).as_deref() == Some(&expected));
            assert!(!decided.is_empty(), "{name} {expected}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_a_condition_is_told_by_what_was_asked() {
    let opened = open().await;
    let message =
        r#"{"error":{"code":412,"message":"conditionNotMet","errors":[{"reason":"conditionNotMet"}]}}"#;
    for (content, is_deciding) in [
        (MIDDLE, Box::new(is_upload("resumable")) as Box<dyn Fn(&Request) -> bool + Send + Sync>),
        (LARGE, Box::new(ends_with("POST", "/compose"))),
    ] {
        opened.proxy.add(Rule::on(is_deciding).answer(412, message));
        for (condition, kind) in [
            (WriteCondition::IfAbsent, ErrorKind::AlreadyExists),
            (WriteCondition::IfMatch(ETag::new("17")), ErrorKind::PreconditionFailed),
        ] {
            let options = SaveOptions { condition, ..SaveOptions::default() };
            let error = opened.save("file", content, options).await.expect_err("refused");
            assert_eq!(error.kind(), kind, "{}", error.report());
        }
    }
    opened.nothing_but(&[]).await;
}

#[tokio::test]
async fn a_delete_names_its_version_and_its_condition() {
    let opened = open_with(&[("versioning", "true")]).await;
    opened.saved("file", SMALL).await;
    let options = DeleteOptions { version: Some(VersionId::new("17")), ..DeleteOptions::default() };
    opened.backend.delete(&key("file"), options).await.expect("answered");
    let request = opened.only(|request| request.method == "DELETE");
    assert_eq!((request.query("generation").as_deref(), asked(&request)), (Some("17"), None));
    let options = DeleteOptions { if_match: Some(ETag::new("18")), ..DeleteOptions::default() };
    let answer = opened.backend.delete(&key("file"), options).await;
    let request = opened.only(|request| request.method == "DELETE" && asked(request).is_some());
    assert_eq!((request.query("generation"), asked(&request).as_deref()), (None, Some("18")), "{answer:?}");
}

#[tokio::test]
async fn a_copy_pins_its_source_and_replaces_the_whole_description() {
    let opened = open().await;
    let options = SaveOptions {
        content_language: Some("de".to_owned()),
        tier: Some(Tier::Cold),
        metadata: [("owner".to_owned(), "é".to_owned())].into(),
        ..SaveOptions::default()
    };
    let source = opened.save("from", SMALL, options).await.expect("saved");
    let replace = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    for (replace, language, owner) in
        [(None, json!("de"), json!("é")), (Some(replace), json!(null), json!(null))]
    {
        let condition = WriteCondition::IfMatch(ETag::new("17"));
        let options = CopyOptions { condition, replace, ..CopyOptions::default() };
        opened.backend.copy(&key("from"), &key("to"), options).await.expect("copied");
        let requests = opened.seen(|request| request.path.contains("/rewriteTo/"));
        let request = &requests.last().expect("a copy").request;
        let pinned = source.etag.as_ref().map(ETag::as_str);
        assert_eq!(request.query("sourceGeneration").as_deref(), pinned);
        assert_eq!(asked(request).as_deref(), Some("17"));
        let new = json_of(request);
        assert_eq!((&new["contentLanguage"], &new["metadata"]["owner"]), (&language, &owner));
        assert_eq!(new["storageClass"], "COLDLINE", "the class stays unless another is asked for");
    }
}

#[tokio::test]
async fn a_copy_that_takes_several_steps_goes_on_with_its_token() {
    let opened = open().await;
    opened.saved("from", SMALL).await;
    let unfinished = r#"{"kind":"storage#rewriteResponse","done":false,"rewriteToken":"half way","totalBytesRewritten":"5"}"#;
    let is_copy = |request: &Request| request.path.contains("/rewriteTo/");
    opened.proxy.add(Rule::on(is_copy).times(1).answer(200, unfinished));
    opened.backend.copy(&key("from"), &key("to"), CopyOptions::default()).await.expect("copied");
    let tokens: Vec<_> = opened.seen(is_copy).iter().map(|seen| seen.request.query("rewriteToken")).collect();
    assert_eq!(tokens, [None, Some("half way".to_owned())]);
    opened.holds("to", SMALL).await;
}

#[tokio::test]
async fn a_move_to_another_class_is_a_copy_onto_itself_that_nobody_can_overtake() {
    let opened = open().await;
    let saved = opened.saved("file", SMALL).await;
    for (tier, class) in [(Tier::Warm, "NEARLINE"), (Tier::Cold, "COLDLINE"), (Tier::Glacier, "ARCHIVE")] {
        opened.backend.set_tier(&key("file"), tier, SetTierOptions::default()).await.expect("moved");
        let requests = opened.seen(|request| request.path.contains("/rewriteTo/"));
        let request = &requests.last().expect("a copy").request;
        assert_eq!(json_of(request)["storageClass"], class);
        assert_eq!(asked(request), request.query("sourceGeneration"));
    }
    let first = &opened.seen(|request| request.path.contains("/rewriteTo/"))[0].request;
    assert_eq!(asked(first).as_deref(), saved.etag.as_ref().map(ETag::as_str));
}

#[tokio::test]
async fn many_parts_are_joined_in_stages_of_their_generations() {
    let opened = open().await;
    let upload = opened.backend.begin_multipart(&key("file"), SaveOptions::default()).await.expect("begun");
    let mut parts = Vec::new();
    for number in 1..=70 {
        let body = Content::new(5, 70).body_of(u64::from(number) - 1..u64::from(number));
        let sent = opened.backend.upload_part(&key("file"), &upload, number, body, Default::default()).await;
        parts.push(sent.expect("taken"));
    }
    let listed = opened.backend.list_parts(&key("file"), &upload, ListPartsOptions::default()).await;
    assert_eq!(listed.expect("listed").parts.len(), 70);
    opened
        .backend
        .complete_multipart(&key("file"), &upload, parts, Default::default())
        .await
        .expect("complete");
    let joins = opened.seen(ends_with("POST", "/compose"));
    let sources: Vec<_> = joins
        .iter()
        .map(|join| json_of(&join.request)["sourceObjects"].as_array().expect("sources").clone())
        .collect();
    assert_eq!(sources.iter().map(Vec::len).sum::<usize>(), 70 + 3, "three joins, and one of the three");
    assert!(sources.iter().all(|sources| sources.len() <= 32));
    for source in sources.iter().flatten() {
        assert_eq!(source["objectPreconditions"]["ifGenerationMatch"], source["generation"], "{source}");
    }
    opened.holds("file", Content::new(5, 70)).await;
    opened.nothing_but(&["file"]).await;
}

#[tokio::test]
async fn a_read_begins_beside_its_description_and_goes_on_with_the_generation_that_it_saw() {
    let opened = open().await;
    let saved = opened.saved("file", LARGE).await;
    opened.holds("file", LARGE).await;
    let reads = opened.seen(is_download);
    assert_eq!(reads[0].request.query("generation"), None, "what is there now");
    for Exchange { request, .. } in &reads[1..] {
        assert_eq!(request.query("generation").as_deref(), saved.etag.as_ref().map(ETag::as_str));
    }
    assert!(reads.iter().all(|read| read.request.header("accept-encoding") == Some("gzip")));
    assert_eq!(reads.len() as u64, LARGE.size_bytes / (8 << 20), "no byte is asked for twice");
}

#[tokio::test]
async fn first_bytes_of_another_generation_than_the_described_one_are_not_used() {
    let opened = open().await;
    let saved = opened.saved("file", SMALL).await;
    for spoil in [
        Rule::on(is_download).times(1).response_header("x-goog-generation", "17"),
        Rule::on(is_download).times(1).without_response_header("x-goog-generation"),
        Rule::on(is_download).times(1).answer(404, "gone between the two"),
    ] {
        opened.proxy.forget();
        let spoilt = opened.proxy.add(spoil);
        opened.holds("file", SMALL).await;
        assert_eq!(spoilt.fired(), 1);
        let again = opened.seen(is_download).pop().expect("a second request").request;
        assert_eq!(again.query("generation").as_deref(), saved.etag.as_ref().map(ETag::as_str));
    }
}

#[tokio::test]
async fn a_read_that_its_condition_may_refuse_asks_for_no_bytes_before() {
    let opened = open().await;
    let saved = opened.saved("file", SMALL).await;
    let condition = ReadCondition { if_none_match: saved.etag, ..ReadCondition::default() };
    let options = RetrieveOptions { condition, ..RetrieveOptions::default() };
    let error = opened.backend.retrieve(&key("file"), options).await.expect_err("it is known already");
    assert_eq!(error.kind(), ErrorKind::NotModified);
    assert!(opened.seen(is_download).is_empty());
}

#[tokio::test]
async fn keys_and_payers_of_the_configuration_are_named() {
    let kms = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";
    let opened = open_with(&[("kms_key", kms), ("user_project", "payer")]).await;
    for content in [SMALL, MIDDLE, LARGE] {
        opened.saved("file", content).await;
    }
    let writes =
        opened.seen(|request| request.query("uploadType").is_some() || request.path.ends_with("/compose"));
    let of_a_session = |request: &Request| request.method == "PUT";
    assert!(writes.len() >= 8);
    for write in writes.iter().filter(|write| !of_a_session(&write.request)) {
        assert_eq!(write.request.query("kmsKeyName").as_deref(), Some(kms), "{:?}", write.request.path);
        assert_eq!(write.request.header("x-goog-user-project"), Some("payer"));
    }
    let classes: Vec<_> = opened
        .seen(is_upload("multipart"))
        .iter()
        .map(|upload| json_of(&upload.request))
        .filter(|new| new["name"].as_str().is_some_and(|name| name.starts_with("/.storage/components/")))
        .map(|new| new["storageClass"].clone())
        .collect();
    assert!(classes.len() >= 5 && classes.iter().all(|class| class == "STANDARD"), "{classes:?}");
    opened.only(ends_with("POST", "/file/compose"));
}

/// Parts are stored as `STANDARD`, and what is joined has the class of its parts.
#[tokio::test]
async fn a_large_file_of_another_class_is_not_joined_from_parts() {
    let opened = open_with(&[("storage_class", "NEARLINE")]).await;
    opened.saved("file", LARGE).await;
    let session = opened.only(is_upload("resumable"));
    assert_eq!(json_of(&session)["storageClass"], "NEARLINE");
    assert!(opened.seen(ends_with("POST", "/compose")).is_empty());
}

#[tokio::test]
async fn lifecycle_rules_of_others_stay() {
    let opened = open().await;
    let others =
        json!({ "action": { "type": "Delete" }, "condition": { "age": 9, "matchesPrefix": ["tmp/"] } });
    let describe = |rules: &[&Value]| {
        json!({ "kind": "storage#bucket", "metageneration": "7", "lifecycle": { "rule": rules } }).to_string()
    };
    let path = format!("/storage/v1/b/{}", opened.bucket);
    let is_bucket = move |request: &Request| request.method == "GET" && request.path == path;
    let rule = |id: &str, days: u64| LifecycleRule {
        id: id.to_owned(),
        prefix: "users/".to_owned(),
        enabled: true,
        transitions: Vec::new(),
        expire_after: Some(Duration::from_secs(days * 24 * 3600)),
        expire_old_versions_after: None,
        abort_uploads_after: None,
    };
    let rules_of = |exchange: &Exchange| json_of(&exchange.request)["lifecycle"]["rule"].clone();
    opened.proxy.add(Rule::on(is_bucket.clone()).answer(200, describe(&[&others])));
    assert!(opened.backend.apply_lifecycle(vec![rule("a", 30)]).await.expect("applied").applied);
    let first = opened.seen(|request| request.method == "PATCH").pop().expect("a change");
    assert_eq!(first.request.query("ifMetagenerationMatch").as_deref(), Some("7"), "nobody's change is lost");
    let ours = rules_of(&first)[1].clone();
    assert_eq!((&rules_of(&first)[0], &ours["condition"]["age"]), (&others, &json!(30)));
    opened.proxy.clear_rules();
    opened.proxy.add(Rule::on(is_bucket).answer(200, describe(&[&ours, &others])));
    opened.backend.apply_lifecycle(vec![rule("b", 60)]).await.expect("applied");
    let second = opened.seen(|request| request.method == "PATCH").pop().expect("a change");
    let rules = rules_of(&second);
    assert_eq!((rules.as_array().map(Vec::len), &rules[0]), (Some(2), &others), "the former rule is gone");
    assert_eq!(rules[1]["condition"]["age"], 60);
    opened.nothing_but(&["/.storage/lifecycle.json"]).await;
}

#[tokio::test]
async fn extensions_ask_for_what_they_say() {
    let opened = open_with(&[("versioning", "true")]).await;
    opened.saved("a/b", SMALL).await;
    let is_change = |request: &Request| request.method == "PATCH";
    let object = format!("/storage/v1/b/{}/o/a%2Fb", opened.bucket);
    let bucket = format!("/storage/v1/b/{}", opened.bucket);
    for (name, arguments, path, body) in [
        ("set_hold", json!({ "key": "a/b", "temporary": true }), &object, json!({ "temporaryHold": true })),
        (
            "set_retention",
            json!({ "key": "a/b", "until": "2030-01-01T00:00:00Z" }),
            &object,
            json!({ "retention": { "mode": "Unlocked", "retainUntilTime": "2030-01-01T00:00:00Z" } }),
        ),
        (
            "set_cache_control",
            json!({ "key": "a/b", "cache_control": "public, max-age=60" }),
            &object,
            json!({ "cacheControl": "public, max-age=60" }),
        ),
        (
            "set_bucket_retention",
            json!({ "days": 2 }),
            &bucket,
            json!({ "retentionPolicy": { "retentionPeriod": "172800" } }),
        ),
        ("set_bucket_retention", json!({ "days": 0 }), &bucket, json!({ "retentionPolicy": null })),
        (
            "set_soft_delete",
            json!({ "days": 7 }),
            &bucket,
            json!({ "softDeletePolicy": { "retentionDurationSeconds": "604800" } }),
        ),
        (
            "set_autoclass",
            json!({ "enabled": true }),
            &bucket,
            json!({ "autoclass": { "enabled": true, "terminalStorageClass": "ARCHIVE" } }),
        ),
    ] {
        opened
            .backend
            .invoke(name, arguments)
            .await
            .unwrap_or_else(|error| panic!("{name}: {}", error.report()));
        let request = opened.seen(is_change).pop().expect("a change").request;
        assert_eq!((&request.path, json_of(&request)), (path, body), "{name}");
    }
    let refused =
        opened.backend.invoke("set_hold", json!({ "key": "/.storage/lifecycle.json", "temporary": true }));
    assert_eq!(refused.await.expect_err("no file").kind(), ErrorKind::InvalidKey);
}

#[tokio::test]
async fn what_was_deleted_softly_is_listed_and_restored() {
    let opened = open().await;
    let listing = r#"{"items":[{"name":"a/b","generation":"17","size":"5","softDeleteTime":"2026-11-01T00:00:00Z",
        "hardDeleteTime":"2026-11-08T00:00:00Z"},{"name":"/.storage/x","generation":"1","size":"1"}]}"#;
    opened.proxy.add(Rule::on(|request| request.query("softDeleted").is_some()).answer(200, listing));
    let restored = r#"{"name":"a/b","generation":"18","size":"5"}"#;
    opened.proxy.add(Rule::on(|request| request.path.ends_with("/restore")).answer(200, restored));
    let listed = opened.backend.invoke("list_soft_deleted", json!({ "prefix": "a/" })).await.expect("listed");
    assert_eq!(
        (listed["objects"].as_array().map(Vec::len), &listed["objects"][0]["key"]),
        (Some(1), &json!("a/b"))
    );
    let arguments = json!({ "key": "a/b", "generation": "17" });
    let answer = opened.backend.invoke("restore_soft_deleted", arguments).await.expect("restored");
    assert_eq!(answer["generation"], "18");
    let request = opened.only(|request| request.path.ends_with("/o/a%2Fb/restore"));
    assert_eq!(request.query("generation").as_deref(), Some("17"));
}

#[tokio::test]
async fn a_bucket_with_retention_or_autoclass_declares_what_is_left() {
    for (bucket, missing) in [
        (r#"{"storageClass":"STANDARD","retentionPolicy":{"retentionPeriod":"60"}}"#, "multipart"),
        (r#"{"storageClass":"STANDARD","defaultEventBasedHold":true}"#, "multipart"),
        (r#"{"storageClass":"STANDARD","autoclass":{"enabled":true}}"#, "tiers"),
    ] {
        let proxy = Proxy::before(&Server::get("fake_gcs").endpoint).await;
        let name = new_bucket();
        let settings = settings(&proxy, &name);
        // The bucket is there, and is then described as Google describes one of this kind.
        drop(open_plugin(&settings).await.expect("the bucket is made"));
        let path = format!("/storage/v1/b/{name}");
        proxy.add(
            Rule::on(move |request| request.method == "GET" && request.path == path).answer(200, bucket),
        );
        let backend = open_plugin(&settings).await.expect("the backend opens");
        let names = backend.info().capabilities.names();
        assert!(!names.contains(&missing), "{missing} is in {names:?} of {bucket}");
        let opened = Opened { backend, proxy, bucket: name };
        opened
            .backend
            .save(&key("file"), LARGE.body(Chunking::Even), SaveOptions::default())
            .await
            .expect("saved");
        opened.holds("file", LARGE).await;
        let joined = opened.seen(ends_with("POST", "/compose")).len();
        assert_eq!(
            joined,
            usize::from(missing == "tiers"),
            "without temporary objects it goes through a session"
        );
        let told = opened.seen(|request| request.query("uploadType").is_some() && request.method == "POST");
        let classes: Vec<_> =
            told.iter().map(|seen| json_of(&seen.request)["storageClass"].clone()).collect();
        assert_eq!(classes.iter().all(Value::is_null), missing == "tiers", "{classes:?}");
    }
}
