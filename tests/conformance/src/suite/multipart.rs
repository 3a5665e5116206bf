//! Uploads in parts that go well.

use futures_util::future::join_all;
use storage_core::{
    CompleteOptions, DeleteOptions, ErrorKind, ListPartsOptions, ListUploadsOptions, ObjectKey, Part,
    SaveOptions, UploadId, WriteCondition,
};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

pub(super) fn cases() -> Vec<Case> {
    cases![
        parts_make_an_object [MULTIPART],
        parts_may_come_in_any_order [MULTIPART],
        parts_may_come_at_the_same_time [MULTIPART],
        numbers_may_have_gaps [MULTIPART],
        a_single_small_part_makes_an_object [MULTIPART],
        parts_of_undeclared_length_are_taken [MULTIPART],
        sixty_four_mib_come_back_whole [MULTIPART],
        a_part_sent_again_replaces_the_former [MULTIPART],
        parts_that_are_not_named_are_dropped [MULTIPART],
        the_attributes_of_the_begin_are_those_of_the_object [MULTIPART],
        tags_of_the_begin_are_those_of_the_object [MULTIPART, TAGS],
        nothing_can_be_read_before_it_is_complete [MULTIPART],
        the_old_content_stays_until_it_is_complete [MULTIPART],
        an_abort_drops_the_upload [MULTIPART],
        an_abort_of_nothing_says_so [MULTIPART],
        two_uploads_of_a_key_do_not_touch [MULTIPART],
        parts_are_listed_by_number [MULTIPART],
        parts_are_listed_in_pages [MULTIPART],
        uploads_are_listed_by_key_and_start [MULTIPART],
        uploads_are_listed_in_pages [MULTIPART],
        uploads_are_listed_by_prefix [MULTIPART],
        a_foreign_page_token_of_uploads_is_refused [MULTIPART],
        an_upload_survives_a_restart [MULTIPART] Reopen,
        if_absent_completes_where_nothing_is [MULTIPART, WRITE_IF_ABSENT],
        if_absent_refuses_and_the_upload_stays_open [MULTIPART, WRITE_IF_ABSENT],
        if_match_completes_over_the_known_content [MULTIPART, WRITE_IF_MATCH],
        if_match_refuses_and_the_upload_stays_open [MULTIPART, WRITE_IF_MATCH],
        odd_keys_take_uploads [MULTIPART],
    ]
}

/// The content of a part: its number is its seed.
fn piece(checked: &Checked, number: u32) -> Content {
    Content::new(u64::from(number), checked.part_bytes() + u64::from(number))
}

async fn parts(checked: &Checked, key: &ObjectKey, upload: &UploadId, numbers: &[u32]) -> Vec<Part> {
    let mut parts = Vec::new();
    for number in numbers {
        parts.push(checked.part(key, upload, *number, piece(checked, *number)).await);
    }
    parts.sort_by_key(|part| part.number);
    parts
}

/// The key holds these parts, one after the other.
pub(super) async fn holds_pieces(checked: &Checked, key: &ObjectKey, pieces: &[Content]) {
    let found = checked.backend.retrieve(key, Default::default()).await.expect("found");
    let size_bytes: u64 = pieces.iter().map(|piece| piece.size_bytes).sum();
    assert_eq!(found.meta.size_bytes, size_bytes);
    let bytes = found.body.collect(size_bytes).await.expect("read");
    let mut expected = Vec::new();
    pieces.iter().for_each(|piece| expected.extend_from_slice(&piece.bytes()));
    assert!(bytes == expected, "the content is not that of the parts");
}

async fn holds(checked: &Checked, key: &ObjectKey, numbers: &[u32]) {
    let pieces: Vec<_> = numbers.iter().map(|number| piece(checked, *number)).collect();
    holds_pieces(checked, key, &pieces).await;
}

async fn are_taken(checked: &Checked, sent: &[u32], made: &[u32]) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let parts = parts(checked, &key, &upload, sent).await;
    let saved = checked.complete(&key, &upload, parts).await.expect("complete");
    holds(checked, &key, made).await;
    let described = checked.describe(&key).await.expect("described");
    assert_eq!((saved.size_bytes, saved.etag), (described.size_bytes, described.etag));
    checked.nothing_but(&["object"]).await;
}

async fn parts_make_an_object(checked: Checked) {
    are_taken(&checked, &[1, 2, 3], &[1, 2, 3]).await;
}

async fn parts_may_come_in_any_order(checked: Checked) {
    are_taken(&checked, &[3, 1, 4, 2], &[1, 2, 3, 4]).await;
}

async fn parts_may_come_at_the_same_time(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let sends = (1..=8).map(|number| {
        let (checked, key, upload) = (checked.clone(), key.clone(), upload.clone());
        tokio::spawn(async move { checked.part(&key, &upload, number, piece(&checked, number)).await })
    });
    let parts = join_all(sends).await.into_iter().map(|sent| sent.expect("no panic")).collect();
    checked.complete(&key, &upload, parts).await.expect("complete");
    holds(&checked, &key, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
}

async fn numbers_may_have_gaps(checked: Checked) {
    are_taken(&checked, &[10_000, 7, 300], &[7, 300, 10_000]).await;
}

async fn a_single_small_part_makes_an_object(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let part = checked.part(&key, &upload, 1, Content::new(1, 1)).await;
    checked.complete(&key, &upload, vec![part]).await.expect("the last part may be small");
    checked.holds(&key, Content::new(1, 1)).await;
}

async fn parts_of_undeclared_length_are_taken(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let body = piece(&checked, 1).body(Chunking::Undeclared);
    let part = checked.backend.upload_part(&key, &upload, 1, body, Default::default()).await.expect("taken");
    checked.complete(&key, &upload, vec![part]).await.expect("complete");
    holds(&checked, &key, &[1]).await;
}

async fn sixty_four_mib_come_back_whole(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    // The parts continue each other, so that the whole is one content again.
    let (whole, part_bytes) = (Content::new(6, 64 << 20), 8 << 20);
    let mut parts = Vec::new();
    for number in 1..=8 {
        let start = u64::from(number - 1) * part_bytes;
        let body = whole.body_of(start..start + part_bytes);
        let part = checked.backend.upload_part(&key, &upload, number, body, Default::default()).await;
        parts.push(part.expect("the part is taken"));
    }
    checked.complete(&key, &upload, parts).await.expect("complete");
    checked.holds(&key, whole).await;
}

async fn a_part_sent_again_replaces_the_former(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    checked.part(&key, &upload, 1, Content::new(77, checked.part_bytes())).await;
    let parts = parts(&checked, &key, &upload, &[2, 1]).await;
    let page = checked.backend.list_parts(&key, &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!(page.parts.len(), 2);
    checked.complete(&key, &upload, parts).await.expect("complete");
    holds(&checked, &key, &[1, 2]).await;
}

async fn parts_that_are_not_named_are_dropped(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let mut parts = parts(&checked, &key, &upload, &[1, 2, 3]).await;
    parts.remove(1);
    checked.complete(&key, &upload, parts).await.expect("complete");
    holds(&checked, &key, &[1, 3]).await;
    checked.nothing_but(&["object"]).await;
}

async fn the_attributes_of_the_begin_are_those_of_the_object(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions {
        content_type: Some("application/pdf".to_owned()),
        content_disposition: Some("inline".to_owned()),
        metadata: [("owner".to_owned(), "Ingénieur".to_owned())].into(),
        ..SaveOptions::default()
    };
    let upload = checked.backend.begin_multipart(&key, options.clone()).await.expect("begun");
    let parts = parts(&checked, &key, &upload, &[1]).await;
    checked.complete(&key, &upload, parts).await.expect("complete");
    let meta = checked.describe(&key).await.expect("described");
    assert_eq!(
        (meta.content_type, meta.content_disposition),
        (options.content_type, options.content_disposition)
    );
    assert_eq!(meta.metadata, options.metadata);
}

async fn tags_of_the_begin_are_those_of_the_object(checked: Checked) {
    let key = checked.key("object");
    let tags = [("team".to_owned(), "a".to_owned())].into();
    let options = SaveOptions { tags, ..SaveOptions::default() };
    let upload = checked.backend.begin_multipart(&key, options.clone()).await.expect("begun");
    let parts = parts(&checked, &key, &upload, &[1]).await;
    checked.complete(&key, &upload, parts).await.expect("complete");
    assert_eq!(checked.describe(&key).await.expect("described").tags, options.tags);
}

async fn nothing_can_be_read_before_it_is_complete(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    parts(&checked, &key, &upload, &[1, 2]).await;
    checked.is_missing(&key).await;
    assert!(checked.listed().await.is_empty());
}

async fn the_old_content_stays_until_it_is_complete(checked: Checked) {
    let key = checked.key("object");
    let old = Content::new(50, 500);
    checked.save(&key, old).await;
    let upload = checked.begin(&key).await;
    let parts = parts(&checked, &key, &upload, &[1, 2]).await;
    checked.holds(&key, old).await;
    checked.complete(&key, &upload, parts).await.expect("complete");
    holds(&checked, &key, &[1, 2]).await;
}

async fn an_abort_drops_the_upload(checked: Checked) {
    let key = checked.key("object");
    let old = Content::new(50, 500);
    checked.save(&key, old).await;
    let upload = checked.begin(&key).await;
    parts(&checked, &key, &upload, &[1, 2]).await;
    assert!(checked.backend.abort_multipart(&key, &upload).await.expect("aborted").existed);
    checked.nothing_but(&["object"]).await;
    checked.holds(&key, old).await;
}

async fn an_abort_of_nothing_says_so(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    assert!(checked.backend.abort_multipart(&key, &upload).await.expect("aborted").existed);
    for upload in [upload, UploadId::new("no-such-upload"), UploadId::new("../../etc")] {
        let answer = checked.backend.abort_multipart(&key, &upload).await.expect("a success");
        assert!(!answer.existed, "{upload}");
    }
}

async fn two_uploads_of_a_key_do_not_touch(checked: Checked) {
    let key = checked.key("object");
    let (one, other) = (checked.begin(&key).await, checked.begin(&key).await);
    assert_ne!(one, other);
    let first = parts(&checked, &key, &one, &[1, 2]).await;
    let second = parts(&checked, &key, &other, &[3]).await;
    checked.complete(&key, &one, first).await.expect("complete");
    holds(&checked, &key, &[1, 2]).await;
    checked.complete(&key, &other, second).await.expect("complete");
    holds(&checked, &key, &[3]).await;
    checked.nothing_but(&["object"]).await;
}

async fn parts_are_listed_by_number(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let empty = checked.backend.list_parts(&key, &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!((empty.parts.len(), empty.next_after), (0, None));
    let sent = parts(&checked, &key, &upload, &[12, 2, 1]).await;
    let page = checked.backend.list_parts(&key, &upload, ListPartsOptions::default()).await.expect("listed");
    let told = |parts: &[Part]| -> Vec<_> {
        parts.iter().map(|part| (part.number, part.size_bytes, part.etag.clone())).collect()
    };
    assert_eq!(told(&page.parts), told(&sent));
    assert_eq!(page.next_after, None);
    checked.complete(&key, &upload, page.parts).await.expect("what was listed completes the upload");
    holds(&checked, &key, &[1, 2, 12]).await;
}

async fn parts_are_listed_in_pages(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    parts(&checked, &key, &upload, &[1, 2, 5, 9, 10]).await;
    for limit in [1, 2, 7] {
        let (mut numbers, mut after) = (Vec::new(), None);
        loop {
            let options = ListPartsOptions { after, limit: Some(limit) };
            let page = checked.backend.list_parts(&key, &upload, options).await.expect("listed");
            assert!(page.parts.len() <= limit as usize);
            numbers.extend(page.parts.iter().map(|part| part.number));
            if page.next_after.is_none() {
                break;
            }
            assert!(page.next_after > after, "the listing does not go on");
            after = page.next_after;
        }
        assert_eq!(numbers, [1, 2, 5, 9, 10], "pages of {limit}");
    }
    let options = ListPartsOptions { after: Some(3), limit: None };
    let page = checked.backend.list_parts(&key, &upload, options).await.expect("listed");
    assert_eq!(page.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [5, 9, 10]);
}

/// Begins uploads and gives what a listing must tell of them.
async fn begun(checked: &Checked) -> Vec<(ObjectKey, UploadId)> {
    let mut expected = Vec::new();
    for name in ["a-b", "a/b", "a/b", "a0", "z"] {
        let key = checked.key(name);
        let upload = checked.begin(&key).await;
        expected.push((key, upload));
    }
    expected
}

async fn uploads_are_listed_by_key_and_start(checked: Checked) {
    let expected = begun(&checked).await;
    let uploads = checked.uploads().await;
    assert!(uploads.is_sorted_by_key(|upload| (upload.key.clone(), upload.started_at)));
    let listed: Vec<_> = uploads.into_iter().map(|upload| (upload.key, upload.id)).collect();
    // The two of one key began within what a provider's clock may not tell apart.
    let sorted = |mut uploads: Vec<(ObjectKey, UploadId)>| {
        uploads.sort();
        uploads
    };
    assert_eq!(sorted(listed), sorted(expected));
}

async fn uploads_are_listed_in_pages(checked: Checked) {
    let expected = begun(&checked).await;
    for limit in [1, 2, 4] {
        let uploads = checked.uploads_in_pages(Some(limit)).await.into_iter();
        let listed: Vec<_> = uploads.map(|upload| (upload.key, upload.id)).collect();
        assert!(listed.is_sorted_by_key(|(key, _)| key.clone()));
        assert_eq!(listed.len(), expected.len(), "pages of {limit}");
        assert!(expected.iter().all(|upload| listed.contains(upload)), "pages of {limit}");
    }
}

async fn uploads_are_listed_by_prefix(checked: Checked) {
    let expected = begun(&checked).await;
    let prefix = format!("{}a/", checked.prefix);
    let options = ListUploadsOptions { prefix, ..ListUploadsOptions::default() };
    let page = checked.backend.list_uploads(options).await.expect("listed");
    assert_eq!(page.uploads.len(), 2);
    assert!(page.uploads.iter().all(|upload| expected.contains(&(upload.key.clone(), upload.id.clone()))));
}

async fn a_foreign_page_token_of_uploads_is_refused(checked: Checked) {
    for token in ["", "not a token", "AAAA", "x.1/y"] {
        let options = ListUploadsOptions { page_token: Some(token.to_owned()), ..Default::default() };
        refused(checked.backend.list_uploads(options).await, ErrorKind::InvalidArgument);
    }
}

async fn an_upload_survives_a_restart(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    let upload = checked.backend.begin_multipart(&key, options).await.expect("begun");
    let first = checked.part(&key, &upload, 1, piece(&checked, 1)).await;
    let reopened = checked.reopened().await;
    let page = reopened.backend.list_parts(&key, &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!((page.parts.len(), &page.parts[0].etag), (1, &first.etag));
    let second = reopened.part(&key, &upload, 2, piece(&checked, 2)).await;
    reopened.complete(&key, &upload, vec![first, second]).await.expect("complete");
    holds(&reopened, &key, &[1, 2]).await;
    let meta = reopened.describe(&key).await.expect("described");
    assert_eq!(meta.content_type.as_deref(), Some("text/plain"));
}

async fn complete_if(
    checked: &Checked,
    upload: &UploadId,
    parts: Vec<Part>,
    condition: WriteCondition,
) -> storage_core::Result<storage_core::SaveResult> {
    let options = CompleteOptions { condition, ..CompleteOptions::default() };
    checked.backend.complete_multipart(&checked.key("object"), upload, parts, options).await
}

async fn if_absent_completes_where_nothing_is(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let parts = parts(&checked, &key, &upload, &[1]).await;
    complete_if(&checked, &upload, parts, WriteCondition::IfAbsent).await.expect("nothing is there");
    holds(&checked, &key, &[1]).await;
}

async fn if_absent_refuses_and_the_upload_stays_open(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(50, 500)).await;
    let upload = checked.begin(&key).await;
    let parts = parts(&checked, &key, &upload, &[1, 2]).await;
    let answer = complete_if(&checked, &upload, parts.clone(), WriteCondition::IfAbsent).await;
    refused(answer, ErrorKind::AlreadyExists);
    checked.holds(&key, Content::new(50, 500)).await;
    checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted");
    complete_if(&checked, &upload, parts, WriteCondition::IfAbsent).await.expect("nothing is there now");
    holds(&checked, &key, &[1, 2]).await;
}

async fn if_match_completes_over_the_known_content(checked: Checked) {
    let key = checked.key("object");
    let tag = checked.save(&key, Content::new(50, 500)).await.etag.expect("a save gives a tag");
    let upload = checked.begin(&key).await;
    let parts = parts(&checked, &key, &upload, &[1]).await;
    complete_if(&checked, &upload, parts, WriteCondition::IfMatch(tag)).await.expect("the tag is right");
    holds(&checked, &key, &[1]).await;
}

async fn if_match_refuses_and_the_upload_stays_open(checked: Checked) {
    let key = checked.key("object");
    let tag = checked.save(&key, Content::new(50, 500)).await.etag.expect("a save gives a tag");
    checked.save(&key, Content::new(51, 510)).await;
    let upload = checked.begin(&key).await;
    let parts = parts(&checked, &key, &upload, &[1]).await;
    let answer = complete_if(&checked, &upload, parts.clone(), WriteCondition::IfMatch(tag)).await;
    refused(answer, ErrorKind::PreconditionFailed);
    checked.holds(&key, Content::new(51, 510)).await;
    checked.complete(&key, &upload, parts).await.expect("the upload is still open");
    holds(&checked, &key, &[1]).await;
}

async fn odd_keys_take_uploads(checked: Checked) {
    for name in ["a b/é%2F+&?#.pdf", "日本/\"c\\d\"/📄", "<&>"] {
        let key = checked.key(name);
        let upload = checked.begin(&key).await;
        let parts = parts(&checked, &key, &upload, &[1, 2]).await;
        assert!(checked.uploads().await.iter().any(|listed| listed.key == key && listed.id == upload));
        checked.complete(&key, &upload, parts).await.expect("complete");
        holds(&checked, &key, &[1, 2]).await;
    }
}
