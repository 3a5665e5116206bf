//! [`Delay`]: a way to a server that is far: every byte takes its time, and so much may be on the way at once, as on a
//! TCP connection over a distance.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What is read at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// So many pieces may be under way on a connection, in each direction: 1 MiB, a common window.
const PIECES_UNDER_WAY: usize = 16;

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Delay {
    pub(crate) address: SocketAddr,
    running: JoinHandle<()>,
}

impl Delay {
    /// A way to this server on which a round trip takes so long.
    ///
    /// # Errors
    ///
    /// There is no port to listen on.
    pub(crate) async fn to(server: SocketAddr, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, server, round_trip / 2));
            }
        });
        Ok(Self { address, running })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn connect(client: TcpStream, server: SocketAddr, delay: Duration) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // What is left of the connection is of no use where the options cannot be set; both ends see it close.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(carry(from_client, to_server, delay), carry(from_server, to_client, delay));
}

/// Carries bytes in one direction. What arrives goes on when its time has come, however much came before it.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_UNDER_WAY);
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            match from.read(&mut piece).await {
                Ok(read) if read > 0 => piece.truncate(read),
                // The end, or a broken connection: the other side is told by the end of what it is sent.
                _ => return,
            }
            if sender.send((Instant::now() + delay, piece)).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The other side has closed already where this fails.
        to.shutdown().await.ok();
    };
    tokio::join!(reading, writing);
}
