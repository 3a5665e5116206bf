//! Expected digests: right ones are kept, wrong ones keep the content out.

use storage_core::{Capabilities, Checksums, ErrorKind, SaveOptions};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

const CONTENT: Content = Content::new(3, 700_001);

/// Picks one digest.
type Pick = fn(Checksums) -> Checksums;

const ALGORITHMS: [(&str, Capabilities, Pick); 4] = [
    ("sha256", Capabilities::VERIFY_SHA256, |all| Checksums { sha256: all.sha256, ..Checksums::default() }),
    ("md5", Capabilities::VERIFY_MD5, |all| Checksums { md5: all.md5, ..Checksums::default() }),
    ("crc32c", Capabilities::VERIFY_CRC32C, |all| Checksums { crc32c: all.crc32c, ..Checksums::default() }),
    ("crc64nvme", Capabilities::VERIFY_CRC64NVME, |all| Checksums {
        crc64nvme: all.crc64nvme,
        ..Checksums::default()
    }),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases![
        several_right_digests_are_all_taken [VERIFY_SHA256, VERIFY_CRC32C],
        one_wrong_digest_among_right_ones_is_found [VERIFY_SHA256, VERIFY_CRC32C],
        a_digest_of_nothing_is_checked [VERIFY_SHA256],
    ];
    for (name, capability, pick) in ALGORITHMS {
        for chunking in [Chunking::Buffer, Chunking::Odd] {
            let right = format!("a_right_{name}_of_{}_is_taken", chunking.name());
            let run = move |checked| a_right_digest_is_taken(checked, pick, chunking);
            cases.push(Case::new(module_path!(), right, run).with(capability));
            let wrong = format!("a_wrong_{name}_of_{}_stores_nothing", chunking.name());
            let run = move |checked| a_wrong_digest_stores_nothing(checked, pick, chunking);
            cases.push(Case::new(module_path!(), wrong, run).with(capability));
        }
        let run = move |checked| a_wrong_digest_leaves_the_old(checked, pick);
        cases.push(Case::new(module_path!(), format!("a_wrong_{name}_leaves_the_old"), run).with(capability));
    }
    cases
}

fn expecting(checksums: Checksums) -> SaveOptions {
    SaveOptions { checksums, ..SaveOptions::default() }
}

async fn a_right_digest_is_taken(checked: Checked, pick: Pick, chunking: Chunking) {
    let key = checked.key("object");
    let options = expecting(pick(CONTENT.checksums()));
    checked.backend.save(&key, CONTENT.body(chunking), options).await.expect("the digest is right");
    checked.holds(&key, CONTENT).await;
}

async fn a_wrong_digest_stores_nothing(checked: Checked, pick: Pick, chunking: Chunking) {
    let key = checked.key("object");
    let options = expecting(pick(Content::new(4, 1).checksums()));
    let answer = checked.backend.save(&key, CONTENT.body(chunking), options).await;
    refused(answer, ErrorKind::ChecksumMismatch);
    checked.is_missing(&key).await;
    checked.nothing_but(&[]).await;
}

async fn a_wrong_digest_leaves_the_old(checked: Checked, pick: Pick) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let options = expecting(pick(Content::new(4, 1).checksums()));
    let answer = checked.backend.save(&key, CONTENT.body(Chunking::Even), options).await;
    refused(answer, ErrorKind::ChecksumMismatch);
    checked.holds(&key, Content::new(1, 10)).await;
    checked.nothing_but(&["object"]).await;
}

async fn several_right_digests_are_all_taken(checked: Checked) {
    let all = CONTENT.checksums();
    let two = Checksums { sha256: all.sha256, crc32c: all.crc32c, ..Checksums::default() };
    checked.save_with(&checked.key("object"), CONTENT, expecting(two)).await;
    checked.holds(&checked.key("object"), CONTENT).await;
}

async fn one_wrong_digest_among_right_ones_is_found(checked: Checked) {
    let (right, wrong) = (CONTENT.checksums(), Content::new(4, 1).checksums());
    for mixed in [
        Checksums { sha256: right.sha256, crc32c: wrong.crc32c, ..Checksums::default() },
        Checksums { sha256: wrong.sha256, crc32c: right.crc32c, ..Checksums::default() },
    ] {
        let key = checked.key("object");
        let answer = checked.backend.save(&key, CONTENT.body(Chunking::Even), expecting(mixed)).await;
        refused(answer, ErrorKind::ChecksumMismatch);
        checked.is_missing(&key).await;
    }
}

async fn a_digest_of_nothing_is_checked(checked: Checked) {
    let key = checked.key("object");
    let sha256 = |content: Content| Checksums { sha256: Some(content.sha256()), ..Checksums::default() };
    let nothing = Content::new(1, 0);
    let wrong = expecting(sha256(Content::new(1, 1)));
    refused(
        checked.backend.save(&key, nothing.body(Chunking::Buffer), wrong).await,
        ErrorKind::ChecksumMismatch,
    );
    checked.is_missing(&key).await;
    checked.save_with(&key, nothing, expecting(sha256(nothing))).await;
    checked.holds(&key, nothing).await;
}
