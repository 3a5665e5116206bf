//! What a proxy remembers: each request with what became of it, and the rules that decide about the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;

use super::rule::{Fault, Firing, Rule};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path as it was sent, percent signs and all.
    pub path: String,
    /// What stands behind the question mark, as it was sent.
    pub query: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The beginning of the body, as far as it has arrived and [`Link::recorded_bytes`] lets it be kept.
    ///
    /// [`Link::recorded_bytes`]: super::Link::recorded_bytes
    pub body: Vec<u8>,
    /// How long the body was, as far as it has arrived.
    pub body_bytes: u64,
}

/// What the client was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was asked.
    pub request: Request,
    /// What was answered; none as long as nothing is, and if the answer was lost.
    pub answered: Option<Answered>,
    /// Whether a rule decided about it.
    pub spoilt: bool,
}

impl Request {
    pub(super) fn new(head: &Parts) -> Self {
        Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers.clone(),
            body: Vec::new(),
            body_bytes: 0,
        }
    }

    /// The value of a parameter of the query, decoded; empty for one without a value, such as `?uploads`.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref()?;
        form_urlencoded::parse(query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The value of a header, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Answered {
    /// The value of a header, if it has one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The memory of one proxy.
#[derive(Debug)]
pub(super) struct Journal {
    recorded_bytes: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
    /// The number of the first of `exchanges`; those before it were forgotten.
    first: usize,
    exchanges: Vec<Exchange>,
    connections: usize,
    at_once: usize,
    most_at_once: usize,
    dice: Dice,
}

/// Says that a request is under way as long as it lives, and where to record more about it.
#[derive(Debug)]
pub(super) struct Entry {
    journal: std::sync::Arc<Journal>,
    number: usize,
}

impl Journal {
    pub(super) fn new(recorded_bytes: usize, seed: u64) -> Self {
        let state = State {
            rules: Vec::new(),
            first: 0,
            exchanges: Vec::new(),
            connections: 0,
            at_once: 0,
            most_at_once: 0,
            dice: Dice(seed),
        };
        Self { recorded_bytes, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn add(&self, rule: Rule) -> Firing {
        let firing = rule.firing();
        self.state().rules.push(rule);
        firing
    }

    pub(super) fn clear_rules(&self) {
        self.state().rules.clear();
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }

    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.first += state.exchanges.len();
        state.exchanges.clear();
        state.most_at_once = state.at_once;
    }

    pub(super) async fn seen(&self, wanted: impl Fn(&Exchange) -> bool) -> Exchange {
        loop {
            // Before the look, so that a change right after it is not missed.
            let changed = self.changed.notified();
            if let Some(exchange) = self.state().exchanges.iter().find(|exchange| wanted(exchange)) {
                return exchange.clone();
            }
            changed.await;
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.state().connections
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    pub(super) fn connected(&self) {
        self.state().connections += 1;
    }

    /// Records a request, and asks the rules what is to become of it.
    pub(super) fn begin(self: &std::sync::Arc<Self>, request: Request) -> (Entry, Fault) {
        let mut state = self.state();
        let State { rules, dice, .. } = &mut *state;
        let rule = rules.iter_mut().find_map(|rule| rule.fires(&request, || dice.roll()).then_some(&*rule));
        let (spoilt, fault) = (rule.is_some(), rule.map(|rule| rule.fault.clone()).unwrap_or_default());
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        state.exchanges.push(Exchange { request, answered: None, spoilt });
        let number = state.first + state.exchanges.len() - 1;
        drop(state);
        self.changed.notify_waiters();
        (Entry { journal: std::sync::Arc::clone(self), number }, fault)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn body(&self, data: &Bytes) {
        let limit = self.journal.recorded_bytes;
        self.update(|exchange| {
            let request = &mut exchange.request;
            let room = limit.saturating_sub(request.body.len());
            request.body.extend_from_slice(&data[..data.len().min(room)]);
            request.body_bytes += data.len() as u64;
        });
    }

    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let answered = Answered { status, headers: headers.clone() };
        self.update(|exchange| exchange.answered = Some(answered));
    }

    fn update(&self, change: impl FnOnce(&mut Exchange)) {
        let mut state = self.journal.state();
        // It may have been forgotten in the meantime.
        if let Some(at) = self.number.checked_sub(state.first)
            && let Some(exchange) = state.exchanges.get_mut(at)
        {
            change(exchange);
        }
        drop(state);
        self.journal.changed.notify_waiters();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.journal.state().at_once -= 1;
        self.journal.changed.notify_waiters();
    }
}

/// SplitMix64: the same numbers from the same seed.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
