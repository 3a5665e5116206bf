//! Large files: whole, and with little memory.

use futures_util::{StreamExt as _, stream};
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, SaveOptions};

use crate::rig::{Rig, content, key};

const SIZE: usize = 256 << 20;

/// The largest resident memory of this process so far, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak is told");
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_256_mib_goes_up_and_down_with_little_memory() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let chunk = content(CHUNK_BYTES);
    let before = peak_bytes();
    for length in [Some(SIZE as u64), None] {
        let chunks = stream::iter((0..SIZE / CHUNK_BYTES).map({
            let chunk = chunk.clone();
            move |_| Ok(chunk.clone())
        }));
        let body = ByteStream::from_stream(chunks, length);
        let saved = backend.save(&key("large"), body, SaveOptions::default()).await.expect("saved");
        assert_eq!(saved.size_bytes, SIZE as u64);
        let mut found = backend.retrieve(&key("large"), Default::default()).await.expect("found");
        let mut at = 0;
        while let Some(piece) = found.body.next().await {
            let mut piece = piece.expect("a chunk");
            while !piece.is_empty() {
                let place = at % CHUNK_BYTES;
                let part = piece.split_to(piece.len().min(CHUNK_BYTES - place));
                assert!(part == chunk[place..place + part.len()], "the bytes differ after {at}");
                at += part.len();
            }
        }
        assert_eq!(at, SIZE);
    }
    let grown = peak_bytes() - before;
    assert!(grown < 200 << 20, "{} MiB more were resident", grown >> 20);
}
