//! `tls_server_config` and the PEM files that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ConfigBuilder, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    WantsVerifier,
};

use super::section::{Parsed, Section};
use crate::http::certificate::Pair;
use crate::http::pem::Pem;

const VERSIONS: [(&str, usize); 2] = [("TLS12", 0), ("TLS13", 1)];
const PROTOCOLS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const CURVES: [(&str, NamedGroup); 3] =
    [("CurveP256", NamedGroup::secp256r1), ("CurveP384", NamedGroup::secp384r1), ("X25519", NamedGroup::X25519)];
const CLIENT_AUTH: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    // A former name of the same setting.
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

/// Which certificate clients must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    /// Whether clients must have a certificate.
    pub(super) fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }

    /// Whether a certificate that a client presents is verified.
    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

#[derive(Debug)]
pub(super) struct Tls {
    certificate: Source,
    key: Source,
    client_ca: Option<Source>,
    pub(super) client_auth: ClientAuth,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) static_tls: StaticTls,
}

/// TLS settings that only a restart changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StaticTls {
    versions: Vec<&'static SupportedProtocolVersion>,
    cipher_suites: Vec<SupportedCipherSuite>,
    curves: Vec<NamedGroup>,
    pub(super) prefer_server_cipher_suites: bool,
}

/// The source of PEM: a file, or text in the web configuration under a key.
#[derive(Debug)]
struct Source {
    name: PathBuf,
    text: Option<String>,
}

/// The contents of all PEM sources.
#[derive(Debug, PartialEq)]
pub(super) struct Pems {
    certificate_and_key: [Pem; 2],
    client_ca: Option<Pem>,
}

/// Parsed from [`Pems`].
#[derive(Debug)]
pub(super) struct LoadedTls {
    pub(super) pair: Pair,
    /// Verifies client certificates.
    pub(super) authority: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    /// Returns `None` if the section sets nothing about certificates.
    pub(super) fn parse(mut section: Section, folder: &Path) -> Parsed<Option<Self>> {
        let mut source = |file: &str, inline: &str| -> Parsed<Option<Source>> {
            let (path, text, key) = (section.text(file)?, section.text(inline)?, section.name(inline));
            // PEM text in place of a path must not appear in an error message.
            if path.as_ref().is_some_and(|path| path.contains('\n')) {
                return Err(format!("{}: must be a path", section.name(file)));
            }
            Ok(match path {
                Some(path) => Some(Source { name: folder.join(path), text: None }),
                None => text.map(|text| Source { name: key.into(), text: Some(text) }),
            })
        };
        let (certificate, key) = (source("cert_file", "cert")?, source("key_file", "key")?);
        let client_ca = source("client_ca_file", "client_ca")?;
        let asked = section.choice("client_auth_type", &CLIENT_AUTH)?;
        let client_auth = asked.unwrap_or(ClientAuth::None);
        let client_allowed_sans = section.list("client_allowed_sans")?;
        let static_tls = StaticTls::parse(&mut section)?;
        let problem = |field: &str, message: &str| Err(format!("{}: {message}", section.name(field)));
        if certificate.is_none() && key.is_none() && client_ca.is_none() && asked.is_none() {
            section.finish()?;
            return Ok(None);
        }
        let Some(certificate) = certificate else { return problem("cert_file", "is required, unless cert is set") };
        let Some(key) = key else { return problem("key_file", "is required, unless key is set") };
        if client_auth.verifies() && client_ca.is_none() {
            return problem("client_ca_file", "is required, unless client_ca is set");
        }
        if client_auth == ClientAuth::None && client_ca.is_some() {
            return problem("client_auth_type", "must request certificates if there is a client CA");
        }
        if client_allowed_sans.is_some() && !client_auth.requires() {
            let message = "requires client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert";
            return problem("client_allowed_sans", message);
        }
        section.finish()?;
        Ok(Some(Self { certificate, key, client_ca, client_auth, client_allowed_sans, static_tls }))
    }

    /// The file that contains the private key; `None` if it is the web configuration itself.
    pub(super) fn key_file(&self) -> Option<&Path> {
        self.key.text.is_none().then_some(&self.key.name)
    }

    pub(super) fn read(&self) -> Parsed<Pems> {
        let client_ca = self.client_ca.as_ref().map(Source::read).transpose()?;
        Ok(Pems { certificate_and_key: [self.certificate.read()?, self.key.read()?], client_ca })
    }
}

impl Source {
    fn read(&self) -> Parsed<Pem> {
        match &self.text {
            Some(text) => Ok(Pem { name: self.name.clone(), bytes: text.clone().into_bytes() }),
            None => Pem::read(&self.name),
        }
    }
}

impl StaticTls {
    fn parse(section: &mut Section) -> Parsed<Self> {
        let oldest = section.choice("min_version", &VERSIONS)?.unwrap_or(0);
        let newest = section.choice("max_version", &VERSIONS)?.unwrap_or(1);
        if oldest > newest {
            return Err(format!("{}: is newer than max_version", section.name("min_version")));
        }
        let named = |suite| (suite_name(suite), suite);
        let mut suites: Vec<_> = ring::default_provider().cipher_suites.into_iter().map(named).collect();
        suites.sort_unstable_by_key(|(name, _)| name.clone());
        let static_tls = Self {
            versions: PROTOCOLS[oldest..=newest].to_vec(),
            cipher_suites: section.choices("cipher_suites", &suites)?,
            curves: section.choices("curve_preferences", &CURVES)?,
            prefer_server_cipher_suites: section.boolean("prefer_server_cipher_suites")?.unwrap_or(true),
        };
        static_tls.builder().map_err(|message| format!("{}: {message}", section.name("cipher_suites")))?;
        Ok(static_tls)
    }

    /// The rustls builder with these settings.
    pub(super) fn builder(&self) -> Parsed<ConfigBuilder<ServerConfig, WantsVerifier>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(self.provider()));
        let builder = builder.with_protocol_versions(&self.versions);
        builder.map_err(|_| "contains no suite for these TLS versions".to_owned())
    }

    /// As in Go, `cipher_suites` selects among the suites of TLS 1.2. Those of TLS 1.3 are always enabled.
    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            provider.cipher_suites.retain(|suite| suite.tls13().is_some());
            provider.cipher_suites.extend(self.cipher_suites.iter().filter(|suite| suite.tls13().is_none()));
        }
        if !self.curves.is_empty() {
            let group = |curve: &NamedGroup| {
                let group = provider.kx_groups.iter().find(|group| group.name() == *curve);
                *group.expect("the provider supports all curves of CURVES")
            };
            provider.kx_groups = self.curves.iter().map(group).collect();
        }
        provider
    }
}

/// The suite's name in Go.
fn suite_name(suite: SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

impl LoadedTls {
    pub(super) fn new(pems: &Pems) -> Parsed<Self> {
        let authority = pems.client_ca.as_ref().map(authority).transpose()?;
        Ok(Self { pair: Pair::parse(&pems.certificate_and_key)?, authority })
    }
}

fn authority(pem: &Pem) -> Parsed<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in pem.certificates()? {
        roots.add(certificate).map_err(|_| pem.lacks("certificate"))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(|verifier| verifier as _).map_err(|_| pem.lacks("certificate"))
}
