//! A large object at a provider that is far away: the plugin's parts side by side, and one stream.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

use crate::clients;
use crate::contest::{Contest, throughput};
use crate::delay::Delay;
use crate::environment::Environment;
use crate::row::{Row, Unit};
use crate::weed::Weed;

pub(crate) const ROWS: &[&str] = &["latency-put", "latency-get"];

const ROUND_TRIP: Duration = Duration::from_millis(20);
const ONE_STREAM: &str = "one stream";
const FASTER: f64 = 4.0;

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    environment.library("storage_backend_minio")?;
    let folder = environment.scratch()?;
    let weed = Weed::start(environment, folder.path()).await?;
    let far = Delay::to(weed.address, ROUND_TRIP).await?;
    let endpoint = format!("http://{}", far.address);
    let ours = &clients::s3_plugin(environment, "minio", &endpoint).await?;
    let one_stream = &clients::s3_sdk(&endpoint);
    // One stream takes five seconds for so much.
    let content = &Bytes::from(vec![7; usize::try_from(environment.large_bytes / 4)?]);
    let bytes = content.len() as u64;
    let work = |way: &str| format!("{way} of {} MiB, 20 ms and 1 MiB of window away", bytes >> 20);
    let mut rows = Vec::new();
    if environment.wants("latency-put") {
        let contest = Contest::new("latency-put", work("put"), Unit::BytesPerSecond)
            .contender("minio", || throughput(bytes, ours.put_large("large.bin", content)))
            .contender(ONE_STREAM, || throughput(bytes, one_stream.put_large("large.bin", content)))
            .at_least(FASTER, ONE_STREAM);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    if environment.wants("latency-get") {
        ours.put_large("large.bin", content).await?;
        let contest = Contest::new("latency-get", work("get"), Unit::BytesPerSecond)
            .contender("minio", || throughput(bytes, ours.get("large.bin", content.len())))
            .contender(ONE_STREAM, || throughput(bytes, one_stream.get("large.bin", content.len())))
            .at_least(FASTER, ONE_STREAM);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    Ok(rows)
}
