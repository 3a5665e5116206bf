//! Directory buckets (S3 Express One Zone): sessions, what is asked and what is not, and an order where there is none.
//!
//! ministack has no such buckets; `storage_tests::directory_bucket` makes them of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use storage_core::{
    Backend, Capabilities, CopyOptions, ErrorKind, LifecycleRule, ListOptions, ObjectKey, PresignMethod,
    PresignRequest, Retry, SaveOptions, Tier,
};
use storage_tests::directory_bucket::{DirectoryBuckets, SESSION_TOKEN};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Proxy, Request, Rule};

use super::server;
use crate::amazon::Amazon;
use crate::rig::{Settings, holds, key, kind, open, refusal, save, settings, text, unique};

/// Directory buckets, a recorder before them, and the settings of one of them.
async fn prepared(more: &[(&'static str, &str)]) -> (DirectoryBuckets, Proxy, Settings) {
    let server = server();
    let front = DirectoryBuckets::before(&server).await;
    let recorder = Proxy::before(&front.endpoint()).await;
    let bucket = unique("express") + "--use1-az4--x-s3";
    let mut settings = settings(&server, &recorder.endpoint(), more);
    settings.retain(|(key, _)| *key != "bucket_name");
    settings.push(("bucket_name", bucket));
    (front, recorder, settings)
}

async fn opened(more: &[(&'static str, &str)]) -> (DirectoryBuckets, Proxy, Arc<dyn Backend>) {
    let (front, recorder, settings) = prepared(more).await;
    let backend = open(settings).await;
    recorder.forget();
    (front, recorder, backend)
}

fn is_session(request: &Request) -> bool {
    request.query("session").is_some()
}

/// A session that lasts so long, with these keys.
fn session_of(lasting: Duration, id: &str, secret: &str) -> String {
    let at = jiff::Timestamp::now() + lasting;
    format!(
        "<CreateSessionResult><Credentials><SessionToken>{SESSION_TOKEN}</SessionToken><SecretAccessKey>{secret}\
         </SecretAccessKey><AccessKeyId>{id}</AccessKeyId><Expiration>{}</Expiration></Credentials>\
         </CreateSessionResult>",
        at.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_at_the_host_of_the_zone_and_signs_what_follows() {
    let server = server();
    let front = DirectoryBuckets::before(&server).await;
    let amazon = Amazon::before(&front.endpoint()).await;
    let bucket = unique("express") + "--use1-az4--x-s3";
    let host = format!("{bucket}.s3express-use1-az4.us-east-1.amazonaws.com");
    let access_key = server.setting("access_key");
    let keys = [("access_key_id", access_key), ("secret_access_key", server.setting("secret_key"))];
    let more = [&keys[..], &[("create_bucket", "true"), ("storage_class", "EXPRESS_ONEZONE")]].concat();
    let backend = open(amazon.settings(&bucket, &more)).await;
    let content = Content::new(1, 1000);
    save(&backend, "a/object", content).await;
    holds(&backend, "a/object", content).await;

    let exchanges = amazon.recorder.exchanges();
    let created = exchanges.iter().find(|seen| seen.request.method == "PUT").expect("the bucket was created");
    assert_eq!(created.request.header("host"), Some("s3express-control.us-east-1.amazonaws.com"));
    assert_eq!(created.request.path.trim_end_matches('/'), format!("/{bucket}"));
    let document = String::from_utf8_lossy(&created.request.body).into_owned();
    for part in ["<Name>use1-az4</Name>", "<Type>AvailabilityZone</Type>", "SingleAvailabilityZone"] {
        assert!(document.contains(part), "{part} is not in {document}");
    }
    let at_the_zone: Vec<_> =
        exchanges.iter().filter(|seen| seen.request.header("host") == Some(host.as_str())).collect();
    assert_eq!(at_the_zone.len() + 1, exchanges.len(), "all but the creation");
    let sessions: Vec<_> = at_the_zone.iter().filter(|seen| is_session(&seen.request)).collect();
    assert_eq!(sessions.len(), 2, "one that found no bucket, and one for all that followed");
    for seen in &at_the_zone {
        let request = &seen.request;
        let authorization = request.header("authorization").expect("it is signed");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential="), "{authorization}");
        assert!(authorization.contains("/us-east-1/s3express/aws4_request"), "{authorization}");
        let token = request.header("x-amz-s3session-token");
        assert_eq!(
            token,
            (!is_session(request)).then_some(SESSION_TOKEN),
            "{} {}",
            request.method,
            request.path
        );
        assert!(token.is_none() || authorization.contains("x-amz-s3session-token"), "it is signed, too");
    }
    let put = at_the_zone.iter().find(|seen| seen.request.method == "PUT").expect("the save");
    assert_eq!(put.request.path, "/a/object");
    assert!(put.request.header("x-amz-checksum-crc64nvme").is_some(), "the digest goes along");
    assert_eq!(put.request.header("x-amz-storage-class"), None, "the bucket has one");
    let meta = backend.get_metadata(&key("a/object"), Default::default()).await.expect("described");
    assert_eq!((meta.tier, meta.storage_class.as_deref()), (Some(Tier::Hot), Some("EXPRESS_ONEZONE")));
    assert!(!meta.extra.contains_key("expiration"), "what S3 does not tell is not told: {:?}", meta.extra);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_about_to_end_is_followed_by_another() {
    let (_front, recorder, settings) = prepared(&[]).await;
    let (id, secret) = (server().setting("access_key").to_owned(), server().setting("secret_key").to_owned());
    let backend = open(settings.clone()).await;
    drop(backend);
    let short = session_of(Duration::from_secs(5), &id, &secret);
    recorder.add(Rule::on(is_session).times(2).answer(200, short));
    let backend = open(settings).await;
    recorder.forget();
    for _ in 0..3 {
        save(&backend, "object", Content::new(1, 10)).await;
    }
    let sessions = recorder.exchanges().iter().filter(|seen| is_session(&seen.request)).count();
    assert_eq!(sessions, 2, "the second short one, and then one that lasts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_session_is_told_as_what_it_is() {
    let (_front, recorder, settings) = prepared(&[("create_bucket", "false")]).await;
    let error = refusal(settings.clone()).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConfigInvalid, Retry::Never), "{}", error.report());
    let told = error.report();
    assert!(told.contains("Location={Type=AvailabilityZone,Name=use1-az4}"), "{told}");

    let slow_down = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
    recorder.add(Rule::on(is_session).times(1).answer(503, slow_down).response_header("retry-after", "3"));
    let error = refusal(settings.clone()).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(3))));
    assert!(error.report().contains("open a session"), "{}", error.report());

    recorder.add(Rule::on(is_session).times(1).drop_at_once(storage_tests::proxy::End::Reset));
    let error = refusal(settings).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_names_the_right_to_open_sessions() {
    let (_front, recorder, settings) = prepared(&[]).await;
    let backend = open(settings.clone()).await;
    assert!(backend.health().await.expect("healthy").problems.is_empty());
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    // A session that reads alone, as S3 opens it for whoever may not write.
    let is_write = |request: &Request| ["PUT", "POST", "DELETE"].contains(&request.method.as_str());
    recorder.add(Rule::on(is_write).answer(403, denied));
    let problems = backend.health().await.expect("it answers").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("s3express:SessionMode ReadWrite"), "{problems:?}");
    recorder.clear_rules();
    recorder.add(Rule::on(is_session).answer(403, denied));
    let problems = open(settings).await.health().await.expect("it answers").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("the permission s3express:CreateSession on arn:aws:s3express:"),
        "{problems:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_has_a_session_of_its_own_and_ends_with_it() {
    let (_front, recorder, backend) = opened(&[]).await;
    let minute = Duration::from_secs(60);
    assert_eq!(backend.info().limits.max_presign_expiry, Some(5 * minute));
    for (method, mode) in [(PresignMethod::Get, "ReadOnly"), (PresignMethod::Put, "ReadWrite")] {
        recorder.forget();
        let signed =
            backend.presign(PresignRequest::new(key("object"), method, 5 * minute)).await.expect("signed");
        let exchanges = recorder.exchanges();
        assert_eq!(exchanges.len(), 1, "one session");
        assert_eq!(exchanges[0].request.header("x-amz-create-session-mode"), Some(mode));
        for part in
            ["X-Amz-S3session-Token=the-token-of-a-session", "s3express%2Faws4_request", "X-Amz-Expires=300"]
        {
            assert!(signed.url.contains(part), "{part} is not in {}", signed.url);
        }
        assert!(!signed.url.contains("X-Amz-Security-Token"), "{}", signed.url);
        assert!(signed.expires_at <= SystemTime::now() + 5 * minute);
    }
    let access_key = server().setting("access_key").to_owned();
    let short = session_of(minute, &access_key, server().setting("secret_key"));
    recorder.add(Rule::on(is_session).times(1).answer(200, short));
    let signed = backend.presign(PresignRequest::new(key("object"), PresignMethod::Get, 5 * minute)).await;
    assert!(signed.expect("signed").expires_at <= SystemTime::now() + minute, "it ends with its session");
    let longer = backend.presign(PresignRequest::new(key("object"), PresignMethod::Get, 6 * minute)).await;
    assert_eq!(kind(longer), ErrorKind::InvalidArgument);
    let mut request = PresignRequest::new(key("object"), PresignMethod::Put, minute);
    request.checksums.md5 = Some([0; 16]);
    assert_eq!(kind(backend.presign(request).await), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_signed_with_the_keys_of_the_account() {
    let (_front, recorder, backend) = opened(&[]).await;
    save(&backend, "object", Content::new(1, 10)).await;
    backend.copy(&key("object"), &key("copy"), CopyOptions::default()).await.expect("copied");
    assert_eq!(text(&backend, "copy").await, Content::new(1, 10).bytes());
    let copy =
        recorder.exchanges().into_iter().find(|seen| seen.request.header("x-amz-copy-source").is_some());
    let copy = copy.expect("it was asked for").request;
    assert_eq!(copy.header("x-amz-s3session-token"), None);
    assert!(copy.header("authorization").is_some_and(|text| text.contains("/s3express/aws4_request")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_bucket_does_not_have_is_refused_before_it_is_asked() {
    let (_front, recorder, backend) = opened(&[]).await;
    let info = backend.info();
    for missing in [Capabilities::TIERS, Capabilities::RESTORE, Capabilities::VERSIONS, Capabilities::TAGS] {
        assert!(!info.capabilities.has(missing), "{missing:?}");
    }
    let names: Vec<_> = info.extensions.iter().map(|extension| extension.name.as_str()).collect();
    assert_eq!(names, ["policy", "sweep_uploads", "publish_metrics"]);
    let object = key("object");
    let with =
        |options: SaveOptions| backend.save(&object, Content::new(1, 10).body(Chunking::Buffer), options);
    let extra = |name: &str, value: &str| SaveOptions {
        extra: [(name.to_owned(), value.to_owned())].into(),
        ..SaveOptions::default()
    };
    let tags = SaveOptions { tags: [("a".to_owned(), "b".to_owned())].into(), ..SaveOptions::default() };
    assert_eq!(kind(with(tags).await), ErrorKind::Unsupported);
    assert_eq!(kind(with(extra("object_lock_legal_hold", "on")).await), ErrorKind::Unsupported);
    assert_eq!(kind(with(extra("storage_class", "GLACIER")).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(backend.set_tier(&object, Tier::Cold, Default::default()).await), ErrorKind::Unsupported);
    let day = Duration::from_secs(86400);
    let deleting = LifecycleRule {
        id: "old".to_owned(),
        prefix: "users/".to_owned(),
        enabled: true,
        transitions: Vec::new(),
        expire_after: Some(day),
        expire_old_versions_after: None,
        abort_uploads_after: Some(day),
    };
    let moving = LifecycleRule { transitions: vec![(90 * day, Tier::Cold)], ..deleting.clone() };
    assert_eq!(kind(backend.apply_lifecycle(vec![moving]).await), ErrorKind::InvalidArgument);
    assert!(recorder.exchanges().is_empty(), "S3 was asked: {:?}", recorder.exchanges());
    assert!(backend.apply_lifecycle(vec![deleting]).await.expect("applied").applied);
    with(extra("storage_class", "EXPRESS_ONEZONE")).await.expect("its own class may be named");
}

/// All pages of a listing, of this size, and how often S3 was asked for them.
async fn walk(
    recorder: &Proxy,
    backend: &Arc<dyn Backend>,
    options: ListOptions,
    limit: u32,
) -> (Vec<String>, usize) {
    recorder.forget();
    let mut options = ListOptions { limit: Some(limit), ..options };
    let mut keys = Vec::new();
    loop {
        let page = backend.list_files(options.clone()).await.expect("listed");
        let entries = page.objects.len() + page.common_prefixes.len();
        assert!(entries <= limit as usize, "a page holds {limit}");
        let names = page.objects.iter().map(|meta| meta.key.as_str().to_owned()).chain(page.common_prefixes);
        let mut names: Vec<_> = names.collect();
        names.sort();
        keys.extend(names);
        options.start_after = None;
        options.page_token = page.next_page_token;
        if options.page_token.is_none() {
            return (keys, recorder.exchanges().len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_without_an_order_is_read_once_and_given_in_order() {
    let (_front, recorder, backend) = opened(&[]).await;
    let names: BTreeSet<String> =
        (0..30).map(|number| format!("d{}/{}-{number}", number % 3, 40 - number)).collect();
    for name in &names {
        save(&backend, name, Content::new(1, 10)).await;
    }
    let (keys, asked) = walk(&recorder, &backend, ListOptions::default(), 7).await;
    assert_eq!(keys, names.iter().cloned().collect::<Vec<_>>());
    assert_eq!(asked, 1, "five pages of one reading");
    let inside = ListOptions { prefix: "d1/2".to_owned(), ..ListOptions::default() };
    let (keys, _) = walk(&recorder, &backend, inside, 3).await;
    let expected: Vec<_> = names.iter().filter(|name| name.starts_with("d1/2")).cloned().collect();
    assert_eq!(keys, expected, "a prefix may end within a name");
    assert!(recorder.exchanges().iter().all(|seen| seen.request.query("prefix").as_deref() == Some("d1/")));
    // A walk that was forgotten, here because others began, goes on with a new reading.
    let options = ListOptions { limit: Some(20), ..ListOptions::default() };
    let page = backend.list_files(options.clone()).await.expect("listed");
    for _ in 0..5 {
        backend.list_files(ListOptions { limit: Some(1), ..ListOptions::default() }).await.expect("listed");
    }
    let next = backend
        .list_files(ListOptions { page_token: page.next_page_token, ..options })
        .await
        .expect("listed");
    let all = page.objects.into_iter().chain(next.objects).map(|meta| meta.key.as_str().to_owned());
    assert_eq!(all.collect::<Vec<_>>(), names.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_uploads_alone_is_no_group() {
    let (_front, recorder, backend) = opened(&[]).await;
    save(&backend, "there/object", Content::new(1, 10)).await;
    backend.begin_multipart(&key("begun/object"), SaveOptions::default()).await.expect("begun");
    let groups = ListOptions { delimited: true, ..ListOptions::default() };
    let (names, _) = walk(&recorder, &backend, groups, 1).await;
    assert_eq!(names, ["there/"]);
    let uploads = backend.list_uploads(Default::default()).await.expect("listed").uploads;
    assert_eq!(
        uploads.iter().map(|upload| upload.key.clone()).collect::<Vec<ObjectKey>>(),
        [key("begun/object")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_between_parts_is_refused_and_the_upload_stays() {
    let (_front, recorder, backend) = opened(&[]).await;
    let object = key("object");
    let upload = backend.begin_multipart(&object, SaveOptions::default()).await.expect("begun");
    let mut parts = Vec::new();
    for number in [1, 3] {
        let body = Content::new(number, 5 << 20).body(Chunking::Even);
        let number = u32::try_from(number).expect("small");
        parts.push(
            backend.upload_part(&object, &upload, number, body, Default::default()).await.expect("sent"),
        );
    }
    recorder.forget();
    let refused = backend.complete_multipart(&object, &upload, parts.clone(), Default::default()).await;
    let error = refused.expect_err("there is a gap");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("expected: 2") || error.report().contains('2'), "{}", error.report());
    assert!(recorder.exchanges().is_empty());
    parts.truncate(1);
    backend.complete_multipart(&object, &upload, parts, Default::default()).await.expect("completed");
    holds(&backend, "object", Content::new(1, 5 << 20)).await;
}
