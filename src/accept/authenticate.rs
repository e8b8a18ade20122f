//! Who sends this? Cloudflare repeats the destination's secret in the header `cf-webhook-auth` of
//! every request; several are valid at once, because a secret can only be changed by adding a
//! second destination.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The configured name of a secret; the secret itself is never shown.
pub type SecretName = Arc<str>;

/// All secrets that are valid now, as digests.
#[derive(Clone, Default)]
pub struct Secrets(Vec<(SecretName, [u8; 32])>);

impl Secrets {
    /// The given secrets, each with its configured name.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(secrets.into_iter().map(|(name, secret)| (name.into(), digest(secret.as_bytes()))).collect())
    }

    /// The name of the secret that was presented, or `None` when it is none of ours.
    ///
    /// Digests are compared, and always all of them: the time that it takes depends neither on how
    /// much of a secret was right nor on which one was.
    pub fn identify(&self, presented: &[u8]) -> Option<&SecretName> {
        self.identify_by(presented, |secret, presented| secret.ct_eq(presented))
    }

    /// The same with another comparison, so that comparisons can be counted.
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
    fn identifies_each_secret_by_its_name() {
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
    fn every_secret_is_compared_whichever_was_presented() {
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
    fn without_secrets_nobody_is_let_in() {
        assert_eq!(Secrets::default().identify(b""), None);
    }

    #[test]
    fn debug_output_shows_names_only() {
        let shown = format!("{:?}", Secrets::new([("old", "s3cret")]));
        assert_eq!(shown, r#"["old"]"#);
    }
}
