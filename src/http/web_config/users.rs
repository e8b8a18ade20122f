//! Users and their passwords, of which only bcrypt's hashes are known.
//!
//! bcrypt takes its time on purpose, so it runs beside the listener's worker, for one request at a
//! time, and not again for what was right before. Wrong passwords are not remembered: they would
//! drive out the right ones. A name that nobody has takes as long as one that somebody has. Of each
//! peer only so many requests may wait for their turn, so that one who guesses cannot hold up the
//! others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::AUTHORIZATION;
use actix_web::http::header::HeaderMap;
use actix_web::web;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use lru::LruCache;
use sha2::{Digest, Sha256};

use super::super::peer_limiter::PeerLimiter;

/// So many right passwords are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100).expect("it is not zero");
/// So many requests wait for their turn, of all peers and of one.
const WAITING: usize = 256;
const WAITING_PER_PEER: usize = 8;
/// The costs that bcrypt has.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// The hash of each user's password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Users(pub(super) BTreeMap<String, String>);

impl Users {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A user whom nobody can be, because what is called the hash is none.
    pub(super) fn unusable(&self) -> Option<&str> {
        self.0.iter().find(|(_, hash)| cost(hash).is_none()).map(|(user, _)| user.as_str())
    }

    /// The user's hash; of a stranger, the one that takes longest, to be compared in vain.
    fn hash(&self, user: &[u8]) -> Option<(&str, bool)> {
        let known = str::from_utf8(user).ok().and_then(|user| self.0.get(user));
        let longest = || self.0.values().max_by_key(|hash| cost(hash));
        known.map(|hash| (hash.as_str(), true)).or_else(|| longest().map(|hash| (hash.as_str(), false)))
    }
}

/// What is told of a user whose hash is none.
pub(super) fn no_hash(user: &str) -> String {
    format!("basic_auth_users.{user}: not a bcrypt hash")
}

fn cost(hash: &str) -> Option<u32> {
    hash.parse::<HashParts>().ok().map(|parts| parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// Whom a request claims to come from.
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Self { user: decoded[..colon].to_owned(), password: decoded[colon + 1..].to_owned() })
    }

    /// What stands for them and the hash that they were compared with.
    fn digest(&self, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [&self.user, hash.as_bytes(), &self.password] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// What became of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many of this peer are waiting.
    Crowded,
}

/// Compares passwords with hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    right: Mutex<LruCache<[u8; 32], ()>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: Arc<PeerLimiter>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            right: Mutex::new(LruCache::new(REMEMBERED)),
            turn: Arc::default(),
            waiting: PeerLimiter::new(WAITING, WAITING_PER_PEER),
        }
    }

    pub(super) async fn check(self: &Arc<Self>, users: &Users, credentials: Credentials, peer: IpAddr) -> Verdict {
        let Some((hash, known)) = users.hash(&credentials.user) else { return Verdict::Wrong };
        let digest = credentials.digest(hash);
        if self.were_right(&digest) {
            return Verdict::Right;
        }
        let Some(place) = self.waiting.take(peer, false) else { return Verdict::Crowded };
        let turn = self.turn.clone().lock_owned().await;
        // Somebody before us may have asked the same.
        if self.were_right(&digest) {
            return Verdict::Right;
        }
        let (passwords, hash) = (self.clone(), hash.to_owned());
        // It goes on when nobody waits for it any more: the turn is its own.
        let checked = web::block(move || {
            let _held = (turn, place);
            let right = bcrypt::verify(&credentials.password, &hash).unwrap_or(false) && known;
            if right {
                passwords.right.lock().unwrap_or_else(PoisonError::into_inner).put(digest, ());
            }
            right
        });
        if checked.await.unwrap_or(false) { Verdict::Right } else { Verdict::Wrong }
    }

    fn were_right(&self, digest: &[u8; 32]) -> bool {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).get(digest).is_some()
    }
}
