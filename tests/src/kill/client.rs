//! One client: saves, replaces, copies and deletes until the service goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method, RequestBuilder, multipart};
use serde_json::Value;
use storage_conformance::fixture::Content;
use tokio::sync::Notify;

use super::account::Tally;
use super::ledger::{Doubt, Ledger};
use crate::home::Api;

/// Bytes of a body that are handed over at once.
const CHUNK_BYTES: u64 = 128 * 1024;

/// Counts what happens and says when it is time to kill: at an answer, or amid a body.
#[derive(Debug)]
pub struct Trigger {
    events: AtomicU64,
    at: u64,
    reached: Notify,
}

impl Trigger {
    /// One that is reached with so many events.
    pub fn new(at: u64) -> Arc<Self> {
        Arc::new(Self { events: AtomicU64::new(0), at, reached: Notify::new() })
    }

    /// Waits for it.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    fn event(&self) {
        if self.events.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            self.reached.notify_one();
        }
    }
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
enum Form {
    Whole,
    Stream,
    Undeclared,
    Multipart,
}

/// Works for a user until the service goes away; the ledger then says what is in doubt.
///
/// # Errors
///
/// An answer that is not the one that it must be.
pub async fn work(
    api: &Api,
    mut ledger: Ledger,
    mut dice: Dice,
    trigger: &Arc<Trigger>,
    tally: &Tally,
) -> Result<Ledger> {
    loop {
        let (doubt, request, expected) = choose(api, &ledger, &mut dice, trigger);
        let added_bytes = match &doubt {
            Doubt::NewFile(content) | Doubt::NewVersion(_, content) => content.size_bytes,
            Doubt::Delete(_) | Doubt::DeleteVersion(..) => 0,
        };
        ledger.doubt = Some(doubt.clone());
        // The kill; what was under way stays in doubt.
        let Ok((status, answer)) = api.send(request).await else { return Ok(ledger) };
        trigger.event();
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        if status == expected {
            ledger.acknowledge(&text("id"), &text("version"));
            tally.acknowledged(&doubt);
        } else if status == 403 && text("code") == "quota_exceeded" && is_full(&ledger, added_bytes) {
            ledger.doubt = None;
            tally.refused();
        } else {
            bail!("{doubt:?} of {} was answered {status}: {answer}\n{ledger:?}", ledger.user);
        }
    }
}

fn is_full(ledger: &Ledger, added_bytes: u64) -> bool {
    ledger.max_bytes.is_some_and(|max_bytes| ledger.usage().0 + added_bytes > max_bytes)
}

/// The next request, what it does, and the status that says that it is done.
fn choose(
    api: &Api,
    ledger: &Ledger,
    dice: &mut Dice,
    trigger: &Arc<Trigger>,
) -> (Doubt, RequestBuilder, u16) {
    let user = &ledger.user;
    let pick = |dice: &mut Dice| {
        let at = dice.below(ledger.files.len() as u64) as usize;
        ledger.files.iter().nth(at).map(|(file, versions)| (file.clone(), versions.clone()))
    };
    let choice = match ledger.files.len() {
        0 | 1 => 0,
        2..6 => dice.below(100),
        // So many are enough: every one is read after every kill.
        _ => 70 + dice.below(30),
    };
    let picked = if choice < 40 { None } else { pick(dice) };
    let Some((file, versions)) = picked else {
        let (content, form) = content(dice);
        let request = api.call(user, Method::POST, "/v1/files");
        let request = match form {
            Form::Multipart => {
                let part = multipart::Part::stream(Body::wrap_stream(chunks(content, trigger)));
                request.multipart(multipart::Form::new().part("file", part.file_name("form.bin")))
            }
            _ => with_body(request.query(&[("filename", "noise.bin")]), content, form, trigger),
        };
        return (Doubt::NewFile(content), request, 201);
    };
    let oldest = &versions[0];
    let newest = &versions[versions.len() - 1];
    let one_of_many = versions.len() > 1;
    match choice {
        70..82 => {
            let request = api.call(user, Method::DELETE, &format!("/v1/files/{file}"));
            (Doubt::Delete(file), request, 204)
        }
        82..90 if one_of_many => {
            let path = format!("/v1/files/{file}/versions/{}", oldest.0);
            let request = api.call(user, Method::DELETE, &path);
            (Doubt::DeleteVersion(file, oldest.0.clone()), request, 204)
        }
        90..95 if one_of_many => {
            let path = format!("/v1/files/{file}/versions/{}/restore", oldest.0);
            (Doubt::NewVersion(file, oldest.1), api.call(user, Method::POST, &path), 200)
        }
        60..70 => {
            let request = api.call(user, Method::POST, &format!("/v1/files/{file}/copy"));
            (Doubt::NewFile(newest.1), request, 201)
        }
        _ if versions.len() > 3 => {
            let request = api.call(user, Method::DELETE, &format!("/v1/files/{file}"));
            (Doubt::Delete(file), request, 204)
        }
        _ => {
            let (content, form) = content(dice);
            let request = api.call(user, Method::PUT, &format!("/v1/files/{file}/content"));
            (Doubt::NewVersion(file, content), with_body(request, content, form, trigger), 200)
        }
    }
}

fn content(dice: &mut Dice) -> (Content, Form) {
    let seed = dice.below(1 << 40);
    match dice.below(20) {
        0..9 => (Content::new(seed, dice.below(100_000)), Form::Whole),
        9..13 => (Content::new(seed, dice.below(400_000)), Form::Stream),
        13..17 => (Content::new(seed, dice.below(2_000_000)), Form::Undeclared),
        17..19 => (Content::new(seed, dice.below(400_000)), Form::Multipart),
        _ => (Content::new(seed, 9_000_000 + dice.below(4_000_000)), Form::Undeclared),
    }
}

fn with_body(
    request: RequestBuilder,
    content: Content,
    form: Form,
    trigger: &Arc<Trigger>,
) -> RequestBuilder {
    match form {
        Form::Whole => request.body(content.bytes()),
        Form::Stream => {
            let request = request.header(CONTENT_LENGTH, content.size_bytes);
            request.body(Body::wrap_stream(chunks(content, trigger)))
        }
        Form::Undeclared | Form::Multipart => request.body(Body::wrap_stream(chunks(content, trigger))),
    }
}

/// The content in pieces, each of which is an event.
fn chunks(
    content: Content,
    trigger: &Arc<Trigger>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let starts = (0..content.size_bytes).step_by(CHUNK_BYTES as usize);
    let trigger = Arc::clone(trigger);
    stream::iter(starts.map(move |start| {
        trigger.event();
        Ok(content.slice(start..content.size_bytes.min(start + CHUNK_BYTES)))
    }))
}

/// The id that an answer names.
pub(super) fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}
