//! Uploads in parts that go wrong: what is refused, and that the upload can still be completed.

use storage_core::{
    Checksums, CompleteOptions, ETag, Error, ErrorKind, ListPartsOptions, ObjectKey, Part, PartOptions,
    SaveOptions, UploadId, WriteCondition,
};

use super::check::{honoured, refused};
use super::multipart::holds_pieces;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_completed_upload_is_gone[MULTIPART],
        an_aborted_upload_is_gone[MULTIPART],
        an_unknown_upload_is_not_found[MULTIPART],
        an_upload_of_another_key_is_not_found[MULTIPART],
        a_part_number_out_of_bounds_is_refused[MULTIPART],
        a_part_that_was_not_sent_is_refused[MULTIPART],
        a_part_with_another_tag_is_refused[MULTIPART],
        the_tag_of_a_replaced_part_is_refused[MULTIPART],
        numbers_that_do_not_ascend_are_refused[MULTIPART],
        a_number_named_twice_is_refused[MULTIPART],
        no_part_is_refused[MULTIPART],
        a_small_part_before_the_last_is_refused[MULTIPART],
        a_part_beyond_the_limit_is_refused[MULTIPART],
        more_parts_than_the_limit_are_refused[MULTIPART],
        a_condition_at_the_begin_is_refused[MULTIPART],
        digests_at_the_begin_are_refused[MULTIPART],
        bad_attributes_at_the_begin_are_refused[MULTIPART],
        a_part_whose_body_fails_is_not_kept[MULTIPART],
        a_part_that_is_too_short_is_not_kept[MULTIPART],
        a_part_that_is_too_long_is_not_kept[MULTIPART],
        a_part_whose_call_is_dropped_is_not_kept[MULTIPART],
        a_failed_part_leaves_the_former[MULTIPART],
        a_wrong_digest_of_a_part_is_not_ignored[MULTIPART],
        a_wrong_digest_of_the_whole_is_not_ignored[MULTIPART],
        a_failed_completion_leaves_the_old_content[MULTIPART],
    ]
}

/// An upload with parts 1 and 2 sent.
struct Begun {
    checked: Checked,
    key: ObjectKey,
    upload: UploadId,
    parts: Vec<Part>,
}

async fn begun(checked: &Checked) -> Begun {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let begun = Begun { checked: checked.clone(), key, upload, parts: Vec::new() };
    let first = checked.part(&begun.key, &begun.upload, 1, begun.piece(1)).await;
    let second = checked.part(&begun.key, &begun.upload, 2, begun.piece(2)).await;
    Begun { parts: vec![first, second], ..begun }
}

impl Begun {
    fn piece(&self, number: u64) -> Content {
        Content::new(number, self.checked.part_bytes() + number)
    }

    /// A completion with these parts is refused, nothing appears, and the right parts then complete it.
    async fn refuses(self, parts: Vec<Part>) {
        refused(self.checked.complete(&self.key, &self.upload, parts).await, ErrorKind::InvalidArgument);
        self.checked.is_missing(&self.key).await;
        self.can_be_completed().await;
    }

    /// The upload can be completed with the parts that were sent first.
    async fn can_be_completed(self) {
        let parts = self.parts.clone();
        self.checked.complete(&self.key, &self.upload, parts).await.expect("the upload is still open");
        holds_pieces(&self.checked, &self.key, &[self.piece(1), self.piece(2)]).await;
        self.checked.nothing_but(&["object"]).await;
    }

    async fn listed(&self) -> Vec<u32> {
        let options = ListPartsOptions::default();
        let page = self.checked.backend.list_parts(&self.key, &self.upload, options).await.expect("listed");
        page.parts.iter().map(|part| part.number).collect()
    }
}

async fn is_gone(checked: &Checked, key: &ObjectKey, upload: &UploadId, parts: Vec<Part>) {
    let body = Content::new(1, 10).body(Chunking::Buffer);
    let answer = checked.backend.upload_part(key, upload, 1, body, PartOptions::default()).await;
    refused(answer, ErrorKind::NotFound);
    refused(checked.complete(key, upload, parts).await, ErrorKind::NotFound);
    let answer = checked.backend.list_parts(key, upload, ListPartsOptions::default()).await;
    refused(answer, ErrorKind::NotFound);
}

async fn a_completed_upload_is_gone(checked: Checked) {
    let Begun { key, upload, parts, .. } = begun(&checked).await;
    checked.complete(&key, &upload, parts.clone()).await.expect("complete");
    let described = checked.describe(&key).await.expect("described");
    is_gone(&checked, &key, &upload, parts).await;
    assert_eq!(checked.describe(&key).await.expect("described"), described, "the object is as it was");
    assert!(!checked.backend.abort_multipart(&key, &upload).await.expect("a success").existed);
    assert_eq!(checked.listed().await, ["object"]);
}

async fn an_aborted_upload_is_gone(checked: Checked) {
    let Begun { key, upload, parts, .. } = begun(&checked).await;
    checked.backend.abort_multipart(&key, &upload).await.expect("aborted");
    is_gone(&checked, &key, &upload, parts).await;
    checked.is_missing(&key).await;
}

async fn an_unknown_upload_is_not_found(checked: Checked) {
    let Begun { key, parts, .. } = begun(&checked).await;
    for id in ["no-such-upload", "..", "a/b", "00000000-0000-0000-0000-000000000000"] {
        is_gone(&checked, &key, &UploadId::new(id), parts.clone()).await;
    }
}

async fn an_upload_of_another_key_is_not_found(checked: Checked) {
    let begun = begun(&checked).await;
    let other = checked.key("other");
    is_gone(&checked, &other, &begun.upload, begun.parts.clone()).await;
    assert!(!checked.backend.abort_multipart(&other, &begun.upload).await.expect("a success").existed);
    begun.can_be_completed().await;
}

async fn a_part_number_out_of_bounds_is_refused(checked: Checked) {
    let begun = begun(&checked).await;
    for number in [0, 10_001, u32::MAX] {
        let body = Content::new(1, 10).body(Chunking::Buffer);
        let sent =
            checked.backend.upload_part(&begun.key, &begun.upload, number, body, PartOptions::default());
        refused(sent.await, ErrorKind::InvalidArgument);
    }
    assert_eq!(begun.listed().await, [1, 2]);
}

async fn a_part_that_was_not_sent_is_refused(checked: Checked) {
    let begun = begun(&checked).await;
    let mut parts = begun.parts.clone();
    parts.push(Part { number: 3, ..parts[1].clone() });
    begun.refuses(parts).await;
}

async fn a_part_with_another_tag_is_refused(checked: Checked) {
    let begun = begun(&checked).await;
    let mut parts = begun.parts.clone();
    parts[0].etag = ETag::new("d41d8cd98f00b204e9800998ecf8427e");
    begun.refuses(parts).await;
}

async fn the_tag_of_a_replaced_part_is_refused(checked: Checked) {
    let mut begun = begun(&checked).await;
    let former = checked.part(&begun.key, &begun.upload, 3, Content::new(30, 300)).await;
    let latter = checked.part(&begun.key, &begun.upload, 3, Content::new(31, 310)).await;
    let mut parts = begun.parts.clone();
    parts.push(former);
    refused(checked.complete(&begun.key, &begun.upload, parts).await, ErrorKind::InvalidArgument);
    begun.parts.push(latter);
    checked.complete(&begun.key, &begun.upload, begun.parts.clone()).await.expect("still open");
    let pieces = [begun.piece(1), begun.piece(2), Content::new(31, 310)];
    holds_pieces(&checked, &begun.key, &pieces).await;
}

async fn numbers_that_do_not_ascend_are_refused(checked: Checked) {
    let begun = begun(&checked).await;
    let parts = begun.parts.iter().rev().cloned().collect();
    begun.refuses(parts).await;
}

async fn a_number_named_twice_is_refused(checked: Checked) {
    let begun = begun(&checked).await;
    let parts = vec![begun.parts[0].clone(), begun.parts[0].clone()];
    begun.refuses(parts).await;
}

async fn no_part_is_refused(checked: Checked) {
    begun(&checked).await.refuses(Vec::new()).await;
}

async fn a_small_part_before_the_last_is_refused(checked: Checked) {
    if checked.backend.info().limits.min_part_bytes.is_none_or(|smallest| smallest <= 1) {
        // Without a smallest size there is no part that is too small: it must be taken.
        let key = checked.key("object");
        let upload = checked.begin(&key).await;
        let parts = vec![
            checked.part(&key, &upload, 1, Content::new(1, 1)).await,
            checked.part(&key, &upload, 2, Content::new(2, 1)).await,
        ];
        checked.complete(&key, &upload, parts).await.expect("parts of any size are taken");
        holds_pieces(&checked, &key, &[Content::new(1, 1), Content::new(2, 1)]).await;
        return;
    }
    let begun = begun(&checked).await;
    let small = checked.part(&begun.key, &begun.upload, 3, Content::new(3, 1)).await;
    let last = checked.part(&begun.key, &begun.upload, 4, begun.piece(4)).await;
    let parts = begun.parts.iter().cloned().chain([small, last]).collect();
    begun.refuses(parts).await;
}

async fn a_part_beyond_the_limit_is_refused(checked: Checked) {
    // Only a limit that a test can afford to pass is tried.
    let limit = checked.backend.info().limits.max_part_bytes.filter(|limit| *limit <= 128 << 20);
    let begun = begun(&checked).await;
    if let Some(limit) = limit {
        for chunking in [Chunking::Even, Chunking::Undeclared] {
            let body = Content::new(1, limit + 1).body(chunking);
            let sent =
                checked.backend.upload_part(&begun.key, &begun.upload, 3, body, PartOptions::default());
            refused(sent.await, ErrorKind::TooLarge);
        }
        checked.part(&begun.key, &begun.upload, 4, Content::new(1, limit)).await;
        assert_eq!(begun.listed().await, [1, 2, 4]);
    }
    begun.can_be_completed().await;
}

async fn more_parts_than_the_limit_are_refused(checked: Checked) {
    let limit = checked.backend.info().limits.max_parts.filter(|limit| *limit <= 100);
    let begun = begun(&checked).await;
    let Some(limit) = limit else { return begun.can_be_completed().await };
    let mut parts = begun.parts.clone();
    for number in 3..=limit + 1 {
        parts.push(checked.part(&begun.key, &begun.upload, number, begun.piece(9)).await);
    }
    begun.refuses(parts).await;
}

async fn begin_is_refused(checked: Checked, options: SaveOptions) {
    let answer = checked.backend.begin_multipart(&checked.key("object"), options).await;
    refused(answer, ErrorKind::InvalidArgument);
    checked.nothing_but(&[]).await;
}

async fn a_condition_at_the_begin_is_refused(checked: Checked) {
    let condition = WriteCondition::IfAbsent;
    begin_is_refused(checked, SaveOptions { condition, ..SaveOptions::default() }).await;
}

async fn digests_at_the_begin_are_refused(checked: Checked) {
    let checksums = Content::new(1, 10).checksums();
    begin_is_refused(checked, SaveOptions { checksums, ..SaveOptions::default() }).await;
}

async fn bad_attributes_at_the_begin_are_refused(checked: Checked) {
    let metadata = [("Not Legal".to_owned(), "x".to_owned())].into();
    begin_is_refused(checked, SaveOptions { metadata, ..SaveOptions::default() }).await;
}

async fn a_part_whose_body_fails_is_not_kept(checked: Checked) {
    let begun = begun(&checked).await;
    let error = Error::new(ErrorKind::Corrupted, "the source broke");
    let body = Content::new(3, 900_000).body_that_fails(800_000, error);
    let sent = checked.backend.upload_part(&begun.key, &begun.upload, 3, body, PartOptions::default());
    refused(sent.await, ErrorKind::Corrupted);
    assert_eq!(begun.listed().await, [1, 2]);
    begun.can_be_completed().await;
}

async fn a_part_of_another_length_is_not_kept(checked: Checked, size_bytes: u64, declared_bytes: u64) {
    let begun = begun(&checked).await;
    let body = Content::new(3, size_bytes).body_that_declares(declared_bytes);
    let sent = checked.backend.upload_part(&begun.key, &begun.upload, 3, body, PartOptions::default());
    refused(sent.await, ErrorKind::LengthMismatch);
    assert_eq!(begun.listed().await, [1, 2]);
    begun.can_be_completed().await;
}

async fn a_part_that_is_too_short_is_not_kept(checked: Checked) {
    a_part_of_another_length_is_not_kept(checked, 800_000, 900_000).await;
}

async fn a_part_that_is_too_long_is_not_kept(checked: Checked) {
    a_part_of_another_length_is_not_kept(checked, 900_000, 800_000).await;
}

async fn a_part_whose_call_is_dropped_is_not_kept(checked: Checked) {
    let begun = begun(&checked).await;
    let (body, taken) = Content::new(3, 900_000).body_that_stalls(800_000);
    tokio::select! {
        answer = checked.backend.upload_part(&begun.key, &begun.upload, 3, body, PartOptions::default()) => {
            panic!("a part is taken before its body ends: {answer:?}")
        }
        () = taken.notified() => {}
    }
    assert_eq!(begun.listed().await, [1, 2]);
    begun.can_be_completed().await;
}

async fn a_failed_part_leaves_the_former(checked: Checked) {
    let begun = begun(&checked).await;
    let error = Error::new(ErrorKind::Corrupted, "the source broke");
    let body = Content::new(9, 900_000).body_that_fails(800_000, error);
    let sent = checked.backend.upload_part(&begun.key, &begun.upload, 2, body, PartOptions::default());
    refused(sent.await, ErrorKind::Corrupted);
    begun.can_be_completed().await;
}

fn only_sha256(content: Content) -> Checksums {
    Checksums { sha256: Some(content.sha256()), ..Checksums::default() }
}

async fn a_wrong_digest_of_a_part_is_not_ignored(checked: Checked) {
    let begun = begun(&checked).await;
    let content = begun.piece(3);
    let send = |promised| {
        let options = PartOptions { checksums: only_sha256(promised), ..PartOptions::default() };
        checked.backend.upload_part(&begun.key, &begun.upload, 3, content.body(Chunking::Even), options)
    };
    if honoured(&send(content).await) {
        checked.part(&begun.key, &begun.upload, 3, Content::new(8, checked.part_bytes())).await;
        refused(send(Content::new(4, 1)).await, ErrorKind::ChecksumMismatch);
        let options = ListPartsOptions { after: Some(2), limit: None };
        let page = checked.backend.list_parts(&begun.key, &begun.upload, options).await.expect("listed");
        assert_eq!(page.parts[0].size_bytes, checked.part_bytes(), "the former part stays");
    } else {
        assert_eq!(begun.listed().await, [1, 2]);
    }
    begun.can_be_completed().await;
}

async fn a_wrong_digest_of_the_whole_is_not_ignored(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let content = Content::new(1, 1_000);
    let parts = vec![checked.part(&key, &upload, 1, content).await];
    let complete = |promised| {
        let options = CompleteOptions { checksums: only_sha256(promised), ..CompleteOptions::default() };
        checked.backend.complete_multipart(&key, &upload, parts.clone(), options)
    };
    let answer = complete(Content::new(4, 1)).await;
    let kind = answer.expect_err("the digest is wrong").kind();
    assert!([ErrorKind::ChecksumMismatch, ErrorKind::Unsupported].contains(&kind), "{kind}");
    checked.is_missing(&key).await;
    if kind == ErrorKind::ChecksumMismatch {
        complete(content).await.expect("the upload is still open and the digest right");
    } else {
        checked.complete(&key, &upload, parts.clone()).await.expect("the upload is still open");
    }
    checked.holds(&key, content).await;
}

async fn a_failed_completion_leaves_the_old_content(checked: Checked) {
    let begun = begun(&checked).await;
    checked.save(&begun.key, Content::new(50, 500)).await;
    let answer = checked.complete(&begun.key, &begun.upload, Vec::new()).await;
    refused(answer, ErrorKind::InvalidArgument);
    checked.holds(&begun.key, Content::new(50, 500)).await;
    begun.can_be_completed().await;
}
