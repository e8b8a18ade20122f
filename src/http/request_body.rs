//! The body of a request, as the exchange sees it: how much of it the handler has read.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::{Payload, Request};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::task::yield_now;

use super::connection;

/// A request's body. While it exists, actix does not wait for the rest of it.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<RefCell<State>>);

struct State {
    payload: Payload,
    ended: bool,
}

impl RequestBody {
    /// Puts itself between a request and its payload. `None` if the request has no body.
    pub(super) fn of(request: &mut Request) -> Option<Self> {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return None;
        }
        let body = Self(Rc::new(RefCell::new(State { payload, ended: false })));
        *request.payload() = Payload::Stream { payload: Box::pin(body.clone()) };
        Some(body)
    }

    /// Whether all of it has arrived. Discards what the handler has not read.
    pub(super) async fn has_ended(&mut self) -> bool {
        // The handler may have responded before actix has interpreted what arrived together with the head. actix polls
        // the handler up to twice before it goes on with that.
        for _ in 0..2 {
            if self.discard_arrived() {
                break;
            }
            yield_now().await;
        }
        self.discard_arrived()
    }

    fn discard_arrived(&mut self) -> bool {
        while let Some(Some(_)) = self.next().now_or_never() {}
        self.0.borrow().ended
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.borrow_mut();
        let polled = if state.ended { Poll::Ready(None) } else { state.payload.poll_next_unpin(cx) };
        match &polled {
            Poll::Pending => connection::want_body(),
            Poll::Ready(None) => state.ended = true,
            Poll::Ready(Some(Err(_))) => {
                state.ended = true;
                connection::input_has_ended();
            }
            Poll::Ready(Some(Ok(_))) => {}
        }
        polled
    }
}
