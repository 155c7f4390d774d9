//! The events after a cursor that a webhook wants, read in pages.

use std::collections::VecDeque;

use hostler_common::id::EventNumber;
use hostler_core::event::Recorded;
use hostler_core::webhook::{Seek, Webhook};

use crate::store::event::event_list;
use crate::store::{Result, Store};

/// How many events are read at once.
const PAGE: u32 = 64;

/// How many pages are read in one go, so that whoever waits for a rare event gets a turn at other things.
const PAGES: usize = 64;

/// What was read ahead. Only memory: it can be read again at any time.
#[derive(Debug)]
pub(super) struct Ahead {
    generation: Option<u32>,
    /// Everything up to here was looked at.
    scanned: EventNumber,
    wanted: VecDeque<Recorded>,
    missed: u64,
}

impl Ahead {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { generation: None, scanned: EventNumber(0), wanted: VecDeque::new(), missed: 0 }
    }

    /// What is next after `from`.
    pub(super) async fn seek(&mut self, store: &Store, webhook: &Webhook, from: EventNumber) -> Result<Seek> {
        if self.generation != Some(webhook.generation) || self.scanned < from {
            *self = Self { generation: Some(webhook.generation), scanned: from, ..Self::new() };
        }
        while self.wanted.front().is_some_and(|event| event.number <= from) {
            self.wanted.pop_front();
        }
        for _ in 0..PAGES {
            if !self.wanted.is_empty() || !self.read_page(store, webhook).await? {
                break;
            }
        }
        let found = self.wanted.front().map(|event| event.number);
        let passed = found.map_or(self.scanned, |found| EventNumber(found.0 - 1));
        Ok(Seek { from, generation: webhook.generation, passed, found, missed: self.missed })
    }

    /// What was found counted.
    pub(super) fn counted(&mut self) {
        self.missed = 0;
    }

    /// An event that was read already.
    pub(super) fn event(&self, number: EventNumber) -> Option<Recorded> {
        self.wanted.iter().find(|event| event.number == number).cloned()
    }

    /// Reads one page; `false` if there is nothing more.
    async fn read_page(&mut self, store: &Store, webhook: &Webhook) -> Result<bool> {
        let page = event_list(&mut *store.read().await?, self.scanned, PAGE).await?;
        let Some(first) = page.first() else { return Ok(false) };
        // Numbers have no holes: what is not there was removed.
        self.missed += u64::try_from(first.number.0 - self.scanned.0 - 1).unwrap_or(0);
        for event in page {
            self.scanned = event.number;
            if webhook.wants(&event) {
                self.wanted.push_back(event);
            }
        }
        Ok(true)
    }
}
