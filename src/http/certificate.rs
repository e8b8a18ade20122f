//! The webhook's TLS certificate, which is reloaded when its files change.
//!
//! Both files are read on TLS handshakes, at most once per second. A changed certificate and key take effect if
//! they are valid and belong together. Otherwise the previous certificate stays in use, one warning is logged, and
//! the files are read again later. This covers a renewal that has written only one file, or half a file.
//!
//! File contents are compared, not modification times, because two changes may have the same time.

use std::error::Error as _;
use std::fs;
use std::io;
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

/// Why a certificate cannot be used. The message contains no file contents.
#[derive(Debug, Error)]
pub enum InvalidCertificate {
    /// A file cannot be read.
    #[error("{}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file is not PEM or contains no certificate.
    #[error("{}: no certificate in PEM format", .0.display())]
    NoCertificate(PathBuf),
    /// The file is not PEM or contains no supported key.
    #[error("{}: no private key in PEM format", .0.display())]
    NoKey(PathBuf),
    /// The key does not belong to the certificate.
    #[error("{} and {} do not belong together", .0.display(), .1.display())]
    Mismatch(PathBuf, PathBuf),
}

/// The certificate in use, and its files.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pair: Pair,
    /// The file contents that `pair` was parsed from.
    pems: Pems,
    /// Why the current file contents are not used, or `None` if they are.
    problem: Option<String>,
    since_read: Stopwatch,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
}

/// The contents of the two files: certificates and key.
type Pems = [Vec<u8>; 2];

impl Certificate {
    /// Reads the PEM files. The first certificate is the server's, further ones are intermediates.
    ///
    /// # Errors
    ///
    /// A file is unreadable or invalid, or the two do not belong together.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, InvalidCertificate> {
        let pems = read(&certificate, &key)?;
        let pair = Pair::parse((&certificate, &pems[0]), (&key, &pems[1]))?;
        let state = State { pair, pems, problem: None, since_read: Stopwatch::start() };
        Ok(Self { certificate, key, state: Mutex::new(state) })
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> Timestamp {
        self.with_current(|pair| pair.not_after)
    }

    fn with_current<T>(&self, get: impl FnOnce(&Pair) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since_read.elapsed() >= INTERVAL {
            state.since_read = Stopwatch::start();
            self.renew(&mut state);
        }
        get(&state.pair)
    }

    fn renew(&self, state: &mut State) {
        let read = read(&self.certificate, &self.key);
        if read.as_ref().is_ok_and(|pems| *pems == state.pems) {
            state.problem = None;
            return;
        }
        let parse = |pems: &Pems| Pair::parse((&self.certificate, &pems[0]), (&self.key, &pems[1]));
        match read.and_then(|pems| Ok((parse(&pems)?, pems))) {
            Ok((pair, pems)) => {
                tracing::info!(not_after = %pair.not_after, "certificate renewed");
                (state.pair, state.pems, state.problem) = (pair, pems, None);
            }
            Err(invalid) => {
                let cause = invalid.source().map(ToString::to_string);
                let problem = Some(format!("{invalid} {cause:?}"));
                if state.problem != problem {
                    tracing::warn!(problem = %invalid, cause, "certificate files cannot be used; the previous certificate stays in use");
                    state.problem = problem;
                }
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

fn read(certificate: &Path, key: &Path) -> Result<Pems, InvalidCertificate> {
    let read = |path: &Path| fs::read(path).map_err(|error| InvalidCertificate::Unreadable(path.to_owned(), error));
    Ok([read(certificate)?, read(key)?])
}

impl Pair {
    /// Parses the contents of two files. The file names are for error messages.
    pub(super) fn parse(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, InvalidCertificate> {
        let no_certificate = || InvalidCertificate::NoCertificate(certificate.0.to_owned());
        let no_key = || InvalidCertificate::NoKey(key.0.to_owned());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.1).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        let not_after = chain.first().and_then(not_after).ok_or_else(no_certificate)?;
        let signing = PrivateKeyDer::from_pem_slice(key.1).map_err(|_| no_key())?;
        let signing = ring::sign::any_supported_type(&signing).map_err(|_| no_key())?;
        let certified = CertifiedKey::new(chain, signing);
        let mismatch = || InvalidCertificate::Mismatch(certificate.0.to_owned(), key.0.to_owned());
        certified.keys_match().map_err(|_| mismatch())?;
        Ok(Self { certified: Arc::new(certified), not_after })
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp::from_seconds(parsed.validity().not_after.timestamp()))
}
