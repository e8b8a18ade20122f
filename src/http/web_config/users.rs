//! Basic authentication with bcrypt hashes.
//!
//! bcrypt is slow on purpose. It therefore runs on a blocking thread, for one request at a time, and verified
//! credentials are cached. Wrong passwords are not cached, because they would evict the verified ones. Unknown user
//! names are compared with a hash too, so that response times do not reveal which users exist. The number of waiting
//! requests per peer is limited, so that a peer that guesses passwords does not block the others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use lru::LruCache;
use sha2::{Digest, Sha256};

use crate::http::peer::PeerLimiter;

/// Maximum number of cached credentials.
const MAX_VERIFIED: NonZeroUsize = NonZeroUsize::new(100).expect("it is not zero");
/// Maximum number of requests that wait for a comparison, in total and per peer.
const MAX_WAITING: usize = 256;
const MAX_WAITING_PER_PEER: usize = 8;
/// The valid cost factors of bcrypt.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// The hash of each user's password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Users(pub(super) BTreeMap<String, String>);

impl Users {
    /// The error message for a user whose hash is invalid.
    pub(super) fn problem(&self) -> Option<String> {
        let (user, _) = self.0.iter().find(|(_, hash)| cost(hash).is_none())?;
        Some(format!("basic_auth_users.{user}: not a bcrypt hash"))
    }

    /// The user's hash and true. For an unknown user, the hash with the highest cost and false.
    fn hash(&self, user: &[u8]) -> Option<(&str, bool)> {
        let known = str::from_utf8(user).ok().and_then(|user| self.0.get(user));
        let longest = || self.0.values().max_by_key(|hash| cost(hash));
        known.map(|hash| (hash.as_str(), true)).or_else(|| longest().map(|hash| (hash.as_str(), false)))
    }
}

fn cost(hash: &str) -> Option<u32> {
    hash.parse::<HashParts>().ok().map(|parts| parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// User and password of an `Authorization` header.
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Self { user: decoded[..colon].to_owned(), password: decoded[colon + 1..].to_owned() })
    }

    /// Identifies the credentials together with the hash that they are compared with.
    fn digest(&self, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [&self.user, hash.as_bytes(), &self.password] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// Compares passwords with hashes, and remembers those that matched.
#[derive(Debug)]
pub(super) struct Passwords {
    verified: Mutex<LruCache<[u8; 32], ()>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: Arc<PeerLimiter>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            verified: Mutex::new(LruCache::new(MAX_VERIFIED)),
            turn: Arc::default(),
            waiting: PeerLimiter::new(MAX_WAITING, MAX_WAITING_PER_PEER),
        }
    }

    /// Returns the user whose credentials the request has, or nothing if there are no users. Otherwise returns the status
    /// of the rejection.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Users,
        request: &ServiceRequest,
    ) -> Result<Option<String>, StatusCode> {
        if users.0.is_empty() {
            return Ok(None);
        }
        let credentials = Credentials::of(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
        let (hash, known) = users.hash(&credentials.user).ok_or(StatusCode::UNAUTHORIZED)?;
        let digest = credentials.digest(hash);
        let user = Some(String::from_utf8_lossy(&credentials.user).into_owned());
        if self.is_verified(&digest) {
            return Ok(user);
        }
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let permit = self.waiting.acquire(peer).ok_or(StatusCode::TOO_MANY_REQUESTS)?;
        let turn = self.turn.clone().lock_owned().await;
        // A request that waited before this one may have had the same credentials.
        if self.is_verified(&digest) {
            return Ok(user);
        }
        let (passwords, hash) = (self.clone(), hash.to_owned());
        // The comparison continues even if the client disconnects, so it owns the turn and the permit.
        let checked = web::block(move || {
            let _held = (turn, permit);
            let right = bcrypt::verify(&credentials.password, &hash).unwrap_or(false) && known;
            if right {
                passwords.verified.lock().unwrap_or_else(PoisonError::into_inner).put(digest, ());
            }
            right
        });
        if checked.await.unwrap_or(false) { Ok(user) } else { Err(StatusCode::UNAUTHORIZED) }
    }

    /// Whether the credentials have matched before, so that no comparison is needed.
    pub(super) fn has_verified(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some(credentials) = Credentials::of(headers) else { return users.0.is_empty() };
        let hash = users.hash(&credentials.user);
        hash.is_none_or(|(hash, _)| self.is_verified(&credentials.digest(hash)))
    }

    fn is_verified(&self, digest: &[u8; 32]) -> bool {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(digest).is_some()
    }
}
