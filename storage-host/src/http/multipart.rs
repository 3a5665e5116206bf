//! `multipart/form-data` (RFC 7578, RFC 2046) as a pull parser: parts are read as they arrive, and never more
//! than one chunk of the body, or the headers of one part, is held.
//!
//! Written here because the parsers there are hold whatever the client has sent so far, and set no limit to the
//! headers of a part.

use bytes::{Buf as _, Bytes};
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use memchr::memmem::{Finder, find};

use super::body::BodyFault;
use super::error::{Code, Problem};

/// The most that the headers of one part take, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What begins a delimiter.
const LINE_BREAK: &str = "\r\n";
/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// A form that is being read.
pub(super) struct Multipart {
    source: BoxStream<'static, storage_core::Result<Bytes>>,
    /// What has arrived and is not used up.
    pending: Bytes,
    /// What ends the content of a part: a line break, two hyphens, the boundary.
    delimiter: Finder<'static>,
    position: Position,
    fault: BodyFault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Right behind the headers of a part.
    Start,
    /// In the content of a part, or before the first one.
    Content,
    /// Right behind a delimiter.
    Delimiter,
    /// Behind the last part.
    End,
}

/// What a part says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartHead {
    /// The name of the field.
    pub(super) name: String,
    /// The name of the file, where it is one.
    pub(super) filename: Option<String>,
    /// The content type.
    pub(super) content_type: Option<String>,
}

impl Multipart {
    /// A form with this boundary. What is wrong with the source is told as `fault` has it.
    pub(super) fn new(
        source: BoxStream<'static, storage_core::Result<Bytes>>,
        boundary: &str,
        fault: BodyFault,
    ) -> Self {
        let delimiter = format!("{LINE_BREAK}--{boundary}");
        Self {
            source,
            // The first delimiter has no line break of its own.
            pending: Bytes::from_static(LINE_BREAK.as_bytes()),
            delimiter: Finder::new(&delimiter).into_owned(),
            position: Position::Content,
            fault,
        }
    }

    /// The next part; what is left of the one before is passed over. `None` behind the last one.
    ///
    /// # Errors
    ///
    /// A form that is malformed or breaks off, and part headers that are too large.
    pub(super) async fn next_part(&mut self) -> Result<Option<PartHead>, Problem> {
        while self.chunk().await?.is_some() {}
        if self.position == Position::End {
            return Ok(None);
        }
        while self.pending.len() < 2 {
            self.receive().await?;
        }
        if self.pending.starts_with(b"--") {
            self.position = Position::End;
            return self.pass_over_epilogue().await.map(|()| None);
        }
        let head = self.head().await?;
        self.position = Position::Start;
        parse_head(&head).map(Some)
    }

    /// The next chunk of the current part's content; `None` at its end. No chunk is empty.
    ///
    /// # Errors
    ///
    /// A form that breaks off.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.position == Position::Start {
            self.begin_content().await?;
        }
        while self.position == Position::Content {
            let length = self.delimiter.needle().len();
            let content = match self.delimiter.find(&self.pending) {
                Some(index) => {
                    let content = self.pending.split_to(index);
                    self.pending.advance(length);
                    self.position = Position::Delimiter;
                    content
                }
                None => self.pending.split_to(self.pending.len() - self.delimiter_begun()),
            };
            if !content.is_empty() {
                return Ok(Some(content));
            }
            if self.position == Position::Content {
                self.receive().await?;
            }
        }
        Ok(None)
    }

    /// Finds out whether the part has content. The empty line behind the headers may be the line break of a delimiter
    /// (RFC 2046, section 5.1.1): then it has none.
    async fn begin_content(&mut self) -> Result<(), Problem> {
        let length = self.delimiter.needle().len() - LINE_BREAK.len();
        loop {
            let delimiter = &self.delimiter.needle()[LINE_BREAK.len()..];
            if self.pending.starts_with(delimiter) {
                self.pending.advance(length);
                self.position = Position::Delimiter;
                return Ok(());
            }
            if !delimiter.starts_with(&self.pending) {
                self.position = Position::Content;
                return Ok(());
            }
            self.receive().await?;
        }
    }

    /// How many bytes at the end may be the beginning of a delimiter.
    fn delimiter_begun(&self) -> usize {
        let delimiter = self.delimiter.needle();
        let longest = self.pending.len().min(delimiter.len() - 1);
        (1..=longest).rev().find(|length| self.pending.ends_with(&delimiter[..*length])).unwrap_or(0)
    }

    /// What follows a delimiter, up to and without the empty line: the rest of its line, then the headers.
    async fn head(&mut self) -> Result<Bytes, Problem> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            let end = find(&self.pending, END);
            if let Some(index) = end.filter(|index| *index <= MAX_HEAD_BYTES) {
                let head = self.pending.split_to(index);
                self.pending.advance(END.len());
                return Ok(head);
            }
            if self.pending.len() > MAX_HEAD_BYTES {
                let detail = format!("the headers of a part take at most {MAX_HEAD_BYTES} bytes");
                return Err(Problem::new(Code::TooLarge).detail(detail));
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), Problem> {
        match self.source.next().await {
            Some(Ok(chunk)) if self.pending.is_empty() => self.pending = chunk,
            Some(Ok(chunk)) => self.pending = [&self.pending[..], &chunk[..]].concat().into(),
            Some(Err(error)) => return Err(self.fault.or(error)),
            None => {
                return Err(Problem::new(Code::LengthMismatch)
                    .detail("the form broke off before its closing boundary"));
            }
        }
        Ok(())
    }

    /// Reads to the end, so that a body that breaks off there is noticed too.
    async fn pass_over_epilogue(&mut self) -> Result<(), Problem> {
        self.pending = Bytes::new();
        while let Some(chunk) = self.source.next().await {
            chunk.map_err(|error| self.fault.or(error))?;
        }
        Ok(())
    }
}

/// The boundary that a `Content-Type` names.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (_, parameters) = content_type.split_once(';')?;
    let boundary = parameter(parameters, "boundary")?;
    let is_sound = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY_BYTES && boundary.is_ascii();
    is_sound.then_some(boundary)
}

fn parse_head(head: &[u8]) -> Result<PartHead, Problem> {
    let malformed = |fault: &str| Problem::invalid("body", format!("the headers of a part {fault}"));
    let text = std::str::from_utf8(head).map_err(|_| malformed("are not UTF-8"))?;
    let mut lines = text.split("\r\n");
    if lines.next().is_some_and(|padding| !padding.trim_matches([' ', '\t']).is_empty()) {
        return Err(malformed("do not begin on a line of their own"));
    }
    let mut part = PartHead::default();
    let mut has_name = false;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("have a line without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-type") {
            part.content_type = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("content-disposition") {
            let parameters = value.split_once(';').map_or("", |(_, parameters)| parameters);
            if let Some(name) = parameter(parameters, "name") {
                (part.name, has_name) = (name, true);
            }
            let extended = parameter(parameters, "filename*").and_then(|text| decode_extended(&text));
            part.filename = extended.or_else(|| parameter(parameters, "filename").map(decode_filename));
        }
    }
    if has_name { Ok(part) } else { Err(malformed("have no Content-Disposition with a name")) }
}

/// The value of a parameter. Within quotation marks a backslash hides a quotation mark or another backslash; one
/// before anything else stands for itself, as in the paths that old browsers send.
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        let (name, rest) = text.split_once('=')?;
        let name = name.trim_start_matches([';', ' ', '\t']).trim_end();
        let (value, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        text = after;
    }
}

/// The text up to the closing quotation mark, and what follows that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, hidden)) => value.push(hidden),
                None => value.push('\\'),
            },
            _ => value.push(character),
        }
    }
    None
}

/// Browsers write these three as `%XX`, and no other character.
fn decode_filename(text: String) -> String {
    if !text.contains('%') {
        return text;
    }
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// `UTF-8''NAME` with `%XX` (RFC 8187).
fn decode_extended(text: &str) -> Option<String> {
    let (charset, rest) = text.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
    charset.eq_ignore_ascii_case("utf-8").then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use proptest::prelude::*;

    fn multipart(chunks: Vec<Bytes>) -> Multipart {
        let source = stream::iter(chunks.into_iter().map(Ok)).boxed();
        Multipart::new(source, "B", BodyFault::default())
    }

    /// The body in chunks of these sizes, over and over.
    fn split(mut body: Bytes, sizes: &[usize]) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            if body.is_empty() {
                break;
            }
            chunks.push(body.split_to((*size).min(body.len())));
        }
        chunks
    }

    async fn read(mut multipart: Multipart) -> Result<Vec<(PartHead, Vec<u8>)>, Problem> {
        let mut parts = Vec::new();
        while let Some(head) = multipart.next_part().await? {
            let mut content = Vec::new();
            while let Some(chunk) = multipart.chunk().await? {
                assert!(!chunk.is_empty());
                content.extend_from_slice(&chunk);
            }
            parts.push((head, content));
        }
        assert!(multipart.next_part().await?.is_none(), "the end stays the end");
        Ok(parts)
    }

    fn head(lines: &str) -> Result<PartHead, Problem> {
        parse_head(format!("\r\n{lines}").as_bytes())
    }

    #[tokio::test]
    async fn preamble_padding_and_epilogue_are_passed_over() {
        let body = "preamble\r\n--B  \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n\
            content-disposition:form-data;name=b\r\nX: y\r\n\r\n\r\n--B--\r\nepilogue\r\n--B\r\n";
        for size in 1..body.len() {
            let parts = read(multipart(split(Bytes::from_static(body.as_bytes()), &[size]))).await;
            let parts = parts.expect("sound");
            let read: Vec<_> =
                parts.iter().map(|(head, content)| (head.name.as_str(), &content[..])).collect();
            assert_eq!(read, [("a", &b"1"[..]), ("b", b"")], "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_boundary_right_behind_the_headers_ends_an_empty_part() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--B\r\n\
            Content-Disposition: form-data; name=\"b\"\r\n\r\n--A\r\n--B--";
        for size in 1..body.len() {
            let parts = read(multipart(split(Bytes::from_static(body.as_bytes()), &[size]))).await;
            let contents: Vec<_> = parts.expect("sound").into_iter().map(|(_, content)| content).collect();
            assert_eq!(contents, [&b""[..], b"--A"], "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_anywhere_is_noticed() {
        let body =
            Bytes::from_static(b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncontent\r\n--B--");
        for length in 0..body.len() {
            let problem = read(multipart(vec![body.slice(..length)])).await.expect_err("broken off");
            assert_eq!(problem.code(), Code::LengthMismatch, "after {length} bytes");
        }
        assert!(read(multipart(vec![body])).await.is_ok());
    }

    #[tokio::test]
    async fn headers_without_an_end_are_not_held() {
        let endless = stream::repeat_with(|| Ok(Bytes::from(vec![b'x'; 1000])));
        let start = stream::iter([Ok(Bytes::from_static(b"--B\r\n"))]);
        let mut multipart = Multipart::new(start.chain(endless).boxed(), "B", BodyFault::default());
        assert_eq!(multipart.next_part().await.expect_err("too large").code(), Code::TooLarge);
        assert!(multipart.pending.len() < MAX_HEAD_BYTES + 2000);
    }

    #[tokio::test]
    async fn headers_that_are_too_long_are_refused_and_content_is_never_taken_for_headers() {
        let head = format!("X-Long: {}", "x".repeat(MAX_HEAD_BYTES));
        let text = format!(
            "--b\r\n{head}\r\n\r\n\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--"
        );
        let source = stream::iter([Ok(Bytes::from(text))]).boxed();
        let mut multipart = Multipart::new(source, "b", BodyFault::default());
        assert_eq!(multipart.next_part().await.expect_err("too large").code(), Code::TooLarge);
    }

    #[tokio::test]
    async fn content_is_handed_on_without_a_copy_and_nothing_is_read_ahead() {
        let start = Bytes::from_static(b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
        let content = Bytes::from(vec![7; 1000]);
        let later = stream::repeat_with(|| -> storage_core::Result<Bytes> { panic!("read ahead") });
        let source = stream::iter([Ok(start), Ok(content.clone())]).chain(later).boxed();
        let mut multipart = Multipart::new(source, "B", BodyFault::default());
        multipart.next_part().await.expect("sound").expect("a part");
        let chunk = multipart.chunk().await.expect("sound").expect("a chunk");
        assert_eq!((chunk.as_ptr(), chunk.len()), (content.as_ptr(), content.len()));
    }

    #[test]
    fn names_of_files_are_read_as_clients_write_them() {
        for (parameters, filename) in [
            ("filename=\"a.txt\"", "a.txt"),
            ("filename=a.txt", "a.txt"),
            ("filename=\"Résumé; 1.pdf\"", "Résumé; 1.pdf"),
            ("filename=\"a%22b%0D%0A.txt\"", "a\"b\r\n.txt"),
            ("filename=\"100%25.txt\"", "100%25.txt"),
            (r#"filename="a\"b\\c.txt""#, r#"a"b\c.txt"#),
            (r#"filename="C:\dir\a.txt""#, r"C:\dir\a.txt"),
            ("filename=\"x\"; filename*=UTF-8''R%C3%A9sum%C3%A9.pdf", "Résumé.pdf"),
            ("filename=\"name=; x\"", "name=; x"),
        ] {
            let part = head(&format!("Content-Disposition: form-data; name=\"file\"; {parameters}"));
            let part = part.expect(parameters);
            assert_eq!((part.name.as_str(), part.filename.as_deref()), ("file", Some(filename)));
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for lines in ["", "Content-Type: text/plain", "x", "Content-Disposition: form-data; name=\"a"] {
            assert_eq!(head(lines).expect_err(lines).code(), Code::InvalidRequest);
        }
        assert!(parse_head(b"\r\nContent-Disposition: form-data; name=\"\xff\"").is_err());
        assert!(parse_head(b"x\r\nContent-Disposition: form-data; name=\"a\"").is_err());
    }

    #[test]
    fn a_boundary_is_found_wherever_it_stands() {
        let form = |parameters: &str| boundary(&format!("multipart/form-data{parameters}"));
        assert_eq!(form("; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(form(";charset=utf-8;BOUNDARY=\"a b\"").as_deref(), Some("a b"));
        for none in ["", ";", "; boundary=", "; xboundary=a", &format!("; boundary={}", "a".repeat(71))] {
            assert_eq!(form(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_content_survives_however_it_is_cut(
            contents in proptest::collection::vec(
                // Much that looks like a delimiter, and anything else.
                proptest::collection::vec(prop_oneof![
                    proptest::sample::select(&b"\r\n-B"[..]), any::<u8>(),
                ], 0..60),
                0..4,
            ),
            sizes in proptest::collection::vec(1usize..40, 1..6),
        ) {
            let delimiter = b"\r\n--B";
            let contents: Vec<_> = contents
                .into_iter()
                .filter(|content| find(&[b"\r\n", &content[..]].concat(), delimiter).is_none())
                .collect();
            let mut body = Vec::new();
            for (index, content) in contents.iter().enumerate() {
                let head = format!("--B\r\nContent-Disposition: form-data; name=\"{index}\"\r\n\r\n");
                body.extend_from_slice(head.as_bytes());
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--B--\r\n");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let parts = runtime.block_on(read(multipart(split(body.into(), &sizes)))).expect("sound");
            let read: Vec<_> = parts.into_iter().map(|(_, content)| content).collect();
            prop_assert_eq!(read, contents);
        }
    }
}
