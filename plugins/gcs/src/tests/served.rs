//! What the plugin asks of a service, and what it makes of its answers: a server of a few lines stands in for Google.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use storage_core::{ConfigValues, OpenRequest};

use crate::config::Config;
use crate::open::{self, Store};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) host: String,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// The JSON of the body.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What is answered: the status, further headers, each with its line's end, and the body. After [`SILENT`] more of the
/// body is promised than ever comes, and a status of 0 is no answer at all.
pub(super) type Answer = (u16, String, String);

/// A header of an answer that falls silent.
pub(super) const SILENT: &str = "x-silent: yes\r\n";

/// An answer in JSON.
pub(super) fn told(body: &Value) -> Answer {
    (200, String::new(), body.to_string())
}

/// A server of this test alone.
pub(super) struct Served {
    pub(super) endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Served {
    /// Answers as it is told to. Bodies are read in steps of 64 KiB with such a pause before each.
    pub(super) fn new(step: Duration, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(connection.expect("a connection"), step, &seen, &*answer));
            }
        });
        Self { endpoint, asked }
    }

    /// What was asked so far, of this method and with this in its path or query.
    pub(super) fn asked(&self, method: &str, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("nobody failed");
        asked.iter().filter(|asked| asked.method == method && asked.target.contains(part)).cloned().collect()
    }

    /// What opens the bucket, with these settings besides.
    pub(super) fn request(&self, pairs: &[(&str, &str)]) -> OpenRequest {
        let mut config = ConfigValues::new();
        let own = [("bucket_name", "cvs"), ("auth", "none"), ("endpoint_url", self.endpoint.as_str())];
        for (key, text) in own.iter().chain(pairs) {
            config.set(*key, *text, "test");
        }
        OpenRequest { name: "cvs".to_owned(), config, ..OpenRequest::default() }
    }

    /// The opened bucket, with these settings besides.
    pub(super) async fn open(&self, pairs: &[(&str, &str)]) -> Store {
        open::open(Config::read(&self.request(pairs)).expect("sound")).await.expect("the bucket opens")
    }
}

/// Serves a connection until its client ends it.
fn serve(mut stream: TcpStream, step: Duration, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Answer) {
    let mut reader = BufReader::with_capacity(64 << 10, stream.try_clone().expect("a stream"));
    while let Some(asked) = read(&mut reader, step) {
        seen.lock().expect("nobody failed").push(asked.clone());
        let (status, headers, body) = answer(&asked);
        if status == 0 {
            continue;
        }
        let promised_bytes = body.len() + usize::from(headers.contains(SILENT));
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {promised_bytes}\r\n{headers}\r\n");
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request; none where the client went away.
#[allow(clippy::disallowed_methods, reason = "a slow reader is what is to be had, on a thread of its own")]
fn read(reader: &mut BufReader<TcpStream>, step: Duration) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let (mut host, mut length_bytes) = (String::new(), 0);
    loop {
        let header = line()?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(length) = header.strip_prefix("content-length: ") {
            length_bytes = length.parse().expect("a number");
        }
        if let Some(name) = header.strip_prefix("host: ") {
            host = name.to_owned();
        }
    }
    let mut body = vec![0; length_bytes];
    for piece in body.chunks_mut(64 << 10) {
        std::thread::sleep(step);
        reader.read_exact(piece).ok()?;
    }
    let (method, target) = first.split_once(' ').expect("a request");
    let target = target.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Asked { method: method.to_owned(), target, host, body })
}

/// An object with this content, as Google describes it.
pub(super) fn object(content: &[u8]) -> Value {
    let crc32c = crate::resource::crc32c_text(crc_fast::crc32_iscsi(content));
    json!({ "generation": "17", "size": content.len().to_string(), "crc32c": crc32c,
            "timeCreated": "2026-01-01T00:00:00Z" })
}
