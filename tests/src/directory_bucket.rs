//! [`DirectoryBuckets`]: makes directory buckets (S3 Express One Zone) of the buckets of a server that has none.
//!
//! It opens sessions, wants their token in every request for an object, lists in no order, and refuses what directory
//! buckets do not have: versions, tags, locks, keys of SSE-C, MD5, starts and prefixes within a folder, gaps between
//! parts. What is left goes to the server, which must not look at signatures (that of the root key of ministack is not
//! looked at). What Amazon's documentation does not say is not refused.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::servers::Server;

/// The token of every session.
pub const SESSION_TOKEN: &str = "the-token-of-a-session";

/// What a directory bucket does not know, asked for by a parameter of the URL.
const UNKNOWN_PARAMETERS: [&str; 12] = [
    "versions",
    "tagging",
    "acl",
    "retention",
    "legal-hold",
    "object-lock",
    "restore",
    "versioning",
    "accelerate",
    "intelligent-tiering",
    "start-after",
    "upload-id-marker",
];

/// What it does not know, asked for by a header.
const UNKNOWN_HEADERS: [&str; 7] = [
    "content-md5",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-optional-object-attributes",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-bypass-governance-retention",
];

/// An HTTP server on the loopback address. It ends when it is dropped.
#[derive(Debug)]
pub struct DirectoryBuckets {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for DirectoryBuckets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DirectoryBuckets {
    /// Makes them of the buckets of this server.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let front = Arc::new(Front {
            server: server.endpoint.trim_start_matches("http://").to_owned(),
            access_key: server.setting("access_key").to_owned(),
            secret_key: server.setting("secret_key").to_owned(),
        });
        let task = tokio::spawn(async move {
            loop {
                // What fails is the connection of a client that has gone already.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let front = Arc::clone(&front);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(&front, request));
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    // It fails when the client goes away.
                    drop(served);
                });
            }
        });
        Self { address, task }
    }

    /// Where clients reach it: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Front {
    /// `HOST:PORT`.
    server: String,
    access_key: String,
    secret_key: String,
}

type Answer = Response<Full<Bytes>>;

async fn answer(front: &Front, request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(front.answer(request).await.unwrap_or_else(|error| refusal(502, "BadGateway", &format!("{error:#}"))))
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (bucket, key) = place(&head.uri, &head.headers);
        let query = Query::of(&head.uri);
        head.uri = query.uri(&format!("/{bucket}/{key}"))?;
        if key.is_empty() && head.method == Method::PUT && query.0.is_empty() {
            let is_directory = String::from_utf8_lossy(&body).contains("<Type>Directory</Type>");
            if !is_directory {
                return Ok(refusal(400, "InvalidRequest", "a directory bucket is created as one"));
            }
            head.headers.remove("content-length");
            return self.forward(head, Bytes::new()).await;
        }
        if let Some(refused) = refused(&head, &query, &body, key.is_empty()) {
            return Ok(refused);
        }
        if query.has("session") {
            head.uri = Query(vec![("list-type".into(), "2".into())]).uri(&format!("/{bucket}"))?;
            let found = self.forward(head, body).await?;
            return Ok(if found.status().is_success() { self.session() } else { found });
        }
        if head.method == Method::GET && query.has("list-type") {
            return self.list(head, &bucket, &query).await;
        }
        if head.method == Method::GET && query.has("uploads") {
            return self.list_uploads(head, &bucket, &query).await;
        }
        let is_object = matches!(head.method, Method::GET | Method::HEAD) && query.get("uploadId").is_none();
        let mut answer = self.forward(head, body).await?;
        if is_object && answer.status().is_success() {
            answer.headers_mut().insert("x-amz-storage-class", "EXPRESS_ONEZONE".parse()?);
            answer.headers_mut().insert("x-amz-expiration", "NotImplemented".parse()?);
        }
        Ok(answer)
    }

    fn session(&self) -> Answer {
        let expiration = jiff::Timestamp::now() + std::time::Duration::from_secs(300);
        xml(format!(
            "<CreateSessionResult><Credentials><SessionToken>{SESSION_TOKEN}</SessionToken>\
             <SecretAccessKey>{}</SecretAccessKey><AccessKeyId>{}</AccessKeyId>\
             <Expiration>{}</Expiration></Credentials></CreateSessionResult>",
            self.secret_key,
            self.access_key,
            expiration.strftime("%Y-%m-%dT%H:%M:%SZ")
        ))
    }

    /// A page of a listing in no order.
    async fn list(&self, head: http::request::Parts, bucket: &str, query: &Query) -> Result<Answer> {
        let mut entries = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut asked = query.without(&["continuation-token", "max-keys"]);
            asked.0.extend(token.map(|token| ("continuation-token".to_owned(), token)));
            let text = match self.text(&head, bucket, &asked).await? {
                Ok(text) => text,
                Err(refused) => return Ok(refused),
            };
            entries.extend(
                elements(&text, "Contents")
                    .map(|entry| entry.replace("<StorageClass>STANDARD<", "<StorageClass>EXPRESS_ONEZONE<")),
            );
            entries.extend(elements(&text, "CommonPrefixes"));
            token = element(&text, "NextContinuationToken");
            if token.is_none() {
                break;
            }
        }
        if query.has("delimiter") {
            // Uploads in progress have their folders, too.
            let uploads = Query(vec![("uploads".into(), String::new())]);
            let text = self.text(&head, bucket, &uploads).await?.unwrap_or_default();
            let prefix = query.get("prefix").unwrap_or_default();
            let keys: Vec<_> =
                elements(&text, "Upload").filter_map(|upload| element(&upload, "Key")).collect();
            let folders = keys.iter().filter_map(|key| {
                let name = key.strip_prefix(prefix)?.split_once('/')?.0;
                Some(format!("<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"))
            });
            let known: BTreeSet<_> = entries.iter().cloned().collect();
            let more: BTreeSet<_> = folders.filter(|folder| !known.contains(folder)).collect();
            entries.extend(more);
        }
        let (page, next) = cut(entries, query.get("continuation-token"), query.get("max-keys"));
        let next = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
        Ok(xml(format!(
            "<ListBucketResult><IsTruncated>{}</IsTruncated>{page}{}</ListBucketResult>",
            next.is_some(),
            next.unwrap_or_default()
        )))
    }

    async fn list_uploads(&self, head: http::request::Parts, bucket: &str, query: &Query) -> Result<Answer> {
        let asked = query.without(&["key-marker", "max-uploads"]);
        let text = match self.text(&head, bucket, &asked).await? {
            Ok(text) => text,
            Err(refused) => return Ok(refused),
        };
        let uploads = elements(&text, "Upload").collect();
        let (page, next) = cut(uploads, query.get("key-marker"), query.get("max-uploads"));
        let next = next.map(|marker| format!("<NextKeyMarker>{marker}</NextKeyMarker>"));
        Ok(xml(format!(
            "<ListMultipartUploadsResult><IsTruncated>{}</IsTruncated>{page}{}</ListMultipartUploadsResult>",
            next.is_some(),
            next.unwrap_or_default()
        )))
    }

    /// What the server lists, or its refusal.
    async fn text(
        &self,
        head: &http::request::Parts,
        bucket: &str,
        query: &Query,
    ) -> Result<Result<String, Answer>> {
        let mut head = head.clone();
        head.uri = query.uri(&format!("/{bucket}"))?;
        let answer = self.forward(head, Bytes::new()).await?;
        if !answer.status().is_success() {
            return Ok(Err(answer));
        }
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok(Ok(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn forward(&self, mut head: http::request::Parts, body: Bytes) -> Result<Answer> {
        let stream = TcpStream::connect(&self.server).await.context("the server is not there")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = head.headers.get("host").and_then(|host| host.to_str().ok());
        // The server would look for a bucket in it. A signed URL holds for the host that it names, and has another.
        if host.is_none_or(|host| host.ends_with(".amazonaws.com")) {
            head.headers.insert("host", self.server.parse()?);
        }
        let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
        let (head, body) = answer.into_parts();
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }
}

/// Bucket and key of a request, by the host of a zone or by the path.
fn place(uri: &Uri, headers: &HeaderMap) -> (String, String) {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = uri.path().trim_start_matches('/');
    match host.split_once(".s3express-") {
        Some((bucket, _)) => (bucket.to_owned(), path.to_owned()),
        None => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (bucket.to_owned(), key.to_owned())
        }
    }
}

/// The refusal of what directory buckets do not have, and of requests without a session.
fn refused(head: &http::request::Parts, query: &Query, body: &Bytes, is_bucket: bool) -> Option<Answer> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let unknown =
        |what: &str| Some(refusal(501, "NotImplemented", &format!("no directory bucket has {what}")));
    if let Some(name) = UNKNOWN_PARAMETERS.iter().find(|name| query.has(name)) {
        return unknown(name);
    }
    if let Some(name) = UNKNOWN_HEADERS.iter().find(|name| head.headers.contains_key(**name)) {
        return unknown(name);
    }
    if query.get("versionId").is_some_and(|id| id != "null") {
        return unknown("versionId");
    }
    if header("x-amz-tagging").is_some_and(|tags| !tags.is_empty()) {
        return unknown("x-amz-tagging");
    }
    if header("x-amz-storage-class").is_some_and(|class| class != "EXPRESS_ONEZONE") {
        return Some(refusal(400, "InvalidStorageClass", "a directory bucket has one class"));
    }
    let is_cut = query.get("prefix").is_some_and(|prefix| !prefix.is_empty() && !prefix.ends_with('/'));
    if is_cut || query.get("delimiter").is_some_and(|delimiter| delimiter != "/") {
        return Some(refusal(400, "InvalidRequest", "prefixes end in the delimiter, which is a slash"));
    }
    if head.method == Method::POST && query.has("uploadId") {
        let text = String::from_utf8_lossy(body);
        let numbers: Vec<_> =
            elements(&text, "Part").filter_map(|part| element(&part, "PartNumber")).collect();
        if numbers.iter().zip(1..).any(|(number, expected)| number.parse() != Ok(expected)) {
            return Some(refusal(400, "InvalidPartOrder", "parts are numbered from 1 on without a gap"));
        }
    }
    let scope = header("authorization").or(query.get("X-Amz-Credential")).unwrap_or_default();
    if !scope.contains("/s3express/aws4_request") {
        return Some(refusal(403, "AccessDenied", "it is not signed for s3express"));
    }
    let token = header("x-amz-s3session-token").or(query.get("X-Amz-S3session-Token"));
    let is_for_account =
        query.has("session") || query.has("lifecycle") || head.headers.contains_key("x-amz-copy-source");
    match token {
        Some(_) if is_for_account => {
            Some(refusal(403, "AccessDenied", "this is signed with the keys of an account"))
        }
        None if !is_for_account && (!is_bucket || head.method != Method::HEAD) => {
            Some(refusal(403, "AccessDenied", "there is no session"))
        }
        Some(other) if other != SESSION_TOKEN => {
            Some(refusal(403, "InvalidToken", "there is no such session"))
        }
        _ => None,
    }
}

/// Entries in no order, from a token of ours on, and the next token.
fn cut(mut entries: Vec<String>, token: Option<&str>, limit: Option<&str>) -> (String, Option<String>) {
    entries.sort_by_cached_key(|entry| Sha256::digest(name_of(entry).as_bytes()).to_vec());
    let start = token.and_then(|token| token.strip_prefix("place-")?.parse().ok()).unwrap_or(0);
    let limit = limit.and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(1000).min(1000);
    let end = entries.len().min(start + limit);
    let next = (end < entries.len()).then(|| format!("place-{end}"));
    (entries.get(start..end).unwrap_or_default().concat(), next)
}

fn name_of(entry: &str) -> String {
    let upload = element(entry, "UploadId").unwrap_or_default();
    element(entry, "Key").or_else(|| element(entry, "Prefix")).unwrap_or_default() + &upload
}

/// The parameters of a URL, decoded.
#[derive(Clone, Debug)]
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    fn uri(&self, path: &str) -> Result<Uri> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        // Servers read blanks in this form alone.
        let query = query.replace('+', "%20");
        Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }.parse()?)
    }
}

/// The elements of this name with their tags.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rests: Vec<_> = xml.split(&open).skip(1).map(str::to_owned).collect();
    rests.into_iter().filter_map(move |rest| {
        let (content, _) = rest.split_once(&close)?;
        Some(format!("{open}{content}{close}"))
    })
}

/// The content of the first element of this name.
fn element(xml: &str, name: &str) -> Option<String> {
    let rest = xml.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>")).map(|(content, _)| content.to_owned())
}

fn xml(text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    answer
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let mut answer = xml(format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}
