//! The stream of updates of one page.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::stream::{Stream, unfold};
use tokio::time::{Instant, sleep_until};

use super::super::outline::State;
use super::feeds::Subscription;
use crate::http::connection;

/// Longest duration of a stream. The browser then opens the next one, if its user still has access.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Longest interval between two parts of a stream. The script expects one in twice this time.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Size of a part of a message. Of a longer one, a client that reads slowly takes no more memory.
const CHUNK: usize = 16 << 10;
/// How long browsers wait before they open the next stream, in milliseconds.
const BEGINNING: &str = "retry: 1000\nevent: beat\ndata:\n\n";
const BEAT: &str = "event: beat\ndata:\n\n";

struct PageStream<D> {
    subscription: Subscription,
    /// What the page shows; `None` if it is unknown.
    seen: Option<State>,
    /// What was not sent yet of the current message.
    rest: Bytes,
    ends: Instant,
    until_draining: D,
}

/// The updates of a page in this state, until `until_draining` completes, or for some minutes.
pub(super) fn updates(
    subscription: Subscription,
    seen: Option<State>,
    until_draining: impl Future<Output = ()> + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
    let (rest, ends) = (BEGINNING.into(), Instant::now() + LIFETIME);
    let stream = PageStream { subscription, seen, rest, ends, until_draining: Box::pin(until_draining) };
    unfold(stream, |mut stream| async {
        connection::keep_open();
        let part = stream.next().await?;
        Some((Ok(part), stream))
    })
}

impl<D: Future<Output = ()> + Unpin> PageStream<D> {
    /// The next part; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        let beat = Instant::now() + connection::heartbeat_interval().min(HEARTBEAT);
        while self.rest.is_empty() {
            tokio::select! {
                biased;
                () = &mut self.until_draining => return None,
                () = sleep_until(self.ends) => return None,
                changed = self.subscription.newest.changed() => {
                    changed.ok()?;
                    self.take_message();
                }
                () = sleep_until(beat) => return Some(BEAT.into()),
            }
        }
        Some(self.rest.split_to(self.rest.len().min(CHUNK)))
    }

    fn take_message(&mut self) {
        let newest = self.subscription.newest.borrow_and_update().clone();
        let Some(update) = newest else { return };
        if let Some(message) = update.message(self.seen) {
            self.rest = message;
            self.seen = Some(update.state());
        }
    }
}
