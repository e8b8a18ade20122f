//! Responses to requests whose body was not read to its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Payload};

/// A response body that keeps the request's payload alive.
///
/// If the payload of a chunked request is dropped before its end, actix waits for the rest without a time limit.
/// If the payload still exists when the response has been sent, actix closes the connection instead.
pub(super) struct CloseAfterReply {
    text: Option<Bytes>,
    _payload: Payload,
}

impl CloseAfterReply {
    /// The response `text` to the request with this payload.
    pub(super) fn new(text: impl Into<Bytes>, payload: Payload) -> Self {
        Self { text: Some(text.into()), _payload: payload }
    }
}

impl MessageBody for CloseAfterReply {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.text.as_ref().map_or(0, |text| text.len() as u64))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.text.take().map(Ok))
    }
}
