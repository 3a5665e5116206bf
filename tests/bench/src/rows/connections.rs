//! What a thousand clients cost that do nothing, or almost nothing: in memory, and to the others.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::contest::Contest;
use crate::environment::Environment;
use crate::host::Host;
use crate::row::{Contender, Floor, Row, Unit};
use crate::wrk;

pub(crate) const ROWS: &[&str] =
    &["connections-idle-memory", "connections-idle-p99", "connections-slow-memory", "connections-slow-p99"];

const CLIENTS: usize = 1_000;
const OTHERS: usize = 16;
const SMALL_BYTES: u64 = 4 * 1024;

/// What the service may hold more, in bytes.
const ADDED_BYTES: f64 = 100.0 * 1024.0 * 1024.0;

/// The others may wait a fifth longer.
const P99_RATIO: f64 = 0.83;

/// What a slow client has announced, sends at first, and sends then, again and again.
const SLOW_BYTES: usize = 64 * 1024 * 1024;
const SLOW_FIRST_BYTES: usize = 256 * 1024;
const SLOW_PIECE_BYTES: usize = 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(500);

/// After so long the clients have become slow, or are gone: they all begin at once, and with haste.
const SETTLED: Duration = Duration::from_millis(1500);

const WITH: &str = "with them";
const WITHOUT: &str = "without";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let host = &Host::start(environment, &folder.path().join("host")).await?;
    let path = &host.save("small.bin", SMALL_BYTES).await?;
    // What the first requests allocate is no cost of the clients.
    others(environment, host, path).await?;
    let mut rows = Vec::new();
    let idle = "1,000 idle connections";
    if environment.wants("connections-idle-memory") {
        let before = host.resident_bytes()?.0;
        let clients = idle_clients(host, path).await?;
        rows.push(memory("connections-idle-memory", idle, host.resident_bytes()?.0, before));
        drop(clients);
    }
    if environment.wants("connections-idle-p99") {
        let contest =
            Contest::new("connections-idle-p99", format!("p99 of others beside {idle}"), Unit::Milliseconds)
                .contender(WITH, || async {
                    let clients = idle_clients(host, path).await?;
                    let p99 = others(environment, host, path).await;
                    drop(clients);
                    p99
                })
                .contender(WITHOUT, || others(environment, host, path))
                .at_least(P99_RATIO, WITHOUT);
        rows.push(contest.run(environment.rounds).await?);
    }
    let slow = "1,000 slow uploads";
    if environment.wants("connections-slow-memory") {
        let before = host.resident_bytes()?.0;
        host.forget_peak()?;
        let clients = slow_clients(host).await?;
        tokio::time::sleep(SETTLED).await;
        rows.push(memory("connections-slow-memory", slow, host.resident_bytes()?.1, before));
        drop(clients);
    }
    if environment.wants("connections-slow-p99") {
        let contest =
            Contest::new("connections-slow-p99", format!("p99 of others beside {slow}"), Unit::Milliseconds)
                .contender(WITH, || async {
                    let clients = slow_clients(host).await?;
                    tokio::time::sleep(SETTLED).await;
                    let p99 = others(environment, host, path).await;
                    drop(clients);
                    p99
                })
                .contender(WITHOUT, || async {
                    // The service clears away what the clients before have left.
                    tokio::time::sleep(SETTLED).await;
                    others(environment, host, path).await
                })
                .at_least(P99_RATIO, WITHOUT);
        rows.push(contest.run(environment.rounds).await?);
    }
    Ok(rows)
}

fn memory(name: &str, work: &str, with: u64, without: u64) -> Row {
    let contender =
        |name: &str, figure: u64| Contender { name: name.to_owned(), rounds: vec![figure as f64] };
    Row {
        name: name.to_owned(),
        work: format!("memory held with {work}"),
        unit: Unit::Bytes,
        contenders: vec![contender(WITH, with), contender(WITHOUT, without)],
        floors: vec![Floor::Added { to: WITHOUT.to_owned(), at_most: ADDED_BYTES }],
    }
}

/// The 99th percentile of what others wait for a small file, in milliseconds.
async fn others(environment: &Environment, host: &Host, path: &str) -> Result<f64> {
    let url = format!("http://{}{path}", host.address);
    Ok(wrk::run(&url, &host.headers, OTHERS, environment.round_time, None).await?.p99_ms)
}

/// Connections that have been used once, and stay open.
async fn idle_clients(host: &Host, path: &str) -> Result<Vec<TcpStream>> {
    let head = host.request("GET", path).head(None);
    try_join_all((0..CLIENTS).map(|_| async {
        let mut stream = TcpStream::connect(host.address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let read = stream.read_buf(&mut answer).await?;
            ensure!(read > 0, "the service closed a connection");
        }
        Ok(stream)
    }))
    .await
}

/// Whether an answer has arrived with its body.
fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    end.is_some_and(|end| answer.len() >= end + 4 + usize::try_from(SMALL_BYTES).unwrap_or(usize::MAX))
}

/// Uploads that go on as long as what is given is kept. Each sends at a moment of its own: a thousand at once would be a
/// crowd, and not slow.
async fn slow_clients(host: &Host) -> Result<JoinSet<Result<()>>> {
    let head = host.request("POST", "/v1/files?filename=slow.bin").head(Some(SLOW_BYTES as u64));
    let streams = try_join_all((0..CLIENTS).map(|_| begin_slowly(host.address, &head))).await?;
    let mut clients = JoinSet::new();
    for (number, mut stream) in (0..).zip(streams) {
        clients.spawn(async move {
            tokio::time::sleep(SLOW_PAUSE * number / CLIENTS as u32).await;
            loop {
                tokio::time::sleep(SLOW_PAUSE).await;
                stream.write_all(&[7; SLOW_PIECE_BYTES]).await?;
            }
        });
    }
    Ok(clients)
}

async fn begin_slowly(address: SocketAddr, head: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![7; SLOW_FIRST_BYTES]).await?;
    Ok(stream)
}
