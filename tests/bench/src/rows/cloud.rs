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

/// Who competes.
struct Field {
    backend_type: &'static str,
    /// The plugin.
    ours: Store,
    theirs: Vec<Peer>,
    large_mib: usize,
}

/// Another library, and how good the plugin must be against it.
struct Peer {
    name: &'static str,
    store: Store,
    floor: f64,
    /// Whether the server knows the requests with which it writes.
    writes: bool,
}

impl Peer {
    fn new(name: &'static str, store: Store, floor: f64) -> Self {
        Self { name, store, floor, writes: true }
    }
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
    let field = Field {
        backend_type,
        ours: clients::s3_plugin(environment, backend_type, &endpoint).await?,
        theirs: vec![
            Peer::new("aws-sdk-s3", clients::s3_sdk(&endpoint), 0.95),
            Peer::new("opendal", clients::s3_opendal(&endpoint)?, 1.0),
            Peer::new("object_store", clients::s3_object_store(&endpoint)?, 1.0),
        ],
        large_mib: 256,
    };
    measure(environment, &field).await
}

pub(crate) async fn azure(environment: &Environment) -> Result<Vec<Row>> {
    let [ours, theirs] = clients::azure(environment, &Server::find(environment, "azurite")?).await?;
    let theirs = vec![Peer::new("object_store", theirs, 1.0)];
    measure(environment, &Field { backend_type: "azure_blob", ours, theirs, large_mib: 64 }).await
}

pub(crate) async fn gcs(environment: &Environment) -> Result<Vec<Row>> {
    let [ours, opendal, object_store] =
        clients::gcs(environment, &Server::find(environment, "fake_gcs")?).await?;
    let theirs = vec![
        Peer::new("opendal", opendal, 1.0),
        // It writes with requests of the XML API, which the emulator does not know.
        Peer { writes: false, ..Peer::new("object_store", object_store, 1.0) },
    ];
    measure(environment, &Field { backend_type: "gcs", ours, theirs, large_mib: 64 }).await
}

async fn measure(environment: &Environment, field: &Field) -> Result<Vec<Row>> {
    let Field { backend_type, large_mib, .. } = field;
    let small = Bytes::from(vec![7; SMALL_BYTES]);
    let large = Bytes::from(vec![7; large_mib << 20]);
    let mut rows = Vec::new();
    let name = format!("{backend_type}-put-4k");
    if environment.wants(&name) {
        let numbers = &Arc::new(AtomicU64::new(0));
        let contest =
            contest(&name, "put of 4 KiB, 16 at once", Unit::CallsPerSecond, field, can_write, |store| {
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
        for number in 0..SMALL_OBJECTS {
            field.ours.put(&small_name(number), small.clone()).await?;
        }
        let numbers = &Arc::new(AtomicU64::new(0));
        let contest =
            contest(&name, "get of 4 KiB, 16 at once", Unit::CallsPerSecond, field, everybody, |store| {
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
        let contest = contest(&name, &work, Unit::BytesPerSecond, field, can_write, |store| {
            throughput(bytes, store.put_large("large.bin", &large))
        });
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    let name = format!("{backend_type}-get-{large_mib}m");
    if environment.wants(&name) {
        field.ours.put_large("large.bin", &large).await?;
        let work = format!("get of {large_mib} MiB");
        let contest = contest(&name, &work, Unit::BytesPerSecond, field, everybody, |store| {
            throughput(bytes, store.get("large.bin", large.len()))
        });
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    Ok(rows)
}

/// A contest of the plugin with those of its peers that compete.
fn contest<'a, F>(
    name: &str,
    work: &str,
    unit: Unit,
    field: &'a Field,
    competes: fn(&Peer) -> bool,
    round: impl Fn(&'a Store) -> F + Clone + 'a,
) -> Contest<'a>
where
    F: Future<Output = Result<f64>> + 'a,
{
    let ours = round.clone();
    let contest = Contest::new(name, work, unit).contender(field.backend_type, move || ours(&field.ours));
    field.theirs.iter().filter(|peer| competes(peer)).fold(contest, |contest, peer| {
        let theirs = round.clone();
        contest.contender(peer.name, move || theirs(&peer.store)).at_least(peer.floor, peer.name)
    })
}

/// Writing is a contest of those only whose requests the server knows.
fn can_write(peer: &Peer) -> bool {
    peer.writes
}

fn everybody(_: &Peer) -> bool {
    true
}

fn small_name(number: u64) -> String {
    format!("get/{:03}.bin", number % SMALL_OBJECTS)
}
