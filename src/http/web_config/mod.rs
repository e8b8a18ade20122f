//! The web configuration file of Prometheus' exporters, for the private listener: TLS, client
//! certificates, users, headers, a limit of requests.
//!
//! It is in force as it stands in the file: read at every request and every handshake, and parsed
//! when it is not what it was. A file that has become invalid is answered 500, and its handshakes
//! fail: nobody gets in by what it said before. That is told once, not at every request. Only what a
//! TLS listener is made of needs a restart: whether there is TLS, its versions, suites and curves.
//!
//! ```text
//! handshake ─▶ certificate, client certificate ─▶ request ─▶ limit ─▶ headers ─▶ user ─▶ handler
//! ```

mod section;
mod file;
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
use file::Settings;
use tls::{LoadedTls, Pems, StaticTls};
use users::Passwords;

/// Why a web configuration file cannot be used. Never quotes a password, a hash or a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {message}", .path.display())]
pub struct InvalidWebConfig {
    path: PathBuf,
    message: String,
}

/// The web configuration in force, and the files that it comes from.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    settings: FileCache<String, Settings>,
    material: FileCache<Pems, LoadedTls>,
    /// The end of validity of the newest certificate that could be used.
    not_after: Mutex<Option<Timestamp>>,
    started_with: OnceLock<Option<StaticTls>>,
    /// Where others can reach the listener.
    reachable: OnceLock<Vec<SocketAddr>>,
    limiter: Option<RateLimiter<()>>,
    passwords: Arc<Passwords>,
}

impl WebConfig {
    /// Reads the file, and those that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with one of them.
    pub fn load(path: PathBuf) -> Result<Self, InvalidWebConfig> {
        let mut config = Self {
            path,
            settings: FileCache::new("requests are answered 500 and handshakes fail until it can"),
            material: FileCache::new("handshakes fail until they can"),
            not_after: Mutex::new(None),
            started_with: OnceLock::new(),
            reachable: OnceLock::new(),
            limiter: None,
            passwords: Arc::new(Passwords::new()),
        };
        let settings = config.settings().map_err(|message| config.invalid(message))?;
        if let Some(user) = settings.users.unusable() {
            return Err(config.invalid(users::no_hash(user)));
        }
        if let Some(tls) = &settings.tls {
            config.material(tls).map_err(|message| config.invalid(message))?;
        }
        config.limiter = settings.rate.map(RateLimiter::new);
        config.started_with.get_or_init(|| settings.tls.as_ref().map(|tls| tls.fixed.clone()));
        Ok(config)
    }

    /// Whether the listener speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.started_with().is_some()
    }

    /// The end of validity of the certificate in force, or of the one before while there is none.
    ///
    /// # Panics
    ///
    /// When the listener does not speak TLS.
    pub fn not_after(&self) -> Timestamp {
        if let Some(tls) = self.settings().ok().as_ref().and_then(|settings| settings.tls.as_ref()) {
            let _ = self.material(tls);
        }
        let not_after = *self.not_after.lock().unwrap_or_else(PoisonError::into_inner);
        not_after.expect("a listener with TLS had a certificate when it started")
    }

    /// Says loudly what is open to others on listeners that they can reach: now, and when the file has changed.
    ///
    /// # Errors
    ///
    /// A listener does not know where it is.
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
        self.settings.newest(&self.path, read, |text| {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            let settings = Settings::parse(text, folder)?;
            self.warn(&settings);
            Ok(settings)
        })
    }

    /// Says what of a renewed file is not in force, and what it opens.
    fn warn(&self, settings: &Settings) {
        if let Some(reachable) = self.reachable.get() {
            warn_of_exposure(reachable, Some(settings));
        }
        let path = self.path.display();
        let Some(started_with) = self.started_with.get() else { return };
        if settings.tls.as_ref().map(|tls| &tls.fixed) != started_with.as_ref() {
            tracing::warn!(file = %path, "TLS or not, its versions, suites and curves change on restart only");
        }
        if let Some(user) = settings.users.unusable() {
            tracing::error!(file = %path, problem = users::no_hash(user), "this user is refused");
        }
    }

    fn material(&self, tls: &tls::Tls) -> Result<Arc<LoadedTls>, String> {
        self.material.newest(&self.path, tls.read(), |pems| {
            let material = LoadedTls::new(pems)?;
            *self.not_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(material.pair.not_after);
            Ok(material)
        })
    }

    fn invalid(&self, message: String) -> InvalidWebConfig {
        InvalidWebConfig { path: self.path.clone(), message }
    }
}

fn warn_of_exposure(reachable: &[SocketAddr], settings: Option<&Settings>) {
    let Some(exposure) = exposure(settings) else { return };
    for address in reachable {
        tracing::warn!(%address, exposure, "the private listener is not on loopback");
    }
}

/// What is open to those who should not be here, on a listener that others can reach.
fn exposure(settings: Option<&Settings>) -> Option<&'static str> {
    let tls = settings.and_then(|settings| settings.tls.as_ref());
    let known_users = settings.is_some_and(|settings| !settings.users.is_empty());
    let known_clients = tls.is_some_and(|tls| tls.client_auth.verifies());
    match (tls.is_some(), known_users) {
        _ if known_clients => None,
        (true, true) => None,
        (false, true) => Some("passwords cross the network in clear text; add tls_server_config to web.config_file"),
        (_, false) => Some(
            "whoever reaches the private listener reads everything and reloads the configuration; \
             set web.config_file with users or client certificates, or listen on loopback",
        ),
    }
}

/// Something made of what files hold: made anew when that has changed, and told then.
///
/// Contents are compared, not times of change: two changes may have the same time.
#[derive(Debug)]
struct FileCache<I, T> {
    without_it: &'static str,
    made: Mutex<Option<Made<I, T>>>,
}

#[derive(Debug)]
struct Made<I, T> {
    of: Result<I, String>,
    result: Result<Arc<T>, String>,
}

impl<I: PartialEq, T> FileCache<I, T> {
    fn new(without_it: &'static str) -> Self {
        Self { without_it, made: Mutex::new(None) }
    }

    fn newest(
        &self,
        path: &Path,
        read: Result<I, String>,
        make: impl FnOnce(&I) -> Result<T, String>,
    ) -> Result<Arc<T>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.of == read) {
            return made.result.clone();
        }
        let result = read.as_ref().map_err(Clone::clone).and_then(|input| make(input).map(Arc::new));
        if made.is_some() {
            match &result {
                Ok(_) => tracing::info!(file = %path.display(), "web configuration read anew"),
                Err(problem) => tracing::error!(
                    file = %path.display(), problem, "the web configuration cannot be used: {}", self.without_it
                ),
            }
        }
        *made = Some(Made { of: read, result: result.clone() });
        result
    }
}
