//! Handshakes by what is in force at their time.

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

use super::WebConfig;
use super::file::Settings;
use super::tls::{ClientAuth, LoadedTls};

impl WebConfig {
    /// The listener's TLS; `None` when it is to speak plain HTTP.
    pub(in super::super) fn server_config(self: &Arc<Self>) -> Option<ServerConfig> {
        let fixed = self.started_with()?;
        let builder = fixed.builder().expect("it was built when it was parsed");
        let mut config = builder.with_client_cert_verifier(self.clone()).with_cert_resolver(self.clone());
        fixed.finish(&mut config);
        // A session that is resumed is not verified again: a client that lost its right would keep it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Some(config)
    }

    fn in_force(&self) -> Option<(Arc<Settings>, Arc<LoadedTls>)> {
        let settings = self.settings().ok()?;
        let material = self.material(settings.tls.as_ref()?).ok()?;
        Some((settings, material))
    }

    /// What is asked of clients. While nothing is in force, no handshake gets as far as that.
    fn client_auth(&self) -> ClientAuth {
        let settings = self.settings().ok();
        let tls = settings.as_ref().and_then(|settings| settings.tls.as_ref());
        tls.map_or(ClientAuth::RequireAndVerify, |tls| tls.client_auth)
    }
}

impl ResolvesServerCert for WebConfig {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.in_force().map(|(_, material)| material.pair.certified.clone())
    }
}

impl ClientCertVerifier for WebConfig {
    fn offer_client_auth(&self) -> bool {
        self.client_auth() != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.client_auth().requires()
    }

    /// No hints: the authority may change, and clients offer what they have.
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
        let (settings, material) = self.in_force().ok_or_else(refused)?;
        let tls = settings.tls.as_ref().ok_or_else(refused)?;
        match tls.client_auth {
            ClientAuth::None => return Err(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon.into()),
            ClientAuth::Request | ClientAuth::RequireAny => {}
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
                let authority = material.authority.as_ref().ok_or_else(refused)?;
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

/// The certificate's alternative names: of hosts, mailboxes, addresses, and URIs.
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
