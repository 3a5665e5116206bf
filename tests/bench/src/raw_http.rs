//! HTTP/1.1 with as little between the socket and the figures as can be: the client runs on the same machine as what
//! it measures, and what it needs is taken from the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const PIECE_BYTES: usize = 1024 * 1024;

/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) address: SocketAddr,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    fn open(&self, length_bytes: Option<u64>) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(self.head(length_bytes).as_bytes())?;
        Ok(stream)
    }

    /// What is sent before the body.
    pub(crate) fn head(&self, length_bytes: Option<u64>) -> String {
        let Self { address, method, path, headers } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length_bytes {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// Sends a body of so many bytes and gives the body of the answer.
///
/// # Errors
///
/// The server does not answer, or not with success.
pub(crate) async fn upload(request: Request, bytes: u64) -> Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut stream = request.open(Some(bytes))?;
        let piece = vec![7; PIECE_BYTES];
        let mut left = bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            stream.write_all(&piece[..length]).context("sending the body")?;
            left -= length as u64;
        }
        let mut reader = BufReader::new(stream);
        let length = read_head(&mut reader)?;
        let mut answer = vec![0; usize::try_from(length)?];
        reader.read_exact(&mut answer)?;
        Ok(answer)
    })
    .await?
}

/// Reads an answer of so many bytes and drops them.
///
/// # Errors
///
/// The server does not answer, not with success, or with another length.
pub(crate) async fn download(request: Request, bytes: u64) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::with_capacity(PIECE_BYTES, request.open(None)?);
        let length = read_head(&mut reader)?;
        ensure!(length == bytes, "the answer has {length} bytes instead of {bytes}");
        let mut left = bytes;
        while left > 0 {
            let available = reader.fill_buf()?.len();
            ensure!(available > 0, "the answer broke off");
            let taken = available.min(usize::try_from(left).unwrap_or(available));
            reader.consume(taken);
            left -= taken as u64;
        }
        Ok(())
    })
    .await?
}

/// Asks for an answer that is a success, whatever it says.
///
/// # Errors
///
/// The server does not answer, or not with success.
pub(crate) async fn probe(request: Request) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        read_head(&mut BufReader::new(request.open(None)?))?;
        Ok(())
    })
    .await?
}

/// Reads up to the body of an answer, which must be a success, and gives its length.
fn read_head(reader: &mut impl BufRead) -> Result<u64> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.trim().to_owned();
    let succeeded = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    if !succeeded {
        let mut body = vec![0; usize::try_from(length)?.min(2048)];
        reader.read_exact(&mut body)?;
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(length)
}
