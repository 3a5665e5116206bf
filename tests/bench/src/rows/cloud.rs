//! Objects at a provider, through the loaded plugin and through the libraries that people use instead, on one server.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Result;
use bytes::Bytes;

use crate::clients::{self, Server};
use crate::contest::{Contest, rate, throughput};
use crate::environment::Environment;
use crate::row::{Row, Unit};
use crate::stores::Store;
use crate::weed::Weed;

pub(crate) const MINIO_ROWS: &[&str] = &["minio-put-4k", "minio-get-4k", "minio-put-256m", "minio-get-256m"];
pub(crate) const AWS_ROWS: &[&str] =
    &["aws_s3-put-4k", "aws_s3-get-4k", "aws_s3-put-256m", "aws_s3-get-256m"];
pub(crate) const AZURE_ROWS: &[&str] =
    &["azure_blob-put-4k", "azure_blob-get-4k", "azure_blob-put-64m", "azure_blob-get-64m"];
pub(crate) const GCS_ROWS: &[&str] = &["gcs-put-4k", "gcs-get-4k", "gcs-put-64m", "gcs-get-64m"];

const CALLERS: usize = 16;
const SMALL_BYTES: usize = 4 * 1024;

/// So many small objects are read, again and again.
const SMALL_OBJECTS: u64 = 256;

/// Who competes, the plugin first, and how good that must be against each of the others.
struct Field {
    backend_type: &'static str,
    stores: Vec<(&'static str, Store)>,
    floors: &'static [f64],
    large_mib: usize,
}

pub(crate) async fn minio(environment: &Environment) -> Result<Vec<Row>> {
    s3(environment, "minio").await
}

pub(crate) async fn aws(environment: &Environment) -> Result<Vec<Row>> {
    s3(environment, "aws_s3").await
}

async fn s3(environment: &Environment, backend_type: &'static str) -> Result<Vec<Row>> {
    // Told before a server is started for nothing.
    environment.library(&format!("storage_backend_{backend_type}"))?;
    let folder = environment.scratch()?;
    let weed = Weed::start(environment, folder.path()).await?;
    let endpoint = weed.endpoint();
    let stores = vec![
        (backend_type, clients::s3_plugin(environment, backend_type, &endpoint).await?),
        ("aws-sdk-s3", clients::s3_sdk(&endpoint)),
        ("opendal", clients::s3_opendal(&endpoint)?),
        ("object_store", clients::s3_object_store(&endpoint)?),
    ];
    measure(environment, &Field { backend_type, stores, floors: &[0.95, 1.0, 1.0], large_mib: 256 }).await
}

pub(crate) async fn azure(environment: &Environment) -> Result<Vec<Row>> {
    let [ours, theirs] = clients::azure(environment, &Server::find(environment, "azurite")?).await?;
    two(environment, "azure_blob", ours, theirs).await
}

pub(crate) async fn gcs(environment: &Environment) -> Result<Vec<Row>> {
    let [ours, theirs] = clients::gcs(environment, &Server::find(environment, "fake_gcs")?).await?;
    two(environment, "gcs", ours, theirs).await
}

async fn two(
    environment: &Environment,
    backend_type: &'static str,
    ours: Store,
    theirs: Store,
) -> Result<Vec<Row>> {
    let stores = vec![(backend_type, ours), ("object_store", theirs)];
    measure(environment, &Field { backend_type, stores, floors: &[1.0], large_mib: 64 }).await
}

async fn measure(environment: &Environment, field: &Field) -> Result<Vec<Row>> {
    let Field { backend_type, large_mib, .. } = field;
    let small = Bytes::from(vec![7; SMALL_BYTES]);
    let large = Bytes::from(vec![7; large_mib << 20]);
    let mut rows = Vec::new();
    let name = format!("{backend_type}-put-4k");
    if environment.wants(&name) {
        let numbers = &Arc::new(AtomicU64::new(0));
        let contest = contest(&name, "put of 4 KiB, 16 at once", Unit::CallsPerSecond, field, |store| {
            let (store, small) = (store.clone(), small.clone());
            rate(CALLERS, environment.round_time, numbers, move |number| {
                let (store, small) = (store.clone(), small.clone());
                async move { store.put(&format!("put/{number:08}.bin"), small).await }
            })
        });
        rows.push(contest.run(environment.rounds).await?);
    }
    let name = format!("{backend_type}-get-4k");
    if environment.wants(&name) {
        let (_, store) = &field.stores[0];
        for number in 0..SMALL_OBJECTS {
            store.put(&small_name(number), small.clone()).await?;
        }
        let numbers = &Arc::new(AtomicU64::new(0));
        let contest = contest(&name, "get of 4 KiB, 16 at once", Unit::CallsPerSecond, field, |store| {
            let store = store.clone();
            rate(CALLERS, environment.round_time, numbers, move |number| {
                let store = store.clone();
                async move { store.get(&small_name(number), SMALL_BYTES).await }
            })
        });
        rows.push(contest.run(environment.rounds).await?);
    }
    let bytes = large.len() as u64;
    let name = format!("{backend_type}-put-{large_mib}m");
    if environment.wants(&name) {
        let work = format!("put of {large_mib} MiB, which arrives in chunks");
        let contest = contest(&name, &work, Unit::BytesPerSecond, field, |store| {
            throughput(bytes, store.put_large("large.bin", &large))
        });
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    let name = format!("{backend_type}-get-{large_mib}m");
    if environment.wants(&name) {
        field.stores[0].1.put_large("large.bin", &large).await?;
        let work = format!("get of {large_mib} MiB");
        let contest = contest(&name, &work, Unit::BytesPerSecond, field, |store| {
            throughput(bytes, store.get("large.bin", large.len()))
        });
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    Ok(rows)
}

fn contest<'a, F>(
    name: &str,
    work: &str,
    unit: Unit,
    field: &'a Field,
    round: impl Fn(&'a Store) -> F + Clone + 'a,
) -> Contest<'a>
where
    F: Future<Output = Result<f64>> + 'a,
{
    let mut contest = Contest::new(name, work, unit);
    for (contender, store) in &field.stores {
        let round = round.clone();
        contest = contest.contender(contender, move || round(store));
    }
    for ((contender, _), floor) in field.stores.iter().skip(1).zip(field.floors) {
        contest = contest.at_least(*floor, contender);
    }
    contest
}

fn small_name(number: u64) -> String {
    format!("get/{:03}.bin", number % SMALL_OBJECTS)
}
