//! Free ports, and how to tell that a server answers on one.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

/// A question that a server answers once it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// `HOST:PORT`.
    address: String,
    /// What to ask for over HTTP; none if being connected to is answer enough.
    path: Option<String>,
}

impl Probe {
    /// A `GET` that must be answered with success.
    pub(crate) fn http(address: &str, path: &str) -> Self {
        Self { address: address.to_owned(), path: Some(path.to_owned()) }
    }

    /// Whether anything listens where this address leads.
    pub(crate) fn listening(endpoint: &str) -> Result<Self> {
        let (scheme, rest) = endpoint.split_once("://").context("it has no scheme, such as http://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => bail!("it begins neither with http:// nor with https://"),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        ensure!(!authority.is_empty(), "it names no host");
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { authority.to_owned() } else { format!("{authority}:{default_port}") };
        Ok(Self { address, path: None })
    }

    /// The form in which [`Display`](fmt::Display) writes it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some(address) = text.strip_prefix("tcp://") {
            return Ok(Self { address: address.to_owned(), path: None });
        }
        let rest = text.strip_prefix("http://").context("not a probe")?;
        let (address, path) = rest.split_once('/').context("not a probe")?;
        Ok(Self { address: address.to_owned(), path: Some(format!("/{path}")) })
    }

    /// Why the server is not ready, if it is not.
    pub(crate) fn ask(&self) -> Result<()> {
        let limit = Duration::from_secs(5);
        let address: SocketAddr = self
            .address
            .to_socket_addrs()
            .with_context(|| format!("looking up {}", self.address))?
            .next()
            .with_context(|| format!("{} has no address", self.address))?;
        let mut stream = TcpStream::connect_timeout(&address, limit)
            .with_context(|| format!("connecting to {}", self.address))?;
        let Some(path) = &self.path else { return Ok(()) };
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let question = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(question.as_bytes()).with_context(|| format!("asking {self}"))?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).with_context(|| format!("{self} gave no answer"))?;
        let status_line = String::from_utf8_lossy(&status_line);
        ensure!(status_line.starts_with("HTTP/1") && status_line.contains(" 2"), "{self}: {status_line}");
        Ok(())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(formatter, "http://{}{path}", self.address),
            None => write!(formatter, "tcp://{}", self.address),
        }
    }
}

/// Hands out free ports, no two alike.
///
/// They lie below those that a system gives to outgoing connections, since nothing holds a port between
/// its choice here and the start of the server that was told to listen on it.
pub(crate) struct Ports {
    next: u16,
}

/// The first port and how many follow it; with [`GRPC_DISTANCE`] added they stay below the last port.
const FIRST: u16 = 14_000;
const COUNT: u16 = 16_000;

/// How far from a port of SeaweedFS lies its gRPC port.
const GRPC_DISTANCE: u16 = 10_000;

impl Ports {
    /// Begins elsewhere each time, so that two that look at the same time rarely choose the same.
    pub(crate) fn new() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        let start = nanos.wrapping_add(process::id().wrapping_mul(7919)) % u32::from(COUNT);
        Self { next: FIRST + u16::try_from(start).unwrap_or_default() }
    }

    /// A port on which nothing listens on the loopback address.
    pub(crate) fn take(&mut self) -> Result<u16> {
        self.take_where(is_free)
    }

    /// A port that is free, and so is the one for gRPC that SeaweedFS derives from it.
    pub(crate) fn take_with_grpc(&mut self) -> Result<u16> {
        self.take_where(|port| is_free(port) && is_free(port + GRPC_DISTANCE))
    }

    fn take_where(&mut self, wanted: impl Fn(u16) -> bool) -> Result<u16> {
        for _ in 0..COUNT {
            let port = self.next;
            self.next = if port + 1 == FIRST + COUNT { FIRST } else { port + 1 };
            if wanted(port) {
                return Ok(port);
            }
        }
        bail!("every port from {FIRST} to {} is taken", FIRST + COUNT - 1)
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_taken_port_is_not_handed_out() {
        let mut ports = Ports::new();
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = taken.local_addr().expect("its address").port();
        ports.next = FIRST;
        let first = ports.take().expect("a port");
        let held = TcpListener::bind(("127.0.0.1", first)).expect("it is free");
        ports.next = first;
        let second = ports.take().expect("another port");
        assert!(second > first && second != taken, "{first} is taken");
        drop(held);
        ports.next = FIRST + COUNT - 1;
        ports.take_where(|_| true).expect("the last");
        assert_eq!(ports.next, FIRST, "after the last comes the first");
        assert!(ports.take_where(|_| false).is_err());
    }

    #[test]
    fn a_probe_is_read_as_it_was_written() {
        for text in ["http://127.0.0.1:9/healthz?a=b", "tcp://127.0.0.1:9"] {
            assert_eq!(Probe::parse(text).expect("a probe").to_string(), text);
        }
        assert!(Probe::parse("127.0.0.1:9").is_err());
    }

    #[test]
    fn an_endpoint_without_a_port_has_that_of_its_scheme() {
        let address = |endpoint| Probe::listening(endpoint).map(|probe| probe.address);
        assert_eq!(address("http://s3.test").expect("http"), "s3.test:80");
        assert_eq!(address("https://s3.test/path").expect("https"), "s3.test:443");
        assert_eq!(address("https://127.0.0.1:10000/dev").expect("a port"), "127.0.0.1:10000");
        assert!(address("127.0.0.1:9").is_err());
        assert!(address("ftp://127.0.0.1").is_err());
    }

    #[test]
    fn only_success_is_an_answer() {
        for (answer, ready) in [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 503 Busy\r\n\r\n", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("its address").to_string();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut question = Vec::new();
                while !question.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("the question");
                    question.extend(byte);
                }
                stream.write_all(answer.as_bytes()).expect("the answer");
            });
            assert_eq!(Probe::http(&address, "/").ask().is_ok(), ready, "{answer}");
            server.join().expect("it answered");
        }
    }
}
