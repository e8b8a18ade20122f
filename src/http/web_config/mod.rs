//! The web configuration file of Prometheus exporters, for the private listener: TLS, client certificates, users,
//! headers and a rate limit.
//!
//! The file is read on every request and every TLS handshake, and parsed if it has changed. If it becomes invalid,
//! requests get 500 and handshakes fail: the previous content may grant access that has been revoked. The problem is
//! logged once. Only a restart changes the rate limit, whether the listener uses TLS, and its versions, cipher suites
//! and curves.
//!
//! ```text
//! TLS handshake ─▶ client certificate ─▶ request ─▶ rate limit ─▶ user ─▶ handler ─▶ headers
//! ```

mod section;
mod file;
mod file_cache;
mod exposure;
mod tls;
mod handshake;
mod users;
mod guard;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use thiserror::Error;

pub(super) use guard::guard;

use super::RateLimiter;
use crate::event::Timestamp;
use exposure::warn_of_exposure;
use file::Settings;
use file_cache::FileCache;
use tls::{LoadedTls, Pems, StaticTls};
use users::Passwords;

/// Why a web configuration file cannot be used. The message contains no password, hash or key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {message}", .path.display())]
pub struct InvalidWebConfig {
    path: PathBuf,
    message: String,
}

/// The current web configuration, and its files.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    settings: FileCache<String, Settings>,
    loaded_tls: FileCache<Pems, LoadedTls>,
    /// When the most recent usable certificate expires.
    not_after: Mutex<Option<Timestamp>>,
    started_with: OnceLock<Option<StaticTls>>,
    /// The listener's addresses that are not loopback.
    reachable: OnceLock<Vec<SocketAddr>>,
    limiter: Option<RateLimiter<()>>,
    passwords: Arc<Passwords>,
}

impl WebConfig {
    /// Reads the file and the files that it names.
    ///
    /// # Errors
    ///
    /// The first problem in one of them.
    pub fn load(path: PathBuf) -> Result<Self, InvalidWebConfig> {
        let mut config = Self {
            path,
            settings: FileCache::new("requests get 500 and TLS handshakes fail until it is valid"),
            loaded_tls: FileCache::new("TLS handshakes fail until it is valid"),
            not_after: Mutex::new(None),
            started_with: OnceLock::new(),
            reachable: OnceLock::new(),
            limiter: None,
            passwords: Arc::new(Passwords::new()),
        };
        let settings = config.settings().map_err(|message| config.invalid(message))?;
        if let Some(user) = settings.users.with_invalid_hash() {
            return Err(config.invalid(users::invalid_hash(user)));
        }
        if let Some(tls) = &settings.tls {
            config.loaded_tls(tls).map_err(|message| config.invalid(message))?;
        }
        config.limiter = settings.rate.map(RateLimiter::new);
        config.started_with.get_or_init(|| settings.tls.as_ref().map(|tls| tls.static_tls.clone()));
        Ok(config)
    }

    /// Whether the listener uses TLS.
    pub fn has_tls(&self) -> bool {
        self.started_with().is_some()
    }

    /// When the certificate expires. If the current one is invalid, the previous one counts.
    ///
    /// # Panics
    ///
    /// If the listener does not use TLS.
    pub fn not_after(&self) -> Timestamp {
        if let Some(tls) = self.settings().ok().as_ref().and_then(|settings| settings.tls.as_ref()) {
            let _ = self.loaded_tls(tls);
        }
        let not_after = *self.not_after.lock().unwrap_or_else(PoisonError::into_inner);
        not_after.expect("a listener with TLS had a certificate when it started")
    }

    /// Warns if listeners that are not on loopback are unprotected: now, and whenever the file changes.
    ///
    /// # Errors
    ///
    /// The address of a listener cannot be read.
    pub fn watch_exposure(config: Option<&Self>, listeners: &[TcpListener]) -> io::Result<()> {
        let mut reachable = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        reachable.retain(|address| !address.ip().to_canonical().is_loopback());
        let settings = config.and_then(|config| config.settings().ok());
        warn_of_exposure(&reachable, settings.as_deref());
        if let Some(config) = config {
            config.reachable.get_or_init(|| reachable);
        }
        Ok(())
    }

    fn started_with(&self) -> Option<&StaticTls> {
        self.started_with.get().and_then(Option::as_ref)
    }

    fn settings(&self) -> Result<Arc<Settings>, String> {
        let read = fs::read_to_string(&self.path).map_err(|error| format!("cannot be read: {error}"));
        self.settings.current(&self.path, read, |text| {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            let settings = Settings::parse(text, folder)?;
            self.warn(&settings);
            Ok(settings)
        })
    }

    /// Warns about settings of a changed file that are unsafe or need a restart.
    fn warn(&self, settings: &Settings) {
        if let Some(reachable) = self.reachable.get() {
            warn_of_exposure(reachable, Some(settings));
        }
        let path = self.path.display();
        let Some(started_with) = self.started_with.get() else { return };
        if settings.tls.as_ref().map(|tls| &tls.static_tls) != started_with.as_ref() {
            tracing::warn!(file = %path, "turning TLS on or off and changing its versions, cipher suites or curves requires a restart");
        }
        if let Some(user) = settings.users.with_invalid_hash() {
            tracing::error!(file = %path, problem = users::invalid_hash(user), "user cannot log in");
        }
    }

    fn loaded_tls(&self, tls: &tls::Tls) -> Result<Arc<LoadedTls>, String> {
        self.loaded_tls.current(&self.path, tls.read(), |pems| {
            let loaded_tls = LoadedTls::new(pems)?;
            *self.not_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded_tls.pair.not_after);
            Ok(loaded_tls)
        })
    }

    fn invalid(&self, message: String) -> InvalidWebConfig {
        InvalidWebConfig { path: self.path.clone(), message }
    }
}
