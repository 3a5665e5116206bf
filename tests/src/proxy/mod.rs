//! [`Proxy`]: stands between a plugin and a real server, records what is asked, and spoils what it is told to.
//!
//! Requests go on byte for byte, `Host` included, so that their signatures hold. What goes wrong is a
//! [`Rule`] each: which requests, how many of them, and what becomes of them.
//!
//! ```no_run
//! # async fn example() {
//! use storage_tests::proxy::{Proxy, Rule};
//! use storage_tests::servers::Server;
//!
//! let proxy = Proxy::before(&Server::get("seaweedfs").endpoint).await;
//! let slow_down = proxy.add(
//!     Rule::on(|request| request.method == "PUT" && request.query("partNumber").is_some())
//!         .times(2)
//!         .answer(503, "<Error><Code>SlowDown</Code></Error>"),
//! );
//! // … a backend that was opened with `proxy.endpoint()` saves a large file …
//! assert_eq!(slow_down.fired(), 2, "the plugin was told to slow down");
//! let aborted = proxy.exchanges().iter().any(|seen| seen.request.method == "DELETE");
//! # }
//! ```

mod body;
mod record;
mod rule;
mod serve;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use record::{Answered, Exchange, Request};
pub use rule::{End, Firing, Rule};

use record::Journal;
use serve::Upstream;

/// An HTTP server on the loopback address that forwards to another one. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    journal: Arc<Journal>,
    task: JoinHandle<()>,
}

/// How far away the server seems to be, and how much of a request is kept.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// How long anything takes, each way. A new connection costs two ways more, as its handshake would.
    pub latency: Duration,
    /// How much of the body of each request is recorded.
    pub recorded_bytes: usize,
    /// Where the dice of [`Rule::chance`] begin.
    pub seed: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: Duration::ZERO, recorded_bytes: 64 << 10, seed: 0 }
    }
}

impl Proxy {
    /// A proxy before the server at this endpoint, `http://HOST[:PORT]`.
    ///
    /// # Panics
    ///
    /// If the endpoint cannot be read or no port is free.
    pub async fn before(endpoint: &str) -> Self {
        Self::behind(endpoint, Link::default()).await
    }

    /// A proxy before the server at this endpoint, reached over this link.
    ///
    /// # Panics
    ///
    /// If the endpoint cannot be read or no port is free.
    pub async fn behind(endpoint: &str, link: Link) -> Self {
        Self::start(endpoint, link)
            .await
            .unwrap_or_else(|error| panic!("a proxy before {endpoint}: {error:#}"))
    }

    async fn start(endpoint: &str, link: Link) -> anyhow::Result<Self> {
        let authority = endpoint.trim_end_matches('/').strip_prefix("http://");
        let authority = authority.context("the endpoint has to be http://HOST[:PORT]")?;
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let server = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let journal = Arc::new(Journal::new(link.recorded_bytes, link.seed));
        let upstream = Upstream { server, latency: link.latency, journal: Arc::clone(&journal) };
        Ok(Self { address, journal, task: tokio::spawn(upstream.serve(listener)) })
    }

    /// Where clients reach it: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule, behind those that are there: the first that fits a request decides about it.
    pub fn add(&self, rule: Rule) -> Firing {
        self.journal.add(rule)
    }

    /// Removes all rules; what is on its way keeps its own.
    pub fn clear_rules(&self) {
        self.journal.clear_rules();
    }

    /// All that was asked so far, in the order of arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.journal.exchanges()
    }

    /// Forgets what was asked so far, and the largest number of requests at a time.
    pub fn forget(&self) {
        self.journal.forget();
    }

    /// Waits until a request arrived, or was answered, of which this holds.
    pub async fn seen(&self, wanted: impl Fn(&Exchange) -> bool) -> Exchange {
        self.journal.seen(wanted).await
    }

    /// How many connections clients have opened.
    pub fn connections(&self) -> usize {
        self.journal.connections()
    }

    /// The largest number of requests that were under way at the same time.
    pub fn most_at_once(&self) -> usize {
        self.journal.most_at_once()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
