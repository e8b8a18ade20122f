//! One feed for each page that is open somewhere. All feeds are rendered together, at most once a second and in a small
//! part of the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::rt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::super::fragment::Fragment;
use super::Subject;
use super::update::Update;
use crate::clock::Stopwatch;
use crate::event::Timestamp;

/// Maximum number of streams. Each occupies a connection.
pub(in crate::http::private) const MAX_STREAMS: usize = 128;
/// Shortest time between two updates of a page.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause is also this many times as long as rendering has taken. Many different pages then are updated less often
/// instead of taking more of the processor.
const PAUSE_FACTOR: u32 = 25;
/// How often pages are rendered without a change of the state: for what depends on the clock or on files.
const REFRESH: Duration = Duration::from_secs(5);

/// Renders these pages, all at the same moment, on a thread for blocking work.
pub(super) type Render = Box<dyn Fn(Vec<OpenPage>) -> LocalBoxFuture<'static, Vec<Rendered>> + Send + Sync>;

/// A page that is open somewhere.
pub(super) struct OpenPage {
    pub(super) subject: Subject,
    newest: Option<Arc<Update>>,
}

/// A page with its update, if it has changed.
pub(super) struct Rendered {
    subject: Subject,
    update: Option<Update>,
}

impl OpenPage {
    pub(super) fn rendered(self, now: Timestamp, render: impl FnOnce(&Subject) -> Vec<Fragment>) -> Rendered {
        let Self { subject, newest } = self;
        let update = Update::next(newest.as_deref(), &render(&subject), now);
        Rendered { subject, update }
    }
}

/// The feeds of all open pages.
pub(in crate::http::private) struct Feeds {
    table: Mutex<Table>,
    /// A page was opened.
    opened: Notify,
    places: Arc<Semaphore>,
    /// Changes with the state.
    version: watch::Receiver<u64>,
    render: Render,
}

#[derive(Default)]
struct Table {
    feeds: HashMap<Subject, Feed>,
    /// A task renders them.
    running: bool,
}

#[derive(Default)]
struct Feed {
    pages: usize,
    newest: watch::Sender<Option<Arc<Update>>>,
}

/// An open page. Its feed ends with the last one.
pub(super) struct Subscription {
    pub(super) newest: watch::Receiver<Option<Arc<Update>>>,
    subject: Subject,
    feeds: Arc<Feeds>,
    _place: OwnedSemaphorePermit,
}

impl Feeds {
    pub(super) fn new(version: watch::Receiver<u64>, render: Render) -> Self {
        let (table, opened, places) = (Mutex::default(), Notify::new(), Arc::new(Semaphore::new(MAX_STREAMS)));
        Self { table, opened, places, version, render }
    }

    /// Adds a page, which gets the newest update soon. `None` if the maximum is reached.
    pub(super) fn subscribe(self: &Arc<Self>, subject: Subject) -> Option<Subscription> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut table = self.table();
        let feed = table.feeds.entry(subject.clone()).or_default();
        feed.pages += 1;
        let newest = feed.newest.subscribe();
        if !std::mem::replace(&mut table.running, true) {
            rt::spawn(self.clone().run());
        }
        drop(table);
        self.opened.notify_one();
        Some(Subscription { newest, subject, feeds: self.clone(), _place: place })
    }

    /// Renders the pages until none is open.
    async fn run(self: Arc<Self>) {
        let mut version = self.version.clone();
        while let Some(pages) = self.begin_round() {
            version.mark_unchanged();
            let since = Stopwatch::start();
            let rendered = (self.render)(pages).await;
            self.publish(rendered);
            sleep(PAUSE.max(since.elapsed() * PAUSE_FACTOR)).await;
            tokio::select! {
                changed = version.changed() => if changed.is_err() {
                    // The recorder has ended.
                    sleep(REFRESH).await;
                },
                () = self.opened.notified() => {}
                () = sleep(REFRESH) => {}
            }
        }
    }

    /// The pages that are open; `None` ends the task.
    fn begin_round(&self) -> Option<Vec<OpenPage>> {
        let mut table = self.table();
        table.running = !table.feeds.is_empty();
        let page = |(subject, feed): (&Subject, &Feed)| OpenPage {
            subject: subject.clone(),
            newest: feed.newest.borrow().clone(),
        };
        table.running.then(|| table.feeds.iter().map(page).collect())
    }

    /// Publishes what was rendered. Also wakes the streams of a page that did not change, because one that was opened
    /// meanwhile may show an older state.
    fn publish(&self, rendered: Vec<Rendered>) {
        let table = self.table();
        for Rendered { subject, update } in rendered {
            let Some(feed) = table.feeds.get(&subject) else { continue };
            feed.newest.send_modify(|newest| {
                if let Some(update) = update {
                    *newest = Some(Arc::new(update));
                }
            });
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut table = self.feeds.table();
        if let Some(feed) = table.feeds.get_mut(&self.subject) {
            feed.pages -= 1;
            if feed.pages == 0 {
                table.feeds.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests;
