//! Answers to requests whose body nobody reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Payload};

/// An answer's body, together with what was not read of the request's.
///
/// actix waits without end for the rest of a chunked body that nobody wants any more. As long as
/// somebody holds it, actix closes the connection instead, once the answer has been taken.
pub(super) struct CloseAfterReply {
    text: Option<Bytes>,
    _payload: Payload,
}

impl CloseAfterReply {
    /// The answer `text` to the request with this payload.
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
