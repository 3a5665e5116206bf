//! A server that answers what a test tells it to, one connection after the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use storage_core::{ConfigValues, ObjectKey, OpenRequest};

use crate::client::{self, ServerHeader};
use crate::config::Config;
use crate::store::{Features, Store};

/// What becomes of a request.
pub(crate) enum Answer {
    /// Status and headers, and a body.
    Gives(&'static str, String),
    /// The same, after a pause.
    GivesAfter(Duration, &'static str, String),
    /// The connection is closed once the request has arrived.
    Breaks,
}

impl Answer {
    /// A refusal with a code of S3's.
    pub(crate) fn refuses(status: &'static str, code: &str) -> Self {
        Self::Gives(status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
    }
}

/// A store of a server that gives these answers, and the first lines of the requests that it gets. It waits for
/// 300 ms where it is silent.
pub(crate) fn store(answers: Vec<Answer>) -> (Arc<Store>, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (seen, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let first_line = take(&mut stream);
            // A test that is over hears nothing more.
            let _ = seen.send(first_line);
            give(&mut stream, answer);
        }
    });
    let mut store = store_at(&format!("http://{address}"));
    store.features = Features {
        crc64nvme: true,
        write_if_absent: true,
        write_if_match: true,
        delete_if_match: true,
        copy_conditions: true,
        ..Features::default()
    };
    (Arc::new(store), requests)
}

/// A store of which nothing was asked yet.
pub(crate) fn store_at(endpoint: &str) -> Store {
    let mut config = ConfigValues::new();
    for (key, text) in [
        ("endpoint_url", endpoint),
        ("access_key", "key"),
        ("secret_key", "secret"),
        ("bucket_name", "files"),
        ("read_timeout", "300ms"),
    ] {
        config.set(key, text, "test");
    }
    let request = OpenRequest { name: "minio".to_owned(), config, ..OpenRequest::default() };
    let config = Config::read(&request).expect("sound");
    let server = ServerHeader::default();
    Store::new(client::connect(&config, server.clone()).expect("a client"), config, server)
}

/// The key of all these tests.
pub(crate) fn key() -> ObjectKey {
    ObjectKey::new("a/b").expect("legal")
}

/// Takes a request whole; gives its first line.
fn take(stream: &mut TcpStream) -> String {
    let (mut received, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some(end) = text.find("\r\n\r\n") {
            let head = text[..end].to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if received.len() >= end + 4 + length.unwrap_or(0) {
                return text.lines().next().unwrap_or_default().to_owned();
            }
        }
        match stream.read(&mut buffer).expect("a request") {
            0 => return String::new(),
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}

fn give(stream: &mut TcpStream, answer: Answer) {
    let (pause, head, body) = match answer {
        Answer::Gives(head, body) => (Duration::ZERO, head, body),
        Answer::GivesAfter(pause, head, body) => (pause, head, body),
        Answer::Breaks => return,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the pause is what is tested, on a thread of the server's own"
    )]
    std::thread::sleep(pause);
    let length = if head.contains("content-length") {
        String::new()
    } else {
        format!("\r\ncontent-length: {}", body.len())
    };
    // Whoever waited in vain is gone.
    let _ = write!(stream, "HTTP/1.1 {head}{length}\r\nconnection: close\r\n\r\n{body}");
}
