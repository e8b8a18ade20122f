//! Responses that are generated while the client reads them, so that a slow reader occupies little memory.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding};
use actix_web::web::{Bytes, Header};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::metrics::Gzip;
use crate::recorder::Hold;

/// Maximum number of responses that are compressed at the same time. Each takes about 300 KiB for it; further ones are
/// not compressed.
const MAX_COMPRESSED: usize = 16;
pub(super) const JSON: &str = "application/json";
/// Size of a chunk of JSON, in bytes.
const CHUNK: usize = 16 << 10;

/// Decides which responses are compressed.
#[derive(Debug, Clone)]
pub(super) struct Compressor(Arc<Semaphore>);

impl Compressor {
    pub(super) fn new(enabled: bool) -> Self {
        Self(Arc::new(Semaphore::new(if enabled { MAX_COMPRESSED } else { 0 })))
    }

    /// A response with this content, compressed if the client prefers gzip. It has `hold` until its end.
    pub(super) fn respond<I>(
        &self,
        content_type: &str,
        encodings: Option<&Header<AcceptEncoding>>,
        hold: Option<Hold>,
        chunks: I,
    ) -> HttpResponse
    where
        I: Iterator<Item = Bytes> + 'static,
    {
        let chunks = chunks.inspect(move |_| _ = &hold);
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CONTENT_TYPE, content_type));
        let gzip = encodings.is_some_and(prefers_gzip).then(|| self.0.clone().try_acquire_owned().ok()).flatten();
        let Some(permit) = gzip else { return response.streaming(stream::iter(chunks.map(Ok::<_, Infallible>))) };
        response.insert_header(ContentEncoding::Gzip).insert_header((header::VARY, "accept-encoding"));
        let compressed = Gzip::new(chunks).map(move |chunk| {
            let _held = &permit;
            Ok::<_, Infallible>(chunk)
        });
        response.streaming(stream::iter(compressed))
    }
}

/// Whether the client prefers gzip to no compression.
fn prefers_gzip(encodings: &Header<AcceptEncoding>) -> bool {
    let gzip = Encoding::gzip();
    encodings.negotiate([&gzip, &Encoding::identity()].into_iter()) == Some(gzip.clone())
}

/// The chunks of a JSON object whose last member is a list of these items. `beginning` has everything before the items.
pub(super) fn json_list(beginning: String, mut items: impl Iterator<Item: Serialize>) -> impl Iterator<Item = Bytes> {
    let mut next = Some(beginning.into_bytes());
    let mut separator: &[u8] = b"";
    std::iter::from_fn(move || {
        let mut chunk = next.take()?;
        while chunk.len() < CHUNK {
            let Some(item) = items.next() else {
                chunk.extend_from_slice(b"]}");
                return Some(chunk.into());
            };
            chunk.extend_from_slice(separator);
            serde_json::to_writer(&mut chunk, &item).expect("writing texts and numbers to a Vec does not fail");
            separator = b",";
        }
        next = Some(Vec::with_capacity(CHUNK));
        Some(chunk.into())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_list_is_complete_in_bounded_chunks() {
        for items in [0, 1, 2, 10_000] {
            let chunks: Vec<_> = json_list(r#"{"items":["#.into(), 0..items).collect();
            assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK + 100), "{items}");
            assert_eq!(chunks.len() > 1, items > 2, "{items}");
            let value: Value = serde_json::from_slice(&chunks.concat()).unwrap();
            assert_eq!(value, serde_json::json!({ "items": (0..items).collect::<Vec<_>>() }));
        }
    }

    #[test]
    fn responses_beyond_the_limit_are_not_compressed() {
        let compressor = Compressor::new(true);
        let encodings = Header(AcceptEncoding(vec!["gzip".parse().unwrap()]));
        let respond = |encodings| compressor.respond("text/plain", encodings, None, [Bytes::new()].into_iter());
        let is_compressed = |response: &HttpResponse| response.headers().contains_key(header::CONTENT_ENCODING);
        let mut open: Vec<_> = (0..MAX_COMPRESSED).map(|_| respond(Some(&encodings))).collect();
        assert!(open.iter().all(is_compressed));
        assert!(!is_compressed(&respond(Some(&encodings))));
        open.pop();
        assert!(!is_compressed(&respond(None)));
        assert!(is_compressed(&respond(Some(&encodings))));
    }
}
