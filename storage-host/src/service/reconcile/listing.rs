//! The two sides of a comparison, one entry at a time and both in byte order of the keys: what a backend holds, and
//! what the catalog says that it holds.

use std::collections::VecDeque;
use std::sync::Arc;

use storage_core::{Backend, ListOptions, ObjectMeta, Result};

use super::super::naming::KEY_PREFIX;
use crate::catalog::{Catalog, PlacedVersion};

/// How many of the catalog's entries are fetched at once.
const PAGE: u32 = 1_000;

/// The service's objects in a backend.
pub(super) struct Objects {
    backend: Arc<dyn Backend>,
    page: VecDeque<ObjectMeta>,
    next_page_token: Option<String>,
    started: bool,
}

impl Objects {
    pub(super) fn of(backend: Arc<dyn Backend>) -> Self {
        Self { backend, page: VecDeque::new(), next_page_token: None, started: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        while self.page.is_empty() && !(self.started && self.next_page_token.is_none()) {
            let options = ListOptions {
                prefix: KEY_PREFIX.to_owned(),
                page_token: self.next_page_token.take(),
                ..ListOptions::default()
            };
            let page = self.backend.list_files(options).await?;
            self.page = page.objects.into();
            self.next_page_token = page.next_page_token;
            self.started = true;
        }
        Ok(self.page.pop_front())
    }
}

/// The catalog's versions that are in a backend.
pub(super) struct Placements {
    catalog: Arc<dyn Catalog>,
    backend: String,
    page: VecDeque<PlacedVersion>,
    last: Option<String>,
    ended: bool,
}

impl Placements {
    pub(super) fn of(catalog: Arc<dyn Catalog>, backend: &str) -> Self {
        Self { catalog, backend: backend.to_owned(), page: VecDeque::new(), last: None, ended: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<PlacedVersion>> {
        if self.page.is_empty() && !self.ended {
            let page = self.catalog.placements_after(&self.backend, self.last.as_deref(), PAGE).await?;
            self.ended = page.len() < PAGE as usize;
            self.last = page.last().map(|placed| placed.key.to_string());
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}
