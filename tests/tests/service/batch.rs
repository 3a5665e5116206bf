//! Batches: one result per file, in order.

use storage_core::{ByteStream, Error, ErrorKind};
use storage_host::catalog::Quota;
use storage_host::service::{BatchItem, SaveFileOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::Rig;

use super::{KIB, MIB, user};

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_a_batch_has_its_result_in_order_and_one_that_fails_concerns_no_other() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let quota = Quota { max_bytes: Some(10 * MIB), max_files: None };
        rig.service.set_quota(&ann, Some(quota)).await.expect("set");
        let item = |number: u64| {
            let content = Content::new(number, 100 * KIB + number);
            let (file, filename): (ByteStream, _) = match number {
                3 => (content.body(Chunking::Odd), "bad\r\nname".to_owned()),
                7 => {
                    let gone = Error::new(ErrorKind::Cancelled, "the client went away");
                    (content.body_that_fails(70 * KIB, gone), "7.bin".to_owned())
                }
                11 => (Content::new(1, 20 * MIB).body(Chunking::Even), "11.bin".to_owned()),
                _ => (content.body(Chunking::ALL[number as usize % 4]), format!("{number}.bin")),
            };
            BatchItem { file, filename, options: SaveFileOptions::default() }
        };
        let results = rig.service.save_batch(&ann, (0..20).map(item).collect()).await;
        assert_eq!(results.len(), 20);
        for (number, result) in (0..).zip(&results) {
            let expected = match number {
                3 => Some(ErrorKind::InvalidArgument),
                7 => Some(ErrorKind::Cancelled),
                11 => Some(ErrorKind::QuotaExceeded),
                _ => None,
            };
            match (result, expected) {
                (Ok(file), None) => {
                    assert_eq!(file.filename, format!("{number}.bin"));
                    assert_eq!(file.sha256, Content::new(number, 100 * KIB + number).sha256());
                }
                (Err(error), Some(kind)) => assert_eq!(error.kind(), kind, "{number}"),
                _ => panic!("{number}: {result:?}"),
            }
        }
        rig.settles(&ann, 17).await;
        assert!(rig.service.save_batch(&ann, Vec::new()).await.is_empty());
    }
}
