//! Certificates and private keys in PEM format, and why a file cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use x509_parser::asn1_rs::{Any, FromDer, Oid};

use super::files;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const SUPPORTED_KEYS: &str = "RSA with 2048 to 4096 bits, ECDSA with P-256 or P-384, or Ed25519";
/// The first byte of every certificate and key in binary formats.
const DER_SEQUENCE: u8 = 0x30;
/// Permission of users who are neither the file's owner nor in its group, to read or to write it.
const OTHERS: u32 = 0o006;

/// The contents of a PEM file, and its name for error messages.
#[derive(Debug, PartialEq)]
pub(super) struct Pem {
    pub(super) name: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bytes = files::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes);
        Ok(Self { name: path.to_owned(), bytes })
    }

    /// The certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        parsed.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| self.lacks("certificate"))
    }

    /// The first private key.
    pub(super) fn private_key(&self) -> Result<Arc<dyn SigningKey>, String> {
        let name = self.name.display();
        let key = PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| match self.is_encrypted() {
            true => format!(
                "{name}: the private key is encrypted, which is not supported \
                 (decrypt it with `openssl pkey -in {name} -out NEW_FILE`)"
            ),
            false => self.lacks("private key"),
        })?;
        ring::sign::any_supported_type(&key).map_err(|_| {
            let algorithm = algorithm(&key).unwrap_or_else(|| "an unknown algorithm".to_owned());
            format!("{name}: a private key of {algorithm} is not supported (expected {SUPPORTED_KEYS})")
        })
    }

    /// The error message for a file without this item.
    pub(super) fn lacks(&self, item: &str) -> String {
        let found = match self.labels().as_slice() {
            [] if self.bytes.first() == Some(&DER_SEQUENCE) => {
                " (it is binary: convert DER with `openssl x509` or `openssl pkey`, PKCS#12 with `openssl pkcs12`)"
                    .to_owned()
            }
            [] => String::new(),
            labels => format!(" (it contains: {})", labels.join(", ")),
        };
        format!("{}: no {item} in PEM format{found}", self.name.display())
    }

    /// The kinds of all sections, as PEM names them.
    fn labels(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let label = |line: &str| Some(line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
        text.lines().filter_map(label).collect()
    }

    fn is_encrypted(&self) -> bool {
        self.labels().iter().any(|label| label.starts_with("ENCRYPTED"))
            || String::from_utf8_lossy(&self.bytes).lines().any(|line| line.trim() == "Proc-Type: 4,ENCRYPTED")
    }
}

/// The warning about a file with a private key that other users can access.
pub(super) fn exposed_key(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let message = || {
        let mode = mode & 0o7777;
        format!(
            "{}: other users can read or change the private key (mode {mode:04o}; change it with chmod o-rw)",
            path.display()
        )
    };
    (mode & OTHERS != 0).then(message)
}

/// The algorithm of a private key in words.
fn algorithm(key: &PrivateKeyDer<'_>) -> Option<String> {
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
        // Version, key, curve, public key.
        PrivateKeyDer::Sec1(key) => {
            let parts = sequence(key.secret_sec1_der())?;
            let curve = parts.get(2).and_then(|explicit| Any::from_der(explicit.data).ok());
            Some(format!("ECDSA with {}", named(&curve?.1)))
        }
        // Version, algorithm with parameters, key.
        PrivateKeyDer::Pkcs8(key) => {
            let parts = sequence(key.secret_pkcs8_der())?;
            let algorithm = values(parts.get(1)?.data);
            match named(algorithm.first()?).as_str() {
                "RSA" => rsa(parts.get(2)?.data),
                "ECDSA" => Some(format!("ECDSA with {}", named(algorithm.get(1)?))),
                other => Some(other.to_owned()),
            }
        }
        _ => None,
    }
}

/// Version, modulus, ...
fn rsa(key: &[u8]) -> Option<String> {
    let parts = sequence(key)?;
    let modulus: &[u8] = parts.get(1)?.data;
    let zeros: u32 = modulus.iter().take_while(|byte| **byte == 0).count().try_into().ok()?;
    let first = modulus.get(zeros as usize)?;
    let bits = u32::try_from(modulus.len()).ok()? * 8 - zeros * 8 - first.leading_zeros();
    Some(format!("RSA with {bits} bits"))
}

/// The values in a DER sequence.
fn sequence(der: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, sequence) = Any::from_der(der).ok()?;
    Some(values(sequence.data))
}

fn values(mut der: &[u8]) -> Vec<Any<'_>> {
    let mut values = Vec::new();
    while let Ok((rest, value)) = Any::from_der(der) {
        values.push(value);
        der = rest;
    }
    values
}

/// The common name of an algorithm or a curve, or its object identifier.
fn named(identifier: &Any<'_>) -> String {
    let identifier = Oid::new(identifier.data.into()).to_id_string();
    let name = match identifier.as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.10040.4.1" => "DSA",
        "1.2.840.10045.2.1" => "ECDSA",
        "1.3.101.110" => "X25519",
        "1.3.101.111" => "X448",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "1.2.840.10045.3.1.1" => "P-192",
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "P-224",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        _ => return identifier,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(file: &str) -> Pem {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
        Pem::read(&folder.join(file)).unwrap()
    }

    #[test]
    fn private_keys_of_all_supported_formats_are_read() {
        for file in ["p256.pem", "p256-sec1.pem", "rsa2048-pkcs1.pem", "ed25519.pem"] {
            assert!(key(file).private_key().is_ok(), "{file}");
        }
    }

    #[test]
    fn unusable_private_key_is_refused_with_what_it_is() {
        for (file, named) in [
            ("p521.pem", "P-521"),
            ("p521-sec1.pem", "P-521"),
            ("secp256k1.pem", "secp256k1"),
            ("rsa1024.pem", "1024 bits"),
            ("rsa1024-pkcs1.pem", "1024 bits"),
            ("ed448.pem", "Ed448"),
            ("p256-encrypted.pem", "openssl pkey"),
            ("p256-encrypted-sec1.pem", "openssl pkey"),
            ("p256-public.pem", "PUBLIC KEY"),
            ("p256.der", "openssl pkey"),
        ] {
            let problem = key(file).private_key().map(drop).unwrap_err();
            assert!(problem.contains(&format!("{file}: ")) && problem.contains(named), "{problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
        }
    }

    #[test]
    fn one_leading_byte_order_mark_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, [BYTE_ORDER_MARK, &key("p256.pem").bytes].concat()).unwrap();
        assert_eq!(Pem::read(&path).unwrap().bytes, key("p256.pem").bytes);
    }

    #[test]
    fn key_file_that_others_can_access_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "").unwrap();
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposed_key(&path).is_some(), warned, "{mode:o}");
        }
    }
}
