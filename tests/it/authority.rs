//! A certificate authority, as a site has for its own machines.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate authority and its key.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate signed by an authority, and its key.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "an authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("ring makes keys");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("the key can sign"))
    }

    /// Issues a certificate for a host or address, valid until the beginning of a year.
    pub fn identity(&self, name: &str, year: i32) -> Identity {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut parameters = CertificateParams::new([name.to_owned()]).expect("it is a name");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = parameters.signed_by(&key, &self.0).expect("the key can sign");
        Identity { certificate, key }
    }

    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

impl Identity {
    /// Writes `tls.crt` and `tls.key`.
    pub fn write(&self, folder: &Path) {
        self.write_as(folder, "tls");
    }

    pub fn write_as(&self, folder: &Path, name: &str) {
        for (kind, pem) in [("crt", self.certificate.pem()), ("key", self.key_pem())] {
            fs::write(folder.join(format!("{name}.{kind}")), pem).expect("the folder can be written");
        }
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate and key as a client presents them.
    pub fn client_cert(&self) -> ureq::tls::ClientCert {
        let certificate = ureq::tls::Certificate::from_der(self.certificate.der()).to_owned();
        let key = ureq::tls::PrivateKey::from_pem(self.key_pem().as_bytes()).expect("it is a key");
        ureq::tls::ClientCert::new_with_certs(&[certificate], key)
    }
}
