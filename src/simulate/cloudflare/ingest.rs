//! How a broadcast arrives at a live input.

/// How a broadcast arrives. The values are averages; each maximum is a tenth higher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ingest {
    /// Keyframe interval in seconds.
    pub gop_duration: f64,
    /// Time for the upload of a segment, relative to its duration.
    pub upload_duration_ratio: f64,
    /// Bits per second.
    pub bit_rate: f64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { gop_duration: 2.0, upload_duration_ratio: 0.4, bit_rate: 4_500_000.0 }
    }
}

impl Ingest {
    /// A member of `avg`.
    pub(super) fn value(&self, field: &str) -> Option<f64> {
        match field {
            "gopDuration" => Some(self.gop_duration),
            "uploadDurationRatio" => Some(self.upload_duration_ratio),
            "bitRate" => Some(self.bit_rate),
            "gopUploadTime" => Some(self.gop_duration * self.upload_duration_ratio),
            "gopByteSize" => Some(self.gop_duration * self.bit_rate / 8.0),
            _ => None,
        }
    }
}
