//! TLS of connections to PostgreSQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Security};

/// Why the server's certificate cannot be verified.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file of `sslrootcert` cannot be used.
    #[error("{}: the certificates of sslrootcert cannot be read: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The system has none.
    #[error("the system has no certificates of authorities; install them (ca-certificates), or set sslrootcert")]
    None,
    /// The library rejects the configuration.
    #[error("TLS cannot be used: {0}")]
    Library(#[from] rustls::Error),
}

/// Reads the certificates. `None` if connections are not encrypted.
pub(super) fn connector(address: &Address) -> Result<Option<MakeRustlsConnect>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let roots = || roots(address.root_certificates.as_deref());
    let config = match address.security {
        Security::Plain => return Ok(None),
        Security::Full => builder.with_root_certificates(roots()?),
        Security::Authority => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { provider, roots: Some(roots()?) }))
        }
        Security::Encrypted => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { provider, roots: None }))
        }
    };
    Ok(Some(MakeRustlsConnect::new(config.with_no_client_auth())))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(TlsError::None) } else { Ok(roots) };
    };
    let unusable = |problem: String| TlsError::File { path: path.to_owned(), problem };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("there are none".to_owned())) } else { Ok(roots) }
}

/// Accepts certificates for any name: those that an authority signed, or all.
#[derive(Debug)]
struct AnyName {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
