//! What parent and child of an examination say to each other: one request to the child, many events to the parent.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Finding, Stage};

/// What the child is to do.
#[derive(Clone, Deserialize, Serialize)]
pub struct Request {
    /// The library.
    pub path: PathBuf,
    /// Settings that go before those of the configuration, by key or variable. Where there are any, one backend is
    /// opened; else every configured one of the library's type.
    pub settings: Vec<(String, String)>,
    /// Whether settings that the library does not know are for other libraries, so that they are no fault.
    pub settings_are_shared: bool,
    /// Why no backend is to be opened.
    pub not_opened: Option<String>,
}

impl Request {
    /// A library to be examined with what the configuration says.
    pub fn new(path: PathBuf) -> Self {
        Self { path, settings: Vec::new(), settings_are_shared: false, not_opened: None }
    }
}

/// One line to the parent.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The next stage begins.
    Entering(Stage),
    /// The keys of the configuration.
    Keys(Vec<String>),
    /// A backend was opened and answered.
    Opened(String),
    /// No backend is opened, and why.
    NotOpened(String),
    /// Something is wrong.
    Found(Finding),
}
