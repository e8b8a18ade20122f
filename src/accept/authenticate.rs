//! Authenticates requests. Cloudflare sends the destination's secret in the header `cf-webhook-auth` of every request.
//! Several secrets are valid at once, because a secret can only be changed by adding a second destination.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The configured name of a secret. Logs and metrics show the name, and not the secret.
pub type SecretName = Arc<str>;

/// The valid secrets, as digests.
#[derive(Clone, Default)]
pub struct Secrets(Vec<(SecretName, [u8; 32])>);

impl Secrets {
    /// Takes secrets with their configured names.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(secrets.into_iter().map(|(name, secret)| (name.into(), digest(secret.as_bytes()))).collect())
    }

    /// The name of the presented secret, or `None` if it is not valid.
    ///
    /// It always compares all digests, each in constant time, so the duration does not depend on how much of a secret
    /// matches or which one matches.
    pub fn identify(&self, presented: &[u8]) -> Option<&SecretName> {
        self.identify_by(presented, |secret, presented| secret.ct_eq(presented))
    }

    /// Takes the comparison as an argument, so that a test can count comparisons.
    fn identify_by(
        &self,
        presented: &[u8],
        mut equal: impl FnMut(&[u8; 32], &[u8; 32]) -> Choice,
    ) -> Option<&SecretName> {
        let presented = digest(presented);
        let mut identified = None;
        for (name, secret) in &self.0 {
            if bool::from(equal(secret, &presented)) {
                identified = Some(name);
            }
        }
        identified
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_identified_by_its_name() {
        let secrets = Secrets::new([("old", "s3cret"), ("new", "0012e5")]);
        for (presented, name) in [
            ("s3cret", Some("old")),
            ("0012e5", Some("new")),
            ("1200000", None),
            ("s3cre", None),
            ("s3crets", None),
            ("", None),
        ] {
            assert_eq!(secrets.identify(presented.as_bytes()).map(AsRef::as_ref), name, "{presented:?}");
        }
    }

    #[test]
    fn all_secrets_are_compared_regardless_of_the_presented_one() {
        let secrets = Secrets::new([("first", "1"), ("second", "2"), ("third", "3")]);
        for (presented, name) in [("1", Some("first")), ("2", Some("second")), ("3", Some("third")), ("4", None)] {
            let mut compared = 0;
            let identified = secrets.identify_by(presented.as_bytes(), |secret, presented| {
                compared += 1;
                secret.ct_eq(presented)
            });
            assert_eq!((identified.map(AsRef::as_ref), compared), (name, 3), "{presented}");
        }
    }

    #[test]
    fn without_secrets_nothing_is_accepted() {
        assert_eq!(Secrets::default().identify(b""), None);
    }

    #[test]
    fn debug_output_contains_names_only() {
        let shown = format!("{:?}", Secrets::new([("old", "s3cret")]));
        assert_eq!(shown, r#"["old"]"#);
    }
}
