//! [`Rule`]: which requests, how many of them, and what becomes of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::record::Request;

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Closed as if all were said.
    Close,
    /// Reset, as by a server that crashed.
    Reset,
}

/// What becomes of some requests.
///
/// A rule that says nothing else forwards what it matches, which is a way to except it from later rules.
/// What a rule says can be combined: delayed and throttled and then cut.
pub struct Rule {
    matches: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    times: usize,
    skipped: usize,
    chance: f64,
    fired: Arc<AtomicUsize>,
    pub(super) fault: Fault,
}

/// What is done to one request and its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    pub(super) delay: Duration,
    pub(super) answer: Option<Answer>,
    pub(super) at_once: Option<End>,
    pub(super) lose_answer: Option<End>,
    pub(super) request: BodyFault,
    pub(super) response: BodyFault,
    pub(super) truncate: Option<u64>,
    pub(super) replace: Option<Answer>,
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
}

/// What is done to a body that passes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyFault {
    pub(super) cut: Option<(u64, End)>,
    pub(super) alter: Option<u64>,
    pub(super) bytes_per_second: Option<u64>,
}

/// An answer that no server gave.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// How often a rule has fired, for a test to be sure that its fault happened.
#[derive(Clone, Debug)]
pub struct Firing(Arc<AtomicUsize>);

impl Firing {
    /// How many requests the rule decided about.
    pub fn fired(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Rule {
    /// A rule for the requests of which this holds. Only the head of a request is known then.
    pub fn on(matches: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Self {
            matches: Box::new(matches),
            times: usize::MAX,
            skipped: 0,
            chance: 1.0,
            fired: Arc::default(),
            fault: Fault::default(),
        }
    }

    /// A rule for every request.
    pub fn always() -> Self {
        Self::on(|_| true)
    }

    /// Only the first so many that match; all without this.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Not the first so many that match.
    #[must_use]
    pub fn after(mut self, skipped: usize) -> Self {
        self.skipped = skipped;
        self
    }

    /// Each that matches only with this probability, by the dice of the proxy's seed.
    #[must_use]
    pub fn chance(mut self, probability: f64) -> Self {
        self.chance = probability;
        self
    }

    /// Waits before anything else is done.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.fault.delay = delay;
        self
    }

    /// Answers in the server's place, which never hears of it. The request's body is read first.
    #[must_use]
    pub fn answer(mut self, status: u16, body: impl Into<Bytes>) -> Self {
        self.fault.answer = Some(Answer::new(status, body));
        self
    }

    /// Ends the connection as soon as the head of the request is there.
    #[must_use]
    pub fn drop_at_once(mut self, end: End) -> Self {
        self.fault.at_once = Some(end);
        self
    }

    /// Ends both connections once the server was sent so many bytes of the request's body. A shorter body
    /// passes.
    #[must_use]
    pub fn cut_request(mut self, after_bytes: u64, end: End) -> Self {
        self.fault.request.cut = Some((after_bytes, end));
        self
    }

    /// Ends the connection once the client was sent so many bytes of the response's body, whose announced
    /// length stays as it was. A shorter body passes.
    #[must_use]
    pub fn cut_response(mut self, after_bytes: u64, end: End) -> Self {
        self.fault.response.cut = Some((after_bytes, end));
        self
    }

    /// The server does what was asked, and the connection ends before its answer.
    #[must_use]
    pub fn lose_answer(mut self, end: End) -> Self {
        self.fault.lose_answer = Some(end);
        self
    }

    /// Flips a bit of the byte at this place of the request's body. A shorter body passes.
    #[must_use]
    pub fn alter_request(mut self, at: u64) -> Self {
        self.fault.request.alter = Some(at);
        self
    }

    /// Flips a bit of the byte at this place of the response's body. A shorter body passes.
    #[must_use]
    pub fn alter_response(mut self, at: u64) -> Self {
        self.fault.response.alter = Some(at);
        self
    }

    /// The response's body ends after so many bytes, as if that were all: its announced length says the same.
    #[must_use]
    pub fn truncate_response(mut self, to_bytes: u64) -> Self {
        self.fault.truncate = Some(to_bytes);
        self
    }

    /// The server does what was asked, and the client gets this status and body instead of its own. Headers
    /// stay as they are but for those about the body.
    #[must_use]
    pub fn replace_response(mut self, status: u16, body: impl Into<Bytes>) -> Self {
        self.fault.replace = Some(Answer::new(status, body));
        self
    }

    /// Sets a header of the response, be it the server's or one of the rule.
    ///
    /// # Panics
    ///
    /// If the name or the value is none that a header can have.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: &str) -> Self {
        let value = value.parse().expect("the value of a header");
        self.fault.headers.push((header_name(name), Some(value)));
        self
    }

    /// Removes a header from the response.
    ///
    /// # Panics
    ///
    /// If the name is none that a header can have.
    #[must_use]
    pub fn without_response_header(mut self, name: &str) -> Self {
        self.fault.headers.push((header_name(name), None));
        self
    }

    /// Lets the bodies of request and response pass at most this fast.
    #[must_use]
    pub fn throttle(mut self, bytes_per_second: u64) -> Self {
        self.fault.request.bytes_per_second = Some(bytes_per_second);
        self.fault.response.bytes_per_second = Some(bytes_per_second);
        self
    }

    pub(super) fn firing(&self) -> Firing {
        Firing(Arc::clone(&self.fired))
    }

    /// Whether it decides about this request, which counts; `dice` gives a number from 0 up to 1.
    pub(super) fn fires(&mut self, request: &Request, dice: impl FnOnce() -> f64) -> bool {
        if self.fired.load(Ordering::SeqCst) >= self.times || !(self.matches)(request) {
            return false;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return false;
        }
        if self.chance < 1.0 && dice() >= self.chance {
            return false;
        }
        self.fired.fetch_add(1, Ordering::SeqCst);
        true
    }
}

impl Answer {
    fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        Self { status, body: body.into() }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rule").field("fired", &self.fired).field("fault", &self.fault).finish()
    }
}

fn header_name(name: &str) -> HeaderName {
    name.parse().expect("the name of a header")
}
