//! The webhook's TLS certificate, which is reloaded when its files change.
//!
//! Both files are read on TLS handshakes, at most once per second. A changed certificate and key take effect if
//! they are valid and belong together. Otherwise the previous certificate stays in use, one warning is logged, and
//! the files are read again later. This covers a renewal that has written only one file, or half a file.
//!
//! File contents are compared, not modification times, because two changes may have the same time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock::Stopwatch;
use crate::event::Timestamp;

/// Minimum time between two reads of the files.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which file cannot be used, and why. The message contains no password, hash or key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidFile(pub(super) String);

/// The certificate in use, and its files.
#[derive(Debug)]
pub struct Certificate(Mutex<State>);

#[derive(Debug)]
struct State {
    pair: Pair,
    /// The certificate and the key that `pair` was parsed from.
    pems: [Pem; 2],
    /// Why the current file contents are not used, or `None` if they are.
    problem: Option<String>,
    since_read: Stopwatch,
}

/// The contents of a PEM file, and its name for error messages.
#[derive(Debug, PartialEq)]
pub(super) struct Pem {
    pub(super) name: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
}

impl Certificate {
    /// Reads the PEM files. The first certificate is the server's, further ones are intermediates.
    ///
    /// # Errors
    ///
    /// A file is unreadable or invalid, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, InvalidFile> {
        let pems = read(certificate, key).map_err(InvalidFile)?;
        let pair = Pair::parse(&pems).map_err(InvalidFile)?;
        Ok(Self(Mutex::new(State { pair, pems, problem: None, since_read: Stopwatch::start() })))
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> Timestamp {
        self.with_current(|pair| pair.not_after)
    }

    fn with_current<T>(&self, get: impl FnOnce(&Pair) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since_read.elapsed() >= INTERVAL {
            state.since_read = Stopwatch::start();
            state.renew();
        }
        get(&state.pair)
    }
}

impl State {
    fn renew(&mut self) {
        let read = read(&self.pems[0].name, &self.pems[1].name);
        if read.as_ref() == Ok(&self.pems) {
            self.problem = None;
            return;
        }
        match read.and_then(|pems| Ok((Pair::parse(&pems)?, pems))) {
            Ok((pair, pems)) => {
                tracing::info!(not_after = %pair.not_after, "certificate renewed");
                (self.pair, self.pems, self.problem) = (pair, pems, None);
            }
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "certificate files cannot be used; the previous certificate stays in use");
                }
                self.problem = Some(problem);
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.with_current(|pair| pair.certified.clone()))
    }
}

/// TLS 1.2 and 1.3 with this certificate and without client certificates.
pub(super) fn server_config(certificate: Arc<Certificate>) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificate)
}

fn read(certificate: &Path, key: &Path) -> Result<[Pem; 2], String> {
    Ok([Pem::read(certificate)?, Pem::read(key)?])
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { name: path.to_owned(), bytes })
    }

    /// The certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        parsed.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| self.lacks("certificate"))
    }

    pub(super) fn lacks(&self, item: &str) -> String {
        format!("{}: no {item} in PEM format", self.name.display())
    }
}

impl Pair {
    pub(super) fn parse([certificate, key]: &[Pem; 2]) -> Result<Self, String> {
        let chain = certificate.certificates()?;
        let (_, parsed) = X509Certificate::from_der(&chain[0]).map_err(|_| certificate.lacks("certificate"))?;
        let not_after = Timestamp::from_seconds(parsed.validity().not_after.timestamp());
        let private = PrivateKeyDer::from_pem_slice(&key.bytes).map_err(|_| key.lacks("private key"))?;
        let private = ring::sign::any_supported_type(&private).map_err(|_| key.lacks("private key"))?;
        let certified = CertifiedKey::new(chain, private);
        let mismatch = |_| format!("{}: does not belong to {}", certificate.name.display(), key.name.display());
        certified.keys_match().map_err(mismatch)?;
        Ok(Self { certified: Arc::new(certified), not_after })
    }
}
