//! Compression of a response in chunks.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Chunks, compressed with gzip at the fastest level.
#[derive(Debug)]
pub struct Gzip<I> {
    chunks: I,
    /// `None` after the last chunk.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I> Gzip<I> {
    /// Compresses these chunks.
    pub fn new(chunks: I) -> Self {
        Self { chunks, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Gzip<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let encoder = self.encoder.as_mut()?;
        for chunk in self.chunks.by_ref() {
            encoder.write_all(&chunk).expect("writing to a Vec does not fail");
            let compressed = std::mem::take(encoder.get_mut());
            if !compressed.is_empty() {
                return Some(compressed.into());
            }
        }
        Some(self.encoder.take()?.finish().expect("writing to a Vec does not fail").into())
    }
}
