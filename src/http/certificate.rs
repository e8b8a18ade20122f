//! The webhook's TLS certificate, which is reloaded when its files change.
//!
//! Both files are read on TLS handshakes, at most once per second. A changed certificate and key take effect if
//! they are valid and belong together. Otherwise the previous certificate stays in use, one warning is logged, and
//! the files are read again later. This covers a renewal that has written only one file, or half a file.
//!
//! File contents are compared, not modification times, because two changes may have the same time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{ASN1Time, FromDer};

use super::pem::{Pem, exposed_key};
use crate::clock::{self, Stopwatch};
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

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    /// The certificate's file.
    name: PathBuf,
    pub(super) certified: Arc<CertifiedKey>,
    /// When the first certificate expires.
    pub(super) not_after: Timestamp,
    /// From when until when each certificate is valid.
    validity: Vec<(Timestamp, Timestamp)>,
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

    /// What is dangerous about files that work.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.pair.problem_at(clock::now()).into_iter().chain(exposed_key(&state.pems[1].name)).collect()
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
                if let Some(problem) = pair.problem_at(clock::now()) {
                    tracing::warn!(problem, "clients refuse the certificate");
                }
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

impl Pair {
    pub(super) fn parse([certificate, key]: &[Pem; 2]) -> Result<Self, String> {
        let chain = certificate.certificates()?;
        let validity = chain.iter().map(validity).collect::<Option<Vec<_>>>();
        let validity = validity.ok_or_else(|| certificate.lacks("certificate"))?;
        let certified = CertifiedKey::new(chain, key.private_key()?);
        let mismatch = |_| {
            let (certificate, key) = (certificate.name.display(), key.name.display());
            format!("{certificate}: its first certificate does not belong to the private key in {key}")
        };
        certified.keys_match().map_err(mismatch)?;
        let not_after = validity[0].1;
        Ok(Self { name: certificate.name.clone(), certified: Arc::new(certified), not_after, validity })
    }

    /// Why clients refuse the certificate at this time.
    pub(super) fn problem_at(&self, now: Timestamp) -> Option<String> {
        let problem = |(number, (not_before, not_after)): (usize, &(Timestamp, Timestamp))| {
            let certificate = format!("{}: certificate {} of {}", self.name.display(), number + 1, self.validity.len());
            match now {
                now if now > *not_after => Some(format!("{certificate} expired at {not_after}; renew it")),
                now if now < *not_before => Some(format!("{certificate} is not valid before {not_before}")),
                _ => None,
            }
        };
        self.validity.iter().enumerate().find_map(problem)
    }
}

/// From when until when the certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = |time: ASN1Time| Timestamp::from_seconds(time.timestamp());
    Some((seconds(parsed.validity().not_before), seconds(parsed.validity().not_after)))
}
