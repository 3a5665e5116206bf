//! Every operation of the contract, called with the examples: used wherever something holds for all of them.

use std::fmt::Debug;

use bytes::Bytes;
use storage_core::{Backend, ByteStream, Result, Tier, VersionId};
use storage_tests::examples as e;

use crate::key;

/// One call: the operation, the arguments and the answer that the probe's example is, as text, and what came.
pub(crate) struct Called {
    pub(crate) operation: &'static str,
    pub(crate) arguments: String,
    pub(crate) expected: String,
    pub(crate) answer: Result<String>,
}

fn text(value: impl Debug) -> String {
    format!("{value:?}")
}

/// Calls every operation that crosses the boundary.
pub(crate) async fn call_all(backend: &dyn Backend) -> Vec<Called> {
    let mut calls = Vec::new();
    macro_rules! call {
        ($operation:ident($($argument:expr),*), $sent:expr, $expected:expr) => {
            call!($operation($($argument),*), $sent, $expected, |answer| answer)
        };
        ($operation:ident($($argument:expr),*), $sent:expr, $expected:expr, $shown:expr) => {{
            let answer = backend.$operation($($argument),*).await;
            calls.push(Called {
                operation: stringify!($operation),
                arguments: text($sent),
                expected: text($expected),
                answer: answer.map($shown).map(text),
            });
        }};
    }
    let (k, other, upload) = (&e::key(), &key("other"), &e::upload_id());
    let body = || ByteStream::from_bytes("body");
    let version = || Some(VersionId::new("v"));

    call!(health(), (), e::health());
    call!(save(k, body(), e::save_options()), (k, e::save_options()), e::save_result());
    call!(
        retrieve(k, e::retrieve_options()),
        (k, e::retrieve_options()),
        (e::meta(), 3..8, Some(Bytes::from_static(b"bytes"))),
        |r| (r.meta, r.range, r.body.as_buffer().cloned())
    );
    call!(delete(k, e::delete_options()), (k, e::delete_options()), e::delete_result());
    call!(delete_many(vec![k.clone(), other.clone()]), [k, other], e::delete_results());
    call!(get_metadata(k, e::metadata_options()), (k, e::metadata_options()), e::meta());
    call!(list_files(e::list_options()), e::list_options(), e::list_page());
    call!(copy(k, other, e::copy_options()), (k, other, e::copy_options()), e::save_result());
    let shown = |url: storage_core::PresignedUrl| (url.url, url.headers, url.expires_at);
    call!(presign(e::presign_request()), e::presign_request(), shown(e::presigned_url()), shown);
    call!(begin_multipart(k, e::save_options()), (k, e::save_options()), e::upload_id());
    call!(upload_part(k, upload, 7, body(), e::part_options()), (k, upload, 7, e::part_options()), e::part());
    call!(
        complete_multipart(k, upload, vec![e::part()], e::complete_options()),
        (k, upload, [e::part()], e::complete_options()),
        e::save_result()
    );
    call!(abort_multipart(k, upload), (k, upload), e::abort_result());
    call!(
        list_parts(k, upload, e::list_parts_options()),
        (k, upload, e::list_parts_options()),
        e::part_page()
    );
    call!(list_uploads(e::list_uploads_options()), e::list_uploads_options(), e::upload_page());
    call!(list_versions(e::list_versions_options()), e::list_versions_options(), e::version_page());
    call!(set_tier(k, Tier::Warm, e::set_tier_options()), (k, Tier::Warm, e::set_tier_options()), ());
    call!(restore(k, e::restore_options()), (k, e::restore_options()), ());
    call!(restore_status(k, version()), (k, version()), e::restore_status());
    call!(apply_lifecycle(e::lifecycle_rules()), e::lifecycle_rules(), e::lifecycle_report());
    call!(invoke("anything", e::json()), ("anything", e::json()), e::json());
    call!(exists(&key("at-once")), key("at-once"), true);
    call!(close(), (), ());
    calls
}
