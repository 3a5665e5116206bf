//! Refusals: options that nobody knows, sizes beyond the limit, and what errors tell.

use storage_core::{
    CompleteOptions, CopyOptions, DeleteOptions, ErrorKind, Extra, ListOptions, MetadataOptions, PartOptions,
    PresignMethod, PresignRequest, RestoreOptions, RetrieveOptions, SaveOptions, SetTierOptions, Tier,
};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_message_is_a_lowercase_phrase,
        an_unknown_option_of_a_save_is_refused,
        an_unknown_option_of_a_read_is_refused,
        an_unknown_option_of_a_delete_is_refused,
        an_unknown_option_of_a_listing_is_refused,
        an_unknown_option_of_a_copy_is_refused[COPY],
        an_unknown_option_of_an_upload_is_refused[MULTIPART],
        an_unknown_option_of_a_url_is_refused[PRESIGN_GET],
        an_unknown_option_of_a_move_is_refused[TIERS],
        an_unknown_option_of_a_restore_is_refused[RESTORE],
        content_beyond_the_limit_is_refused,
    ]
}

fn unknown() -> Extra {
    [("no_such_option".to_owned(), "1".to_owned())].into()
}

async fn a_message_is_a_lowercase_phrase(checked: Checked) {
    let key = checked.key("object");
    let error = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect_err("missing");
    let message = error.message();
    assert!(!message.ends_with('.') && !message.is_empty(), "{message:?}");
    assert!(!message.starts_with(|c: char| c.is_uppercase()), "{message:?}");
}

async fn an_unknown_option_of_a_save_is_refused(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions { extra: unknown(), ..SaveOptions::default() };
    let answer = checked.backend.save(&key, Content::new(1, 10).body(Chunking::Buffer), options).await;
    let text = answer.as_ref().expect_err("unknown").report();
    assert!(text.contains("no_such_option"), "the option is named: {text}");
    refused(answer, ErrorKind::Unsupported);
    checked.is_missing(&key).await;
}

async fn an_unknown_option_of_a_read_is_refused(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let options = RetrieveOptions { extra: unknown(), ..RetrieveOptions::default() };
    refused(checked.backend.retrieve(&key, options).await, ErrorKind::Unsupported);
    let options = MetadataOptions { extra: unknown(), ..MetadataOptions::default() };
    refused(checked.backend.get_metadata(&key, options).await, ErrorKind::Unsupported);
}

async fn an_unknown_option_of_a_delete_is_refused(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let options = DeleteOptions { extra: unknown(), ..DeleteOptions::default() };
    refused(checked.backend.delete(&key, options).await, ErrorKind::Unsupported);
    checked.holds(&key, Content::new(1, 10)).await;
}

async fn an_unknown_option_of_a_listing_is_refused(checked: Checked) {
    let options = ListOptions { extra: unknown(), ..ListOptions::default() };
    refused(checked.backend.list_files(options).await, ErrorKind::Unsupported);
}

async fn an_unknown_option_of_a_copy_is_refused(checked: Checked) {
    let (from, to) = (checked.key("from"), checked.key("to"));
    checked.save(&from, Content::new(1, 10)).await;
    let replace = SaveOptions { extra: unknown(), ..SaveOptions::default() };
    for options in [
        CopyOptions { extra: unknown(), ..CopyOptions::default() },
        CopyOptions { replace: Some(replace), ..CopyOptions::default() },
    ] {
        refused(checked.backend.copy(&from, &to, options).await, ErrorKind::Unsupported);
        checked.is_missing(&to).await;
    }
}

async fn an_unknown_option_of_an_upload_is_refused(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions { extra: unknown(), ..SaveOptions::default() };
    refused(checked.backend.begin_multipart(&key, options).await, ErrorKind::Unsupported);
    let upload = checked.begin(&key).await;
    let options = PartOptions { extra: unknown(), ..PartOptions::default() };
    let body = Content::new(1, 10).body(Chunking::Buffer);
    refused(checked.backend.upload_part(&key, &upload, 1, body, options).await, ErrorKind::Unsupported);
    let parts = vec![checked.part(&key, &upload, 1, Content::new(1, 10)).await];
    let options = CompleteOptions { extra: unknown(), ..CompleteOptions::default() };
    let answer = checked.backend.complete_multipart(&key, &upload, parts, options).await;
    refused(answer, ErrorKind::Unsupported);
    checked.is_missing(&key).await;
}

async fn an_unknown_option_of_a_url_is_refused(checked: Checked) {
    let hour = std::time::Duration::from_secs(3600);
    let request = PresignRequest::new(checked.key("object"), PresignMethod::Get, hour);
    let request = PresignRequest { extra: unknown(), ..request };
    refused(checked.backend.presign(request).await, ErrorKind::Unsupported);
}

async fn an_unknown_option_of_a_move_is_refused(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let options = SetTierOptions { extra: unknown(), ..SetTierOptions::default() };
    refused(checked.backend.set_tier(&key, Tier::Hot, options).await, ErrorKind::Unsupported);
}

async fn an_unknown_option_of_a_restore_is_refused(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    checked.backend.set_tier(&key, Tier::Glacier, SetTierOptions::default()).await.expect("archived");
    let options = RestoreOptions { extra: unknown(), ..RestoreOptions::default() };
    refused(checked.backend.restore(&key, options).await, ErrorKind::Unsupported);
}

async fn content_beyond_the_limit_is_refused(checked: Checked) {
    let limits = checked.backend.info().limits.clone();
    let limit = limits.max_single_save_bytes.into_iter().chain(limits.max_object_bytes).min();
    // Only a limit that a test can afford to pass is tried; a larger one is seen to allow 100 MiB.
    let key = checked.key("object");
    let Some(limit) = limit.filter(|limit| *limit <= 128 << 20) else {
        checked.save(&key, Content::new(1, 100 << 20)).await;
        return;
    };
    checked.save(&key, Content::new(1, 10)).await;
    for chunking in [Chunking::Even, Chunking::Undeclared] {
        let body = Content::new(2, limit + 1).body(chunking);
        let answer = checked.backend.save(&key, body, SaveOptions::default()).await;
        refused(answer, ErrorKind::TooLarge);
    }
    checked.nothing_but(&["object"]).await;
    checked.holds(&key, Content::new(1, 10)).await;
}
