//! TLS handshakes with the web configuration of the moment.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::file::Settings;
use super::tls::{ClientAuth, LoadedTls};
use super::{Operator, WebConfig};

impl WebConfig {
    /// The listener's TLS configuration, or `None` for plain HTTP.
    pub(in super::super) fn server_config(self: &Arc<Self>) -> Option<ServerConfig> {
        let static_tls = self.started_with.as_ref()?;
        let builder = static_tls.builder().expect("parsing built it before");
        let mut config = builder.with_client_cert_verifier(self.clone()).with_cert_resolver(self.clone());
        config.ignore_client_order = static_tls.prefer_server_cipher_suites;
        // No session resumption: a resumed session is not verified again, so a client would keep a revoked access.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Some(config)
    }

    /// The owner of the certificate that a client has presented; `None` if it was not verified.
    pub(in super::super) fn owner(&self, presented: &[CertificateDer<'_>]) -> Option<Operator> {
        if !self.client_auth().verifies() {
            return None;
        }
        let certificate = presented.first()?;
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let subject = Some(parsed.subject().to_string()).filter(|subject| !subject.is_empty());
        let name = subject.or_else(|| names(certificate).into_iter().next());
        Some(Operator(name.unwrap_or_else(|| "client certificate without a name".to_owned()).into()))
    }

    fn current(&self) -> Option<(Arc<Settings>, Arc<LoadedTls>)> {
        let settings = self.settings().ok()?;
        let loaded_tls = self.loaded_tls(settings.tls.as_ref()?).ok()?;
        Some((settings, loaded_tls))
    }

    /// The certificate that clients must present. While the configuration is invalid, handshakes fail earlier.
    fn client_auth(&self) -> ClientAuth {
        let settings = self.settings().ok();
        let tls = settings.as_ref().and_then(|settings| settings.tls.as_ref());
        tls.map_or(ClientAuth::RequireAndVerify, |tls| tls.client_auth)
    }
}

impl ResolvesServerCert for WebConfig {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().map(|(_, loaded_tls)| loaded_tls.pair.certified.clone())
    }
}

impl ClientCertVerifier for WebConfig {
    fn offer_client_auth(&self) -> bool {
        self.client_auth() != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.client_auth().requires()
    }

    /// No hints: the authority may change, and clients then send the certificate that they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = || Error::from(CertificateError::ApplicationVerificationFailure);
        let (settings, loaded_tls) = self.current().ok_or_else(refused)?;
        let tls = settings.tls.as_ref().ok_or_else(refused)?;
        match tls.client_auth {
            ClientAuth::None => return Err(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon.into()),
            ClientAuth::Request | ClientAuth::RequireAny => {}
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
                let authority = loaded_tls.authority.as_ref().ok_or_else(refused)?;
                authority.verify_client_cert(certificate, intermediates, now)?;
            }
        }
        match &tls.client_allowed_sans {
            Some(allowed) if !names(certificate).iter().any(|name| allowed.contains(name)) => Err(refused()),
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// The certificate's subject alternative names: DNS names, email addresses, IP addresses and URIs.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
