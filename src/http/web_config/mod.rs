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
mod tls;
mod handshake;
mod users;
mod guard;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage, HttpRequest};

pub(super) use guard::guard;

use super::pem::exposed_key;
use super::{InvalidFile, RateLimiter, files};
use crate::clock;
use crate::event::Timestamp;
use file::Settings;
use file_cache::FileCache;
use tls::{ClientAuth, LoadedTls, Pems, StaticTls, Tls};
use users::Passwords;

/// Who sends a request: a user, or the subject of a verified client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator(pub(super) Box<str>);

impl Operator {
    /// The sender of a request; `None` without authentication.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let user = request.extensions().get::<Self>().cloned();
        user.or_else(|| request.conn_data::<Self>().cloned())
    }
}

/// The current web configuration, and its files.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    settings: FileCache<String, Settings>,
    loaded_tls: FileCache<Pems, LoadedTls>,
    /// When the most recent usable certificate expires.
    not_after: Mutex<Option<Timestamp>>,
    started_with: Option<StaticTls>,
    /// The listener's addresses that are not loopback. Unset until the listener exists.
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
    pub fn load(path: PathBuf) -> Result<Self, InvalidFile> {
        let file = path.display().to_string();
        let invalid = |message: String| InvalidFile(format!("{file}: {message}"));
        let mut config = Self {
            path,
            settings: FileCache::new("requests get 500 and TLS handshakes fail until it is valid"),
            loaded_tls: FileCache::new("TLS handshakes fail until it is valid"),
            not_after: Mutex::new(None),
            started_with: None,
            reachable: OnceLock::new(),
            limiter: None,
            passwords: Arc::new(Passwords::new()),
        };
        let settings = config.settings().map_err(invalid)?;
        settings.users.problem().map_or(Ok(()), Err).map_err(invalid)?;
        if let Some(tls) = &settings.tls {
            config.loaded_tls(tls).map_err(invalid)?;
            config.started_with = Some(tls.static_tls.clone());
        }
        config.limiter = settings.rate.map(RateLimiter::new);
        Ok(config)
    }

    /// Whether the listener uses TLS.
    pub fn has_tls(&self) -> bool {
        self.started_with.is_some()
    }

    /// Whether the headers have the credentials of a user who has logged in before, or none are required.
    pub(super) fn has_verified(&self, headers: &HeaderMap) -> bool {
        self.settings().is_ok_and(|settings| self.passwords.has_verified(&settings.users, headers))
    }

    /// When the certificate expires. If the current one is invalid, the previous one counts.
    ///
    /// # Panics
    ///
    /// If the listener does not use TLS.
    pub fn not_after(&self) -> Timestamp {
        if let Some(tls) = self.settings().ok().as_ref().and_then(|settings| settings.tls.as_ref()) {
            // Reads changed files. A problem is logged by the cache, and the certificate before counts.
            let _ = self.loaded_tls(tls);
        }
        let not_after = *self.not_after.lock().unwrap_or_else(PoisonError::into_inner);
        not_after.expect("a listener with TLS had a certificate when it started")
    }

    /// What is dangerous about files that work.
    pub fn warnings(&self) -> Vec<String> {
        let Ok(settings) = self.settings() else { return Vec::new() };
        let Some(tls) = &settings.tls else { return Vec::new() };
        let problem = self.loaded_tls(tls).ok().and_then(|loaded_tls| loaded_tls.pair.problem_at(clock::now()));
        problem.into_iter().chain(exposed_key(tls.key_file().unwrap_or(&self.path))).collect()
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

    /// What other machines can do if the listener is not on loopback and unprotected.
    pub fn exposure(config: Option<&Self>) -> Option<&'static str> {
        exposure(config.and_then(|config| config.settings().ok()).as_deref())
    }

    fn settings(&self) -> Result<Arc<Settings>, String> {
        let read = files::read(&self.path).map_err(|error| format!("cannot be read: {error}"));
        let read = read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()));
        self.settings.current(&self.path, read, |text| {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            let settings = Settings::parse(text, folder)?;
            self.warn(&settings);
            Ok(settings)
        })
    }

    /// Warns about settings of a changed file that are unsafe or need a restart.
    fn warn(&self, settings: &Settings) {
        let Some(reachable) = self.reachable.get() else { return };
        warn_of_exposure(reachable, Some(settings));
        let path = self.path.display();
        if settings.tls.as_ref().map(|tls| &tls.static_tls) != self.started_with.as_ref() {
            tracing::warn!(file = %path, "turning TLS on or off and changing its versions, cipher suites or curves requires a restart");
        }
        if let Some(problem) = settings.users.problem() {
            tracing::error!(file = %path, problem, "user cannot log in");
        }
    }

    fn loaded_tls(&self, tls: &Tls) -> Result<Arc<LoadedTls>, String> {
        self.loaded_tls.current(&self.path, tls.read(), |pems| {
            let loaded_tls = LoadedTls::new(pems)?;
            // Those of the start are reported with all other warnings.
            if self.reachable.get().is_some()
                && let Some(problem) = loaded_tls.pair.problem_at(clock::now())
            {
                tracing::warn!(problem, "clients refuse the certificate");
            }
            *self.not_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded_tls.pair.not_after);
            Ok(loaded_tls)
        })
    }
}

/// Warns for each of these addresses if other machines can reach it without authentication or encryption.
fn warn_of_exposure(reachable: &[SocketAddr], settings: Option<&Settings>) {
    let Some(exposure) = exposure(settings) else { return };
    for address in reachable {
        tracing::warn!(%address, exposure, "private listener is not on loopback");
    }
}

/// What other machines could do on a listener that is not on loopback.
fn exposure(settings: Option<&Settings>) -> Option<&'static str> {
    let tls = settings.and_then(|settings| settings.tls.as_ref());
    let has_users = settings.is_some_and(|settings| !settings.users.0.is_empty());
    match tls {
        Some(tls) if has_users || tls.client_auth == ClientAuth::RequireAndVerify => None,
        None if has_users => Some("passwords are sent in clear text; add tls_server_config to web.config_file"),
        _ => Some(
            "anyone who can connect can read all data and reload the configuration; \
             require users or client certificates in web.config_file, or listen on loopback",
        ),
    }
}
