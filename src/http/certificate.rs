//! A TLS certificate that may be renewed under our feet.
//!
//! Its two files are read when somebody connects, at most once a second. What differs from the pair in
//! force takes over when it is a pair itself: a certificate without its key, half a file, a file that
//! cannot be read for a moment leave the one before in force, are told once, and tried again.
//!
//! Contents are compared, not times of change: two changes may have the same time.

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

/// The files are read so often at the most.
const INTERVAL: Duration = Duration::from_secs(1);

/// The files of a certificate and its key, both PEM. The first certificate of the file is the
/// server's own, the others lead to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used. Never quotes a file.
#[derive(Debug, Error)]
pub enum InvalidCertificate {
    /// A file cannot be read.
    #[error("{}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file is no PEM, or has no certificate in it.
    #[error("{}: no certificate in PEM format", .0.display())]
    NoCertificate(PathBuf),
    /// The file is no PEM, or has no key in it that can be used.
    #[error("{}: no private key in PEM format", .0.display())]
    NoKey(PathBuf),
    /// The key is not the certificate's.
    #[error("{} and {} do not belong together", .0.display(), .1.display())]
    Mismatch(PathBuf, PathBuf),
}

/// The certificate in force, and the files that it came from.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pair: Pair,
    /// What the pair was made of.
    pems: Pems,
    /// Why what the files hold now has not taken over; none while that is the pair in force.
    problem: Option<String>,
    looked: Stopwatch,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
}

/// What the files hold: the certificates, and the key.
type Pems = [Vec<u8>; 2];

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn load(files: CertificateFiles) -> Result<Self, InvalidCertificate> {
        let pems = files.read()?;
        let pair = files.parse(&pems)?;
        Ok(Self { files, state: Mutex::new(State { pair, pems, problem: None, looked: Stopwatch::start() }) })
    }

    /// The end of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.with_newest(|pair| pair.not_after)
    }

    fn with_newest<T>(&self, use_it: impl FnOnce(&Pair) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= INTERVAL {
            state.looked = Stopwatch::start();
            self.renew(&mut state);
        }
        use_it(&state.pair)
    }

    fn renew(&self, state: &mut State) {
        let read = self.files.read();
        if read.as_ref().is_ok_and(|pems| *pems == state.pems) {
            state.problem = None;
            return;
        }
        match read.and_then(|pems| Ok((self.files.parse(&pems)?, pems))) {
            Ok((pair, pems)) => {
                tracing::info!(not_after = %pair.not_after, "certificate renewed");
                (state.pair, state.pems, state.problem) = (pair, pems, None);
            }
            Err(invalid) => {
                let cause = invalid.source().map(ToString::to_string);
                let problem = Some(format!("{invalid} {cause:?}"));
                if state.problem != problem {
                    tracing::warn!(problem = %invalid, cause, "the certificate cannot be renewed; the one before stays in force");
                    state.problem = problem;
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.with_newest(|pair| pair.certified.clone()))
    }
}

/// A server's TLS with this certificate: versions 1.2 and 1.3, and no client certificates.
pub(super) fn server_config(certificate: Arc<Certificate>) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificate)
}

impl CertificateFiles {
    fn read(&self) -> Result<Pems, InvalidCertificate> {
        let read = |path: &Path| fs::read(path).map_err(|error| InvalidCertificate::Unreadable(path.to_owned(), error));
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn parse(&self, [certificate, key]: &Pems) -> Result<Pair, InvalidCertificate> {
        Pair::parse((&self.certificate, certificate), (&self.key, key))
    }
}

impl Pair {
    /// Makes a pair of what two files hold; their names are for the error.
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
