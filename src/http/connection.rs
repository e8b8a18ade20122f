//! The connection that the current task serves: its deadline, and its end after a response.
//!
//! actix-web times out the first request head and idle keep-alive connections. It has no timeout for later heads or for
//! responses that the client does not read. Each connection therefore has a deadline that depends on what it waits for;
//! when it expires, the connection is closed in whatever state it is.
//!
//! | waits for | deadline |
//! |---|---|
//! | a request, and a valid secret was presented | idle timeout |
//! | a request of a stranger | [`STRANGER_TIMEOUT`] |
//! | the handler | idle timeout |
//! | the client to read the response | [`RESPONSE_TIMEOUT`] |
//! | the client to read an endless response | the same, from the last part that it took |

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connections::Permit;
use crate::recorder::{Hold, StateReader};

/// Time for a request of a client that has not presented a valid secret. Longer than the limit for a first head, so that
/// a slow client still gets 408.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(6);
/// Time for a client to read a response. A slow reader occupies memory, and inputs that change meanwhile are held twice.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that the server has closed waits for the client to close it too.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

struct Connection {
    permit: Permit,
    /// The listener's idle timeout.
    idle_timeout: Duration,
    /// How long the connection may wait for a request.
    patience: Cell<Duration>,
    deadline: Cell<Instant>,
    waits_for: Cell<WaitsFor>,
    /// The handler has used all of the body that has arrived.
    wants_body: Cell<bool>,
    /// What was read must be processed before more is read.
    process_first: Cell<bool>,
    /// A write waits for the client.
    write_is_pending: Cell<bool>,
    /// Wakes the task when more may be read.
    reader: Cell<Option<Waker>>,
    closing: Rc<Closing>,
}

/// Asks actix to close the connection after the response that is being prepared.
#[derive(Default)]
struct Closing {
    requested: Notify,
    /// actix starts no further request.
    confirmed: Notify,
    is_confirmed: Cell<bool>,
}

tokio::task_local! {
    static CURRENT: Connection;
}

/// Serves a connection until it ends, its deadline expires or it is evicted.
pub(super) async fn serve<E>(
    permit: Permit,
    idle_timeout: Duration,
    serving: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let patience = if permit.is_proxy() { idle_timeout } else { idle_timeout.min(STRANGER_TIMEOUT) };
    let evicted = permit.evicted();
    let connection = Connection {
        permit,
        idle_timeout,
        patience: Cell::new(patience),
        deadline: Cell::new(Instant::now() + patience),
        waits_for: Cell::new(WaitsFor::Request),
        wants_body: Cell::new(false),
        process_first: Cell::new(false),
        write_is_pending: Cell::new(false),
        reader: Cell::default(),
        closing: Rc::default(),
    };
    let serve = async {
        tokio::select! {
            biased;
            result = serving => result,
            // Dropping `serving` closes the socket.
            () = expired() => Ok(()),
            () = evicted => Ok(()),
        }
    };
    CURRENT.scope(connection, serve).await
}

/// Completes when the deadline of the current connection has expired.
async fn expired() {
    let deadline = || CURRENT.with(|connection| connection.deadline.get());
    let mut sleep = pin!(sleep_until(deadline()));
    poll_fn(|cx| {
        loop {
            // A later deadline is set only when the sleep ends, because most requests move it.
            if deadline() < sleep.deadline() {
                sleep.as_mut().reset(deadline());
            }
            ready!(sleep.as_mut().poll(cx));
            if deadline() <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline());
        }
    })
    .await;
}

/// What the current connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    Request,
    Handler,
    Reader,
    /// The client to read what there is of an endless response.
    Subscriber,
}

/// Sets the deadline of the current connection. A request starts or is answered, so it is not idle now.
pub(super) fn now_waits(waits: WaitsFor) {
    // A body may be dropped after its connection.
    let _ = CURRENT.try_with(|connection| {
        connection.permit.touch();
        let time = match waits {
            WaitsFor::Request => connection.patience.get(),
            WaitsFor::Handler => connection.idle_timeout,
            WaitsFor::Reader | WaitsFor::Subscriber => connection.response_timeout(),
        };
        connection.deadline.set(Instant::now() + time);
        connection.waits_for.set(waits);
        connection.wants_body.set(false);
        connection.process_first.set(false);
        if waits == WaitsFor::Request {
            connection.read_on();
        }
    });
}

/// The current connection has an endless response, of which actix takes more now. Renews its deadline, unless the client
/// has not read what was written before.
pub(super) fn keep_open() {
    if !CURRENT.try_with(|connection| connection.write_is_pending.get()).unwrap_or(true) {
        now_waits(WaitsFor::Subscriber);
    }
}

/// How often an endless response must have a part, so that the deadline of the current connection does not expire.
pub(super) fn heartbeat_interval() -> Duration {
    CURRENT.try_with(Connection::response_timeout).unwrap_or(RESPONSE_TIMEOUT) / 3
}

/// Whether a write on the current connection waits for the client.
pub(super) fn set_write_pending(is_pending: bool) {
    let _ = CURRENT.try_with(|connection| connection.write_is_pending.set(is_pending));
}

impl Connection {
    /// Time for the client to read a response.
    fn response_timeout(&self) -> Duration {
        self.idle_timeout.min(RESPONSE_TIMEOUT)
    }

    fn read_on(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What may be read from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Head,
    /// Some of the body of the current request.
    Body,
    /// What the client still sends on a connection that is being closed. It is not interpreted.
    Rest,
    /// Only whether the client has disconnected.
    End,
    Nothing,
}

/// What may be read from the current connection. If it is nothing, the task is woken when that changes.
pub(super) fn reading(cx: &Context<'_>) -> Reading {
    let reading = |connection: &Connection| match connection.waits_for.get() {
        _ if connection.process_first.take() => {
            cx.waker().wake_by_ref();
            Reading::Nothing
        }
        WaitsFor::Request if connection.closing.is_confirmed.get() => Reading::Rest,
        WaitsFor::Request => Reading::Head,
        WaitsFor::Handler if connection.wants_body.get() => Reading::Body,
        WaitsFor::Subscriber => Reading::End,
        WaitsFor::Handler | WaitsFor::Reader => {
            connection.reader.set(Some(cx.waker().clone()));
            Reading::Nothing
        }
    };
    CURRENT.try_with(reading).unwrap_or(Reading::Head)
}

/// The handler has used all of the body that has arrived: more of it may be read.
pub(super) fn want_body() {
    let _ = CURRENT.try_with(|connection| {
        connection.wants_body.set(true);
        connection.read_on();
    });
}

/// A head, or some of a body, was read. No more is read until it has been processed.
pub(super) fn process_first() {
    let _ = CURRENT.try_with(|connection| {
        connection.process_first.set(true);
        connection.wants_body.set(false);
    });
}

/// Ends the current connection soon, in whatever state it is.
pub(super) fn end_soon() {
    end_within(DISCONNECT_TIMEOUT);
}

/// The client of an endless response has disconnected.
pub(super) fn end_now() {
    end_within(Duration::ZERO);
}

fn end_within(time: Duration) {
    let _ = CURRENT.try_with(|connection| {
        let deadline = Instant::now() + time;
        connection.deadline.set(deadline.min(connection.deadline.get()));
    });
}

/// A valid secret was presented on the current connection: it may be idle, and is not evicted.
pub(super) fn present_secret() {
    let _ = CURRENT.try_with(|connection| connection.permit.present_secret());
    allow_idling();
}

/// Closes the current connection when the response that is being prepared holds too much, until the result is dropped.
pub(super) fn hold(state_reader: &StateReader) -> Option<Hold> {
    CURRENT.try_with(|connection| state_reader.hold(connection.permit.close())).ok()
}

/// The current connection may be idle as long as the idle timeout, because its listener requires no secret.
pub(super) fn allow_idling() {
    let _ = CURRENT.try_with(|connection| connection.patience.set(connection.idle_timeout));
}

/// Whether the listener of the current connection stops, so that the connection ends after this response.
pub(super) fn is_draining() -> bool {
    CURRENT.try_with(|connection| connection.permit.is_draining()).unwrap_or(false)
}

/// Completes when actix shall start no further request on the current connection and close it after the response that is
/// being prepared: when it is idle and the listener is `stopping`, or [`close_after_response`] was called.
pub(super) async fn closing(stopping: impl Future<Output = ()>) {
    let closing = CURRENT.try_with(|connection| connection.closing.clone()).unwrap_or_default();
    tokio::select! {
        () = stopping => {}
        () = closing.requested.notified() => {}
    }
    closing.is_confirmed.set(true);
    closing.confirmed.notify_one();
}

/// The body of the current request is invalid or incomplete. actix reads nothing more, and closes the connection
/// without a response unless the response is ready at once.
pub(super) fn input_has_ended() {
    let _ = CURRENT.try_with(|connection| connection.closing.is_confirmed.set(true));
}

/// Closes the current connection after the response that is being prepared.
///
/// actix would process requests that the client has pipelined behind it, even if the response says `Connection: close`.
/// So the response must wait until actix starts no further request.
pub(super) async fn close_after_response() {
    let Ok(closing) = CURRENT.try_with(|connection| connection.closing.clone()) else { return };
    if !closing.is_confirmed.get() {
        closing.requested.notify_one();
        closing.confirmed.notified().await;
    }
}
