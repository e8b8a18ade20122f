//! A secret, and which bytes can be one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;

use super::problem::Problem;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Longest secret, in bytes.
const MAX_LENGTH: usize = 1024;
/// Bytes of a file that are read: more than a secret and its line ends can have.
const MAX_READ: u64 = 64 << 10;
/// Shorter secrets can be guessed, in bytes.
const SHORT: usize = 16;
/// Permission of users who are neither the file's owner nor in its group, to read or to write it.
const OTHERS: u32 = 0o006;

/// A secret that can be sent in a header. Formatting masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why bytes cannot be a secret. The message does not contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// There is nothing, or only line ends.
    #[error("the secret is empty")]
    Empty,
    /// Longer than a secret may be.
    #[error("the secret is longer than 1 KiB")]
    TooLong,
    /// The file begins with a byte order mark.
    #[error("the secret begins with a byte order mark (save the file without it)")]
    ByteOrderMark,
    /// Headers lose blanks at both ends, so the secret could never match.
    #[error("the secret begins or ends with a blank (remove it)")]
    OuterBlank,
    /// A line end or another control character.
    #[error("the secret contains control characters (expected one line)")]
    Control,
    /// Characters that cannot be sent in a header reliably.
    #[error("the secret contains other characters than printable ASCII")]
    NotAscii,
}

impl Secret {
    /// Takes the bytes without the line ends at their end.
    ///
    /// # Errors
    ///
    /// No request could present them as a secret.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        let secret = content(bytes)?;
        let outer = [secret.first(), secret.last()];
        match str::from_utf8(secret) {
            _ if outer.iter().flatten().any(|byte| b" \t".contains(byte)) => Err(InvalidSecret::OuterBlank),
            _ if secret.iter().any(u8::is_ascii_control) => Err(InvalidSecret::Control),
            Ok(secret) if secret.is_ascii() => Ok(Self(secret.to_owned())),
            Ok(_) | Err(_) => Err(InvalidSecret::NotAscii),
        }
    }

    /// A new secret of 256 random bits, in hexadecimal digits.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn generate() -> io::Result<Self> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Ok(Self(random.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Reads a file that contains nothing else. Adds what is dangerous about it to the warnings.
    ///
    /// # Errors
    ///
    /// The file cannot be read or its content cannot be a secret.
    pub fn read(path: &Path, warnings: &mut Vec<Problem>) -> Result<Self, Problem> {
        let secret = Self::new(&read_file(path, warnings)?).map_err(|invalid| problem(path, invalid.to_string()))?;
        warnings.extend(secret.weakness().map(|weakness| problem(path, weakness)));
        Ok(secret)
    }

    /// What is wrong with a secret that works.
    pub(super) fn weakness(&self) -> Option<String> {
        (self.0.len() < SHORT).then(|| format!("the secret is shorter than {SHORT} bytes and can be guessed"))
    }

    /// The value.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Reads the password of a user from a file that contains nothing else. Adds what is dangerous about it to the warnings.
///
/// # Errors
///
/// The file cannot be read or its content cannot be a password.
pub fn read_password(path: &Path, warnings: &mut Vec<Problem>) -> Result<String, Problem> {
    let bytes = read_file(path, warnings)?;
    let invalid = |invalid: InvalidSecret| problem(path, invalid.to_string());
    let password = content(&bytes).map_err(invalid)?;
    if password.iter().any(u8::is_ascii_control) {
        return Err(invalid(InvalidSecret::Control));
    }
    let text = str::from_utf8(password).map_err(|_| problem(path, "the password is not UTF-8".to_owned()))?;
    Ok(text.to_owned())
}

/// What is in a file besides the line ends at its end.
fn content(bytes: &[u8]) -> Result<&[u8], InvalidSecret> {
    let line_ends = bytes.iter().rev().take_while(|byte| b"\r\n".contains(byte)).count();
    match &bytes[..bytes.len() - line_ends] {
        [] => Err(InvalidSecret::Empty),
        secret if secret.starts_with(BYTE_ORDER_MARK) => Err(InvalidSecret::ByteOrderMark),
        secret if secret.len() > MAX_LENGTH => Err(InvalidSecret::TooLong),
        secret => Ok(secret),
    }
}

/// Reads the file of a secret. It is not read as a whole if it is too large for one.
fn read_file(path: &Path, warnings: &mut Vec<Problem>) -> Result<Vec<u8>, Problem> {
    let unreadable = |error| {
        let link = if path.is_symlink() { "the secret's link cannot be followed" } else { "the secret cannot be read" };
        problem(path, format!("{link}: {error}"))
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut content = Vec::new();
    file.take(MAX_READ).read_to_end(&mut content).map_err(unreadable)?;
    if mode & OTHERS != 0 {
        warnings.push(problem(
            path,
            format!(
                "other users can read or change the secret (mode {:04o}; change it with chmod o-rw)",
                mode & 0o7777
            ),
        ));
    }
    Ok(content)
}

fn problem(path: &Path, message: String) -> Problem {
    Problem::new(path.display().to_string(), None, message)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_at_the_end_are_not_part_of_the_secret() {
        for content in ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\r", "s3cret\n\r\n\n"] {
            assert_eq!(Secret::new(content.as_bytes()).unwrap().expose(), "s3cret", "{content:?}");
        }
        assert_eq!(Secret::new(b"in ner ~!\n").unwrap().expose(), "in ner ~!");
    }

    #[test]
    fn bytes_that_no_request_can_present_are_not_a_secret() {
        use InvalidSecret::*;
        for (content, invalid) in [
            (&b""[..], Empty),
            (b"\n", Empty),
            (b"\r\n\r\n", Empty),
            (b" ", OuterBlank),
            (b" s3cret", OuterBlank),
            (b"s3cret ", OuterBlank),
            (b"s3cret\t", OuterBlank),
            (b"s3cret \n", OuterBlank),
            (b"\xef\xbb\xbfs3cret\n", ByteOrderMark),
            (b"a\nb", Control),
            (b"\ns3cret", Control),
            (b"a\rb", Control),
            (b"a\tb", Control),
            (b"a\0b", Control),
            (b"a\x7fb", Control),
            ("s3crét".as_bytes(), NotAscii),
            ("\u{a0}s3cret".as_bytes(), NotAscii),
            ("s3cret\u{200b}".as_bytes(), NotAscii),
            (b"s3cret\xff", NotAscii),
            (b"\xff\xfes\x003\x00", Control),
            (&[b'x'; 1025], TooLong),
            (&[b'x'; 1_000_000], TooLong),
        ] {
            assert_eq!(Secret::new(content), Err(invalid), "{:?}", content.escape_ascii().to_string());
        }
        assert!(Secret::new(&[b'x'; 1024]).is_ok());
        assert!(Secret::new(&[&[b'x'; 1024][..], b"\r\n"].concat()).is_ok());
    }

    #[test]
    fn secret_of_less_than_16_bytes_is_weak() {
        assert!(Secret::new(&[b'x'; 15]).unwrap().weakness().is_some());
        assert!(Secret::new(&[b'x'; 16]).unwrap().weakness().is_none());
    }

    #[test]
    fn file_that_others_can_access_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, [b'x'; 32]).unwrap();
        for (mode, warned) in [(0o600, 0), (0o400, 0), (0o640, 0), (0o660, 0), (0o644, 1), (0o604, 1), (0o602, 1)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut warnings = Vec::new();
            Secret::read(&path, &mut warnings).unwrap();
            assert_eq!(warnings.len(), warned, "{mode:o}");
        }
    }

    #[test]
    fn large_file_is_not_read_as_a_whole() {
        assert!(Secret::read(Path::new("/dev/zero"), &mut Vec::new()).is_err());
    }
}
