//! The backend's own operations: putting its clock forward and following its URLs, for tests that reach it
//! through a plugin boundary.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::capability::{Capabilities, Extension, ExtensionArgument};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBackend;
use crate::stream::ByteStream;

const ADVANCE_CLOCK: &str = "advance_clock";
const FOLLOW_URL: &str = "follow_url";

/// The largest content that `follow_url` answers, in bytes: JSON is no way to carry more.
const MAX_FOLLOWED_BYTES: u64 = 1024 * 1024;

/// The extensions of a backend with these capabilities.
pub(super) fn list(capabilities: Capabilities) -> Vec<Extension> {
    let argument = |name: &str, description: &str, required| ExtensionArgument {
        name: name.to_owned(),
        description: description.to_owned(),
        required,
    };
    let mut extensions = vec![Extension {
        name: ADVANCE_CLOCK.to_owned(),
        description: "Puts the backend's clock forward, so that what takes time is done.".to_owned(),
        mutates: true,
        arguments: vec![argument("seconds", "By how much: a whole number.", true)],
    }];
    let signed = [Capabilities::PRESIGN_GET, Capabilities::PRESIGN_PUT];
    if signed.iter().any(|one| capabilities.has(*one)) {
        extensions.push(Extension {
            name: FOLLOW_URL.to_owned(),
            description: "Does what a presigned URL allows, as an HTTP client would.".to_owned(),
            mutates: true,
            arguments: vec![
                argument("url", "The URL: text.", true),
                argument("body", "What to write: text. Without it the URL is read.", false),
                argument("headers", "The headers of a write: an object of texts.", false),
            ],
        });
    }
    extensions
}

impl MemoryBackend {
    pub(super) async fn extension(&self, name: &str, arguments: Value) -> Result<Value> {
        let Some(extension) = self.info.extensions.iter().find(|extension| extension.name == name) else {
            let names: Vec<_> =
                self.info.extensions.iter().map(|extension| extension.name.as_str()).collect();
            return Err(Error::new(ErrorKind::Unsupported, "this backend has no such extension")
                .with_context("extension", name)
                .with_context("available", names.join(", ")));
        };
        let arguments = check(extension, arguments)?;
        if name == ADVANCE_CLOCK { self.advance(&arguments) } else { self.follow(&arguments).await }
    }

    fn advance(&self, arguments: &Map<String, Value>) -> Result<Value> {
        // A bound keeps the clock within what the system's time can express.
        let seconds = arguments["seconds"].as_u64().filter(|seconds| *seconds <= u64::from(u32::MAX));
        let seconds =
            seconds.ok_or_else(|| invalid("seconds is a whole number below 4,294,967,296", "seconds"))?;
        self.advance_clock(Duration::from_secs(seconds));
        Ok(json!({}))
    }

    async fn follow(&self, arguments: &Map<String, Value>) -> Result<Value> {
        let text = |name: &'static str| match arguments.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid("the argument is no text", name)),
        };
        let url = text("url")?.unwrap_or_default();
        let headers = headers(arguments.get("headers"))?;
        if let Some(body) = text("body")? {
            let saved = self.follow_put(&url, &headers, ByteStream::from_bytes(body)).await?;
            return Ok(json!({ "size_bytes": saved.size_bytes }));
        }
        let found = self.follow_get(&url).await?;
        let body = found.body.collect(MAX_FOLLOWED_BYTES).await?;
        Ok(json!({
            "content_type": found.meta.content_type,
            "content_disposition": found.meta.content_disposition,
            "body": String::from_utf8_lossy(&body),
        }))
    }
}

/// The arguments, after their names were checked against what the extension says of itself.
fn check(extension: &Extension, arguments: Value) -> Result<Map<String, Value>> {
    let Value::Object(arguments) = arguments else {
        return Err(Error::new(ErrorKind::InvalidArgument, "the arguments are not a JSON object"));
    };
    let known = |name: &String| extension.arguments.iter().any(|argument| argument.name == *name);
    if let Some(name) = arguments.keys().find(|name| !known(name)) {
        return Err(invalid("the extension has no such argument", name));
    }
    let missing =
        extension.arguments.iter().find(|one| one.required && !arguments.contains_key(one.name.as_str()));
    match missing {
        Some(argument) => Err(invalid("an argument is missing", &argument.name)),
        None => Ok(arguments),
    }
}

fn headers(given: Option<&Value>) -> Result<Vec<(String, String)>> {
    let refuse = || invalid("headers is no object of texts", "headers");
    let Some(given) = given else { return Ok(Vec::new()) };
    let pairs = given.as_object().ok_or_else(refuse)?.iter();
    pairs.map(|(name, value)| Ok((name.clone(), value.as_str().ok_or_else(refuse)?.to_owned()))).collect()
}

fn invalid(message: &str, argument: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).with_context("argument", argument)
}
