//! Bounds what actix reads ahead on a connection.
//!
//! On its own, actix reads up to 128 KiB before it rejects a head, keeps reading while a request is being handled, and
//! parses up to 16 requests that were pipelined behind it, each of which can take 30 KiB. A full listener would occupy
//! hundreds of megabytes. This reader passes on:
//!
//! - up to [`MAX_HEAD`] bytes of a head, then it answers 431;
//! - no second head before the first one has been answered;
//! - no more of a body than the handler has asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::web::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{self, Reading};

/// Maximum size of a request head, in bytes. A read that crosses it is still passed on as a whole.
const MAX_HEAD: usize = 16 << 10;

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A stream of which actix reads only what it processes next.
pub(super) struct BoundedReader<T> {
    stream: T,
    /// Bytes that were read together with a head, and begin with another one.
    held_back: Bytes,
    line: Line,
    /// Bytes of an unfinished head that were passed on.
    head: usize,
    /// A write waits for the client.
    write_is_pending: bool,
    rejected: bool,
}

/// The position of a byte in the lines of a head. Empty lines before a head do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    BeforeHead,
    Begin,
    Inside,
}

impl Line {
    /// Goes on by a byte. Returns whether it ends a head.
    fn ends_head(&mut self, byte: u8) -> bool {
        let (next, ends) = match (*self, byte) {
            (Self::BeforeHead, b'\n' | b'\r') | (Self::Begin, b'\n') => (Self::BeforeHead, *self == Self::Begin),
            (Self::Begin, b'\r') | (Self::Inside, b'\n') => (Self::Begin, false),
            (Self::BeforeHead | Self::Begin | Self::Inside, _) => (Self::Inside, false),
        };
        *self = next;
        ends
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> BoundedReader<T> {
    pub(super) fn new(stream: T) -> Self {
        let (held_back, line) = (Bytes::new(), Line::BeforeHead);
        Self { stream, held_back, line, head: 0, write_is_pending: false, rejected: false }
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Counts these bytes as read, and returns how many of them are passed on: all, or those up to the end of the first
    /// head if two heads end in them.
    fn pass(&mut self, bytes: &[u8], reading: Reading) -> usize {
        let mut line = self.line;
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| line.ends_head(**byte)).map(|(index, _)| index + 1);
        let first = ends.next();
        let passed = first.filter(|_| ends.next().is_some()).unwrap_or(bytes.len());
        self.line = if passed < bytes.len() { Line::BeforeHead } else { line };
        self.head = match (reading, first) {
            (Reading::Head, None) => self.head + passed,
            (Reading::Head, Some(first)) => passed - first,
            (Reading::Body | Reading::Rest | Reading::End | Reading::Nothing, _) => 0,
        };
        if reading != Reading::Head || first.is_some() {
            connection::process_first();
        }
        passed
    }

    /// Answers 431 and discards what follows, until the client or the deadline ends the connection.
    fn reject(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.rejected {
            self.rejected = true;
            connection::end_soon();
            // An answer may not interrupt another one.
            if !self.write_is_pending {
                let _ = Pin::new(&mut self.stream).poll_write(cx, TOO_LARGE)?;
                let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
            }
        }
        self.discard(cx)
    }

    /// Discards what the client sends. Ready when it sends no more.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut discarded = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for BoundedReader<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let reading = connection::reading(cx);
        if reading == Reading::Nothing {
            return Poll::Pending;
        }
        if reading == Reading::End {
            // Without this, a write would be the first to notice it. actix itself goes on writing after the end.
            let _ = ready!(this.discard(cx));
            connection::end_now();
            return Poll::Pending;
        }
        if this.rejected || reading == Reading::Head && this.head >= MAX_HEAD {
            return this.reject(cx);
        }
        if this.held_back.is_empty() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let passed = before + this.pass(&buffer.filled()[before..], reading);
            this.held_back = Bytes::copy_from_slice(&buffer.filled()[passed..]);
            buffer.set_filled(passed);
        } else {
            let held_back = std::mem::take(&mut this.held_back);
            let passed = this.pass(&held_back[..held_back.len().min(buffer.remaining())], reading);
            buffer.put_slice(&held_back[..passed]);
            this.held_back = held_back.slice(passed..);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for BoundedReader<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write_is_pending = written.is_pending();
        connection::set_write_pending(self.write_is_pending);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces in which these bytes are passed on if they arrive at once, each with the counted bytes of a head.
    fn pieces(bytes: &str) -> Vec<(&str, usize)> {
        let (mut reader, mut rest, mut pieces) = (BoundedReader::new(tokio::io::empty()), bytes, Vec::new());
        while !rest.is_empty() {
            let passed = reader.pass(rest.as_bytes(), Reading::Head);
            pieces.push((&rest[..passed], reader.head));
            rest = &rest[passed..];
        }
        pieces
    }

    #[test]
    fn no_piece_has_two_heads() {
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\n", &[("GET / HTTP/1.1\r\n", 16)][..]),
            ("a\r\n\r\n", &[("a\r\n\r\n", 0)]),
            ("a\n\nbody", &[("a\n\nbody", 4)]),
            ("a\r\nb\r\n\r\nc\r\nd", &[("a\r\nb\r\n\r\nc\r\nd", 4)]),
            ("a\r\n\r\nb\r\n\r\nc", &[("a\r\n\r\n", 0), ("b\r\n\r\nc", 1)]),
            ("a\n\nb\n\r\nc\r\n\nd", &[("a\n\n", 0), ("b\n\r\n", 0), ("c\r\n\nd", 1)]),
            ("\r\n\r\n\n\na\n\n\n\nb\n\n", &[("\r\n\r\n\n\na\n\n", 0), ("\n\nb\n\n", 0)]),
            ("a\nb\rc\n", &[("a\nb\rc\n", 6)]),
        ] {
            assert_eq!(pieces(bytes), expected, "{bytes:?}");
        }
    }
}
