//! `multipart/form-data` (RFC 7578), as browsers send it: read part by part, files never held whole.
//!
//! What describes a file (`filename`, `metadata`, `tags`, `sha256`, `tier`) comes before its `file` part, since the
//! file is passed on while it arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use storage_core::{ByteStream, ErrorKind, Tier};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::body::{BodyFault, chunks, refuse_encoding, too_large};
use super::error::{Code, Problem};
use super::headers::digest;
use super::headers::pairs::{X_STORAGE_METADATA, X_STORAGE_TAGS};
use super::multipart::{self, Multipart, PartHead};
use crate::service::SaveFileOptions;

/// The largest part that is no file, in bytes.
const MAX_FIELD_BYTES: usize = 16 * 1024;
/// What boundaries, part headers and fields may take beside the file of an upload, in bytes.
const MAX_OVERHEAD_BYTES: u64 = 64 * 1024;

/// The headers that describe a raw body, each with the field that says the same in a form.
static RAW_HEADERS: [(HeaderName, &str); 4] = [
    (digest::CONTENT_DIGEST, "sha256"),
    (digest::X_CONTENT_SHA256, "sha256"),
    (X_STORAGE_METADATA, "metadata"),
    (X_STORAGE_TAGS, "tags"),
];

/// The parts that describe a file.
const FIELDS: [&str; 5] = ["filename", "metadata", "tags", "sha256", "tier"];
/// The name of the part that holds a file.
pub(super) const FILE_PART: &str = "file";

/// A form that is being read.
pub(super) struct Form {
    /// Whoever reads the content of a file holds the lock until the content is dropped.
    parts: Arc<Mutex<Multipart>>,
    fault: BodyFault,
    max_file_bytes: u64,
    /// Whether it may hold several files, so that what is wrong with one does not concern the others.
    is_of_many: bool,
}

/// A file of a form, whose content comes next.
pub(super) struct FormFile {
    /// Its name; empty where it has none.
    pub(super) filename: String,
    /// How it is to be saved, or what is wrong with what the form says of it.
    pub(super) options: Result<SaveFileOptions, Problem>,
}

/// What the parts before a file say of it.
#[derive(Default)]
struct Description {
    filename: Option<String>,
    options: SaveFileOptions,
    /// The first thing that is wrong with it.
    fault: Option<Problem>,
}

/// Whether the headers announce a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("multipart/form-data")
    })
}

impl Form {
    /// Begins to read a form of one file.
    ///
    /// # Errors
    ///
    /// A body that is no form, or that headers describe as they do a raw one.
    pub(super) fn of_one(
        headers: &HeaderMap,
        body: Body,
        max_file_bytes: u64,
        fault: &BodyFault,
    ) -> Result<Self, Problem> {
        let max_bytes = max_file_bytes.saturating_add(MAX_OVERHEAD_BYTES);
        let parts = read_parts(headers, body, max_bytes, fault)?;
        Ok(Self { parts, fault: fault.clone(), max_file_bytes, is_of_many: false })
    }

    /// Begins to read a form of many files, each of which may be as large as an upload.
    ///
    /// # Errors
    ///
    /// A body that is no form, or that headers describe as they do a raw one.
    pub(super) fn of_many(
        headers: &HeaderMap,
        body: Body,
        max_file_bytes: u64,
        fault: &BodyFault,
    ) -> Result<Self, Problem> {
        let parts = read_parts(headers, body, u64::MAX, fault)?;
        Ok(Self { parts, fault: fault.clone(), max_file_bytes, is_of_many: true })
    }

    /// The next file, with what the parts before it say of it; `None` at the end of the form.
    ///
    /// In a form of many files, what is wrong with a field is told with the file that it describes. One of a single
    /// file is refused at once, so that the file need not be sent.
    ///
    /// # Errors
    ///
    /// A form that cannot be read on; parts that describe no file; in a form of one file, a part that is not known, is
    /// too large or does not hold what it should.
    pub(super) async fn next_file(&mut self) -> Result<Option<FormFile>, Problem> {
        let mut description = Description::default();
        let mut last_field = None;
        let mut parts = self.parts.lock().await;
        while let Some(part) = parts.next_part().await? {
            if part.name == FILE_PART {
                return Ok(Some(description.of(part)));
            }
            if let Err(problem) = description.take(&part.name, field(&mut parts, &part.name).await?) {
                if !self.is_of_many {
                    return Err(problem);
                }
                description.fault.get_or_insert(problem);
            }
            last_field = Some(part.name);
        }
        match (description.fault, last_field) {
            (Some(problem), _) => Err(problem),
            (None, Some(name)) => {
                Err(Problem::invalid(name, "comes after the file that it describes, or without one"))
            }
            (None, None) => Ok(None),
        }
    }

    /// The content of the file that [`Form::next_file`] gave. What is wrong with it alone is kept in `fault`.
    pub(super) async fn content(&self, fault: BodyFault) -> FileContent {
        FileContent {
            parts: Arc::clone(&self.parts).lock_owned().await,
            max_bytes: self.max_file_bytes,
            seen_bytes: 0,
            fault,
            form_fault: self.fault.clone(),
        }
    }

    /// The content of the form's only file. Whatever follows it makes the content fail, so that the file is not
    /// saved without it being noticed.
    pub(super) async fn only_content(&self) -> ByteStream {
        let content = self.content(self.fault.clone()).await;
        let chunks = stream::unfold(Some(content), async |content| {
            let mut content = content?;
            if let Some(chunk) = content.next().await {
                return Some((chunk, Some(content)));
            }
            let trailing = match content.parts.next_part().await {
                Ok(None) => return None,
                Ok(Some(part)) => Problem::invalid(
                    part.name,
                    "comes after the file: fields go before it, several files to /v1/files/batch",
                ),
                Err(problem) => problem,
            };
            Some((Err(content.form_fault.set(trailing, ErrorKind::InvalidArgument)), None))
        });
        ByteStream::from_stream(chunks, None)
    }
}

impl Description {
    /// Takes in a field, or keeps what was before where it is not what it should be.
    fn take(&mut self, name: &str, text: Result<String, Problem>) -> Result<(), Problem> {
        let text = text?;
        match name {
            "filename" => self.filename = Some(text),
            "metadata" => self.options.metadata = pairs(name, &text)?,
            "tags" => self.options.tags = pairs(name, &text)?,
            "tier" => {
                let tier = text.parse::<Tier>();
                self.options.tier = Some(tier.map_err(|error| Problem::invalid(name, error.message()))?);
            }
            "sha256" => {
                self.options.sha256 = Some(
                    digest::hexadecimal(&text)
                        .ok_or_else(|| Problem::invalid(name, "is not a SHA-256 in hexadecimal"))?,
                );
            }
            _ => return Err(unknown_part(name)),
        }
        Ok(())
    }

    /// The file that follows, whose part begins so.
    fn of(mut self, part: PartHead) -> FormFile {
        let filename = self.filename.or(part.filename).unwrap_or_default();
        if filename.is_empty() {
            self.fault.get_or_insert(Problem::invalid("filename", "the file part has no filename"));
        }
        self.options.content_type = part.content_type.as_deref().and_then(known_type);
        FormFile { filename, options: self.fault.map_or(Ok(self.options), Err) }
    }
}

/// The bytes of one file of a form, at most so many. While it is there, the form does not go on.
pub(super) struct FileContent {
    parts: OwnedMutexGuard<Multipart>,
    max_bytes: u64,
    seen_bytes: u64,
    /// What is wrong with this file.
    fault: BodyFault,
    /// What is wrong with the form.
    form_fault: BodyFault,
}

impl FileContent {
    /// The next chunk.
    pub(super) async fn next(&mut self) -> Option<storage_core::Result<Bytes>> {
        match self.parts.chunk().await.transpose()? {
            Ok(chunk) => {
                self.seen_bytes += chunk.len() as u64;
                if self.seen_bytes > self.max_bytes {
                    return Some(Err(self.fault.set(too_large(self.max_bytes), ErrorKind::TooLarge)));
                }
                Some(Ok(chunk))
            }
            Err(problem) => {
                self.form_fault.set(problem.clone(), ErrorKind::Cancelled);
                Some(Err(self.fault.set(problem, ErrorKind::Cancelled)))
            }
        }
    }

    /// The rest as a stream.
    pub(super) fn into_stream(self) -> impl Stream<Item = storage_core::Result<Bytes>> + Send + 'static {
        stream::unfold(self, async |mut content| content.next().await.map(|chunk| (chunk, content)))
    }
}

/// The parts of a body, at most so many bytes of it.
fn read_parts(
    headers: &HeaderMap,
    body: Body,
    max_bytes: u64,
    fault: &BodyFault,
) -> Result<Arc<Mutex<Multipart>>, Problem> {
    if !is_form(headers) {
        return Err(Problem::new(Code::UnsupportedMediaType).detail("send multipart/form-data"));
    }
    refuse_encoding(headers)?;
    refuse_raw_headers(headers)?;
    let boundary = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(multipart::boundary)
        .ok_or_else(|| Problem::invalid("content-type", "names no boundary"))?;
    let source = chunks(body, max_bytes, fault.clone()).boxed();
    Ok(Arc::new(Mutex::new(Multipart::new(source, &boundary, fault.clone()))))
}

/// What a client says of its file must not be passed over: it would believe a digest checked.
fn refuse_raw_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let Some((name, field)) = RAW_HEADERS.iter().find(|(name, _)| headers.contains_key(name)) else {
        return Ok(());
    };
    let told = format!("is not taken with a form: send the field {field} before the file");
    Err(Problem::invalid(name.as_str(), told))
}

/// The text of the field that was begun, or what is wrong with it. The form can be read on behind either.
///
/// # Errors
///
/// A form that breaks off.
async fn field(parts: &mut Multipart, name: &str) -> Result<Result<String, Problem>, Problem> {
    if !FIELDS.contains(&name) {
        // It may be a file under another name: that is told without reading it.
        return Ok(Err(unknown_part(name)));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = parts.chunk().await? {
        if bytes.len() + chunk.len() > MAX_FIELD_BYTES {
            let detail = format!("{name}: a part that is no file takes at most {MAX_FIELD_BYTES} bytes");
            return Ok(Err(Problem::new(Code::TooLarge).detail(detail)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(bytes).map_err(|_| Problem::invalid(name, "is not UTF-8")))
}

fn unknown_part(name: &str) -> Problem {
    let known = FIELDS.join(", ");
    Problem::invalid(name, format!("is no part of this form: it takes {known}, {FILE_PART}"))
}

/// A content type that says something. Browsers and `curl --data-binary` give these where they know none.
pub(super) fn known_type(given: &str) -> Option<String> {
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let says_nothing =
        matches!(essence.as_str(), "" | "application/octet-stream" | "application/x-www-form-urlencoded");
    (!says_nothing).then(|| given.to_owned())
}

/// A JSON object of strings. Numbers and booleans are taken as they are written.
fn pairs(name: &str, text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let shape = || Problem::invalid(name, "is not a JSON object of strings, such as {\"job_id\": \"42\"}");
    let Ok(Value::Object(members)) = serde_json::from_str(text) else {
        return Err(shape());
    };
    let value = |value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(shape()),
    };
    members.into_iter().map(|(name, member)| Ok((name, value(member)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn form(body: &str, max_file_bytes: u64) -> (Form, BodyFault) {
        read(body, max_file_bytes, Form::of_one)
    }

    fn read(
        body: &str,
        max_file_bytes: u64,
        begin: fn(&HeaderMap, Body, u64, &BodyFault) -> Result<Form, Problem>,
    ) -> (Form, BodyFault) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=B"));
        let fault = BodyFault::default();
        let body = Body::from(body.replace('\n', "\r\n"));
        (begin(&headers, body, max_file_bytes, &fault).expect("a form"), fault)
    }

    fn field(name: &str, value: &str) -> String {
        format!("--B\nContent-Disposition: form-data; name=\"{name}\"\n\n{value}\n")
    }

    fn file(content: &str) -> String {
        format!(
            "--B\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\nContent-Type: text/plain\n\n{content}\n"
        )
    }

    /// What the only file's content ends in, and what the client would be told.
    async fn content(body: &str, max_file_bytes: u64) -> Result<Bytes, Problem> {
        let (mut form, fault) = form(body, max_file_bytes);
        form.next_file().await?.expect("a file");
        form.only_content().await.collect(u64::MAX).await.map_err(|error| fault.or(error))
    }

    #[tokio::test]
    async fn fields_describe_the_file_that_follows_them() {
        let body = [
            field("metadata", "{\"job_id\": 42, \"title\": \"Résumé\"}"),
            field("filename", "b.txt"),
            field("tier", "hot"),
            field("sha256", &"07".repeat(32)),
            file("hello"),
            "--B--\n".to_owned(),
        ]
        .concat();
        let (mut form, _) = form(&body, 100);
        let FormFile { filename, options } = form.next_file().await.expect("sound").expect("a file");
        let options = options.expect("sound");
        assert_eq!(filename, "b.txt");
        assert_eq!(options.metadata["job_id"], "42");
        assert_eq!(options.metadata["title"], "Résumé");
        assert_eq!(options.content_type.as_deref(), Some("text/plain"));
        assert_eq!(options.tier, Some(Tier::Hot));
        assert_eq!(options.sha256, Some([7; 32]));
        assert_eq!(form.only_content().await.collect(100).await.expect("sound"), "hello");
    }

    #[tokio::test]
    async fn whatever_follows_the_file_fails_its_content() {
        for (trailing, code) in [
            (field("metadata", "{}") + "--B--\n", Code::InvalidRequest),
            (file("second") + "--B--\n", Code::InvalidRequest),
            (String::new(), Code::LengthMismatch),
        ] {
            let problem = content(&(file("hello") + &trailing), 100).await.expect_err("refused");
            assert_eq!(problem.code(), code, "{problem:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_limited_without_its_envelope() {
        let body = file("hello") + "--B--\n";
        assert_eq!(content(&body, 5).await.expect("fits"), "hello");
        assert_eq!(content(&body, 4).await.expect_err("too large").code(), Code::TooLarge);
    }

    #[test]
    fn what_describes_a_raw_body_is_refused_with_the_field_that_takes_its_place() {
        for (name, field) in [
            ("content-digest", "sha256"),
            ("x-content-sha256", "sha256"),
            ("x-storage-metadata", "metadata"),
            ("x-storage-tags", "tags"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=B"));
            headers.insert(name, HeaderValue::from_static("a=b"));
            let fault = BodyFault::default();
            for form in [Form::of_one, Form::of_many] {
                let problem = form(&headers, Body::empty(), 1, &fault).err().expect("refused");
                assert_eq!(problem.code(), Code::InvalidRequest);
                let detail = problem.report().expect("a detail");
                assert!(detail.starts_with(name) && detail.contains(&format!("field {field} ")), "{detail}");
            }
        }
    }

    #[tokio::test]
    async fn faulty_fields_are_named() {
        for (name, value) in [
            ("metadata", "[]"),
            ("metadata", "{\"a\": null}"),
            ("tier", "lukewarm"),
            ("sha256", "07"),
            ("x", ""),
        ] {
            let (mut form, _) = form(&(field(name, value) + "--B--\n"), 100);
            let problem = form.next_file().await.err().expect("refused");
            assert!(problem.report().expect("a detail").starts_with(name));
        }
        let (mut form, _) = form(&(field("filename", "a") + "--B--\n"), 100);
        assert_eq!(form.next_file().await.err().expect("no file").code(), Code::InvalidRequest);
    }

    #[tokio::test]
    async fn a_form_of_one_file_is_refused_before_the_file_comes() {
        for (name, value) in [("metadata", "[]"), ("x", "a file under another name")] {
            // Nothing follows the field, and whoever waited for more would find the form broken off.
            let (mut form, _) =
                form(&format!("--B\nContent-Disposition: form-data; name=\"{name}\"\n\n{value}\n--B"), 100);
            let problem = form.next_file().await.err().expect("refused");
            assert_eq!(problem.code(), Code::InvalidRequest);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_field_concerns_the_next_file_of_many_alone() {
        let too_long = "x".repeat(MAX_FIELD_BYTES + 1);
        let faulty =
            [("metadata", "[]"), ("sha256", "07"), ("tier", "lukewarm"), ("x", ""), ("filename", &too_long)];
        for (name, value) in faulty {
            let fields =
                [field("filename", "b.txt"), field(name, value), field("tags", "{\"a\": 1}")].concat();
            let body = [fields, file("first"), file("second"), "--B--\n".to_owned()].concat();
            let (mut form, _) = read(&body, 100, Form::of_many);
            let first = form.next_file().await.expect("it can be read on").expect("a file");
            assert_eq!(first.filename, "b.txt", "it is told which file failed");
            let detail = first.options.expect_err("refused").report().expect("a detail");
            assert!(detail.starts_with(name), "{detail}");
            let second = form.next_file().await.expect("sound").expect("a file");
            assert_eq!(second.filename, "a.txt");
            assert!(second.options.expect("sound").tags.is_empty(), "those were the first file's");
            assert!(form.next_file().await.expect("sound").is_none());
        }
    }

    #[tokio::test]
    async fn a_form_of_many_files_that_breaks_off_in_a_field_cannot_be_read_on() {
        let body = field("metadata", "[]") + "--B\nContent-Disposition: form-data; name=\"tags\"\n\n{";
        let (mut form, _) = read(&body, 100, Form::of_many);
        assert_eq!(form.next_file().await.err().expect("broken off").code(), Code::LengthMismatch);
    }
}
