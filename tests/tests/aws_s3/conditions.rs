//! Conditions as Amazon is asked for them, and what its refusals mean. Amazon's part is played from a script.

use std::sync::Arc;

use storage_core::{
    Backend, CopyOptions, DeleteOptions, ETag, ErrorKind, Retry, SaveOptions, SetTierOptions, Tier,
    WriteCondition,
};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Request, Rule};

use crate::amazon::Amazon;
use crate::rig::{key, kind, open};

const SMALL: Content = Content::new(1, 10);
const LARGE: Content = Content::new(3, 20 << 20);
const TAG: &str = "0123456789abcdef";

fn is_copy(request: &Request) -> bool {
    request.header("x-amz-copy-source").is_some()
}

/// A bucket in which there is one object under every key.
pub(crate) async fn scripted() -> (Amazon, Arc<dyn Backend>) {
    scripted_with(&[]).await
}

/// The same with other settings.
pub(crate) async fn scripted_with(more: &[(&'static str, &str)]) -> (Amazon, Arc<dyn Backend>) {
    let amazon = Amazon::before("http://127.0.0.1:1").await;
    let backend = {
        let listing =
            "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        let versioning = "<VersioningConfiguration/>";
        let recorder = &amazon.recorder;
        recorder.add(Rule::on(|request| request.query("versioning").is_some()).answer(200, versioning));
        recorder.add(Rule::on(|request| request.query("list-type").is_some()).answer(200, listing));
        open(amazon.settings("resumes", &[&[("copy_part_size", "5MiB")], more].concat())).await
    };
    let tag = format!("\"{TAG}\"");
    let with_tag = |rule: Rule| rule.response_header("etag", &tag);
    let recorder = &amazon.recorder;
    recorder.forget();
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let completed = "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
    let copied = "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    recorder.add(with_tag(head).response_header("content-length", "10"));
    recorder.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    recorder.add(Rule::on(|request| request.method == "POST").answer(200, completed));
    recorder.add(Rule::on(is_copy).answer(200, copied));
    recorder.add(with_tag(Rule::on(|request| request.method == "PUT").answer(200, "")));
    (amazon, backend)
}

/// The condition headers of the last request with this method, but for parts.
fn last(amazon: &Amazon, method: &str) -> (Option<String>, Option<String>) {
    let exchanges = amazon.recorder.exchanges();
    let found = exchanges
        .iter()
        .rev()
        .find(|seen| seen.request.method == method && seen.request.query("partNumber").is_none());
    let request = &found.expect("it was asked for").request;
    let header = |name: &str| request.header(name).map(str::to_owned);
    (header("if-match"), header("if-none-match"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_asks_for_its_condition() {
    let (amazon, backend) = scripted().await;
    let quoted = Some(format!("\"{TAG}\""));
    for (condition, expected) in [
        (WriteCondition::Always, (None, None)),
        (WriteCondition::IfAbsent, (None, Some("*".to_owned()))),
        (WriteCondition::IfMatch(ETag::new(TAG)), (quoted.clone(), None)),
    ] {
        let options = || SaveOptions { condition: condition.clone(), ..SaveOptions::default() };
        backend.save(&key("object"), SMALL.body(Chunking::Buffer), options()).await.expect("saved");
        assert_eq!(last(&amazon, "PUT"), expected, "{condition:?}: one request");
        backend.save(&key("object"), LARGE.body(Chunking::Even), options()).await.expect("saved");
        assert_eq!(last(&amazon, "POST"), expected, "{condition:?}: parts");
        let options = CopyOptions { condition: condition.clone(), ..CopyOptions::default() };
        backend.copy(&key("from"), &key("to"), options).await.expect("copied");
        assert_eq!(last(&amazon, "PUT"), expected, "{condition:?}: a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refused_condition_means_is_told() {
    let (amazon, backend) = scripted().await;
    amazon.recorder.clear_rules();
    let failed =
        "<Error><Code>PreconditionFailed</Code><Message>At least one did not hold.</Message></Error>";
    amazon.recorder.add(Rule::on(|request| request.method == "PUT").answer(412, failed));
    let object = key("object");
    let save = |condition| {
        let options = SaveOptions { condition, ..SaveOptions::default() };
        backend.save(&object, SMALL.body(Chunking::Buffer), options)
    };
    assert_eq!(kind(save(WriteCondition::IfAbsent).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(save(WriteCondition::IfMatch(ETag::new(TAG))).await), ErrorKind::PreconditionFailed);
    amazon.recorder.clear_rules();
    let missing = "<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>";
    amazon.recorder.add(Rule::on(|request| request.method == "PUT").answer(404, missing));
    assert_eq!(kind(save(WriteCondition::IfMatch(ETag::new(TAG))).await), ErrorKind::PreconditionFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_of_the_source_that_was_looked_at() {
    let (amazon, backend) = scripted().await;
    let sources = |amazon: &Amazon| -> Vec<Option<String>> {
        let exchanges = amazon.recorder.exchanges();
        let copies = exchanges.iter().filter(|seen| is_copy(&seen.request));
        copies.map(|seen| seen.request.header("x-amz-copy-source-if-match").map(str::to_owned)).collect()
    };
    let pinned = Some(format!("\"{TAG}\""));
    backend.copy(&key("from"), &key("to"), CopyOptions::default()).await.expect("copied");
    assert_eq!(sources(&amazon), vec![pinned.clone()]);
    let options = CopyOptions { source_if_match: Some(ETag::new("other")), ..CopyOptions::default() };
    let refused = backend.copy(&key("from"), &key("to"), options).await;
    assert_eq!(kind(refused), ErrorKind::PreconditionFailed);
    assert_eq!(sources(&amazon).len(), 1, "nothing was copied");
    amazon.recorder.forget();
    amazon.recorder.clear_rules();
    // A source of 12 MiB, in parts of 5.
    let tag = format!("\"{TAG}\"");
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let completed = "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
    let part = "<CopyPartResult><ETag>\"x\"</ETag></CopyPartResult>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    let recorder = &amazon.recorder;
    recorder.add(head.response_header("etag", &tag).response_header("content-length", "12582912"));
    recorder.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    recorder.add(Rule::on(|request| request.method == "POST").answer(200, completed));
    recorder.add(Rule::on(is_copy).answer(200, part));
    backend.set_tier(&key("object"), Tier::Cold, SetTierOptions::default()).await.expect("moved");
    assert_eq!(sources(&amazon), vec![pinned; 3]);
    recorder.clear_rules();
    let changed = "<Error><Code>PreconditionFailed</Code><Message>It changed.</Message></Error>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    recorder.add(head.response_header("etag", &tag).response_header("content-length", "10"));
    recorder.add(Rule::on(is_copy).answer(412, changed));
    let error = backend.copy(&key("from"), &key("to"), CopyOptions::default()).await.expect_err("it changed");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::May), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_another_forestalled_is_a_condition_that_does_not_hold() {
    let (amazon, backend) = scripted().await;
    let options = || DeleteOptions { if_match: Some(ETag::new(TAG)), ..DeleteOptions::default() };
    let gone = "<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>";
    let changed = "<Error><Code>PreconditionFailed</Code><Message>It changed.</Message></Error>";
    for (status, xml) in [(404, gone), (412, changed)] {
        let delete = Rule::on(|request| request.method == "DELETE").times(1);
        amazon.recorder.add(delete.answer(status, xml));
        let error = backend.delete(&key("object"), options()).await.expect_err("somebody was faster");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::PreconditionFailed, Retry::Never), "{status}");
        assert_eq!(last(&amazon, "DELETE"), (Some(format!("\"{TAG}\"")), None));
    }
    amazon.recorder.add(Rule::on(|request| request.method == "DELETE").answer(404, gone));
    amazon.recorder.forget();
    let other = DeleteOptions { if_match: Some(ETag::new("other")), ..DeleteOptions::default() };
    assert_eq!(kind(backend.delete(&key("object"), other).await), ErrorKind::PreconditionFailed);
    let asked = amazon.recorder.exchanges().iter().filter(|seen| seen.request.method == "DELETE").count();
    assert_eq!(asked, 0, "what has another tag is not deleted");
}
