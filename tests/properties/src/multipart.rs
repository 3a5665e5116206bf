//! Forms: however a body is cut into chunks, it is the same parts or the same fault; what is understood is understood
//! again when it is written.
//!
//! The input is a `Content-Type`, a line break, and the body.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::FutureExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use storage_host::http::fuzzing::{self, Part};

/// The most that the headers of a part take, in bytes, and what those that are written again take beside texts.
const MAX_HEAD_BYTES: usize = 16 * 1024 - 512;

/// Checks a body.
pub fn multipart(data: &[u8]) {
    let (content_type, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&b""[..], data),
    };
    let boundary = fuzzing::boundary(&String::from_utf8_lossy(content_type));
    if let Some(boundary) = &boundary {
        assert!((1..=70).contains(&boundary.len()) && boundary.is_ascii(), "{boundary:?}");
    }
    let boundary = boundary.unwrap_or_else(|| "B".to_owned());
    let whole = read(vec![Bytes::copy_from_slice(body)], &boundary);
    for sizes in [&[1][..], &[2, 7], &sizes_of(data)] {
        assert_eq!(read(cut(body, sizes), &boundary), whole, "cut into {sizes:?}");
    }
    let Ok(parts) = whole else { return };
    let delimiter = format!("\r\n--{boundary}");
    for part in &parts {
        let content = [b"\r\n", &part.content[..]].concat();
        let held = content.windows(delimiter.len()).any(|window| window == delimiter.as_bytes());
        assert!(!held, "a content goes beyond its end");
    }
    is_written_again(&parts);
}

/// The parts, or the code of the fault.
fn read(chunks: Vec<Bytes>, boundary: &str) -> Result<Vec<Part>, &'static str> {
    let parts = fuzzing::form(chunks, boundary).now_or_never().expect("there is nothing to wait for");
    parts.map_err(|problem| problem.code().name())
}

/// Sizes of chunks that the input itself decides on.
fn sizes_of(data: &[u8]) -> Vec<usize> {
    let sizes: Vec<usize> = data.iter().rev().take(8).map(|byte| usize::from(*byte % 32) + 1).collect();
    if sizes.is_empty() { vec![3] } else { sizes }
}

/// The body in chunks of these sizes, over and over.
fn cut(body: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut body = Bytes::copy_from_slice(body);
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if body.is_empty() {
            break;
        }
        chunks.push(body.split_to((*size).min(body.len())));
    }
    chunks
}

fn is_written_again(parts: &[Part]) {
    // No content can hold a boundary that was chosen after it.
    let held = |boundary: &str| {
        parts.iter().any(|part| part.content.windows(boundary.len()).any(|text| text == boundary.as_bytes()))
    };
    let boundary = (0..).map(|number| format!("again{number}")).find(|boundary| !held(boundary));
    let boundary = boundary.expect("a content is finite");
    let mut body = Vec::new();
    for part in parts {
        let name = part.name.replace('\\', "\\\\").replace('"', "\\\"");
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"");
        if let Some(filename) = &part.filename {
            // Writing to a `String` cannot fail.
            let _ = write!(head, "; filename*=UTF-8''{}", utf8_percent_encode(filename, NON_ALPHANUMERIC));
        }
        if let Some(content_type) = &part.content_type {
            let _ = write!(head, "\r\nContent-Type: {content_type}");
        }
        if head.len() > MAX_HEAD_BYTES {
            return;
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    assert_eq!(read(vec![body.into()], &boundary).as_deref(), Ok(parts));
}
