//! What Cloudflare's API says about inputs besides their state. Not part of the fold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{AccountId, InputId};

/// The live inputs of an account, according to a complete list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The account.
    pub account_id: AccountId,
    /// Its inputs.
    pub inputs: BTreeMap<InputId, Listed>,
}

/// An input of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name at Cloudflare; empty if it has none.
    pub name: Box<str>,
    /// Whether it may be streamed to, if the API says so.
    pub enabled: Option<bool>,
}

/// Ingest quality of an input, sampled by Cloudflare and minutes old.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Keyframe interval, in seconds.
    pub gop_duration: Statistics,
    /// Duration of an upload divided by the duration of the media in it. Above 1, the encoder is slower than real time.
    pub upload_duration_ratio: Statistics,
    /// Bits per second.
    pub bitrate: Statistics,
}

/// Statistics of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    /// The mean.
    pub avg: Option<f64>,
    /// The maximum.
    pub max: Option<f64>,
}
