//! The password, which is read again for each connection.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio_postgres::config::Host;

/// More than such a file has.
const MAX_READ: u64 = 1 << 20;
/// Permissions of users other than the file's owner. Clients of PostgreSQL do not use a `.pgpass` with them.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Why a file with a password cannot be used. The message has nothing of its content.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// It cannot be read.
    #[error("{}: the password cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no password.
    #[error("{}: is not a password: {problem} (expected one line of text)", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Other users can access the file that has passwords of several servers.
    #[error("{}: other users can access the passwords (mode {mode:04o}); change it with chmod 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Reads the password from a file that has nothing else.
pub(super) fn from_file(path: &Path) -> Result<String, PasswordError> {
    let (text, _) = read(path)?;
    let invalid = |problem| Err(PasswordError::Invalid { path: path.to_owned(), problem });
    let password = text.trim_end_matches(['\r', '\n']);
    match password {
        "" => invalid("the file is empty"),
        _ if password.starts_with('\u{feff}') => invalid("it begins with a byte order mark"),
        _ if password.contains(|char: char| char.is_ascii_control()) => invalid("it has control characters"),
        _ => Ok(password.to_owned()),
    }
}

/// The passwords of several servers, in the format of libpq.
pub(super) struct PasswordList(String);

impl PasswordList {
    /// Reads the file that the variable `PGPASSFILE` names, or `.pgpass` of the user. There may be none.
    pub(super) fn of_user() -> Result<Option<Self>, PasswordError> {
        let named = env::var_os("PGPASSFILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let Some(path) = named.or_else(|| Some(env::home_dir()?.join(".pgpass"))) else { return Ok(None) };
        Self::read(&path)
    }

    fn read(path: &Path) -> Result<Option<Self>, PasswordError> {
        match read(path) {
            Ok((_, mode)) if mode & GROUP_AND_OTHERS != 0 => {
                Err(PasswordError::Exposed { path: path.to_owned(), mode })
            }
            Ok((text, _)) => Ok(Some(Self(text))),
            Err(PasswordError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The password of the first line that matches.
    pub(super) fn find(&self, host: &Host, port: u16, database: &str, user: &str) -> Option<String> {
        let names: Vec<&str> = match host {
            Host::Tcp(name) => vec![name],
            Host::Unix(folder) => folder.to_str().into_iter().chain(["localhost"]).collect(),
        };
        let port = port.to_string();
        let matches = |field: &str, value: &str| field == "*" || unescaped(field) == value;
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let [of_host, of_port, of_database, of_user, password] = fields(line)?;
            let is_match = names.iter().any(|name| matches(of_host, name))
                && matches(of_port, &port)
                && matches(of_database, database)
                && matches(of_user, user);
            is_match.then(|| unescaped(password))
        })
    }
}

/// The fields of a line. The last one ends with the line or with a colon.
fn fields(line: &str) -> Option<[&str; 5]> {
    let mut fields = [""; 5];
    let mut rest = Some(line);
    for field in &mut fields {
        let text = rest?;
        let mut is_escaped = false;
        let end = text.find(|char| {
            let is_end = char == ':' && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            is_end
        });
        (*field, rest) = end.map_or((text, None), |end| (&text[..end], Some(&text[end + 1..])));
    }
    Some(fields)
}

/// A backslash makes the next character a plain one.
fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
    }
    text
}

/// The text of a file and its permissions.
fn read(path: &Path) -> Result<(String, u32), PasswordError> {
    let unreadable = |source| PasswordError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let mut text = String::new();
    file.take(MAX_READ).read_to_string(&mut text).map_err(unreadable)?;
    Ok((text, mode))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn password_is_the_only_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (content, password) in [
            (&b"secret"[..], Some("secret")),
            (b"secret\r\n", Some("secret")),
            (b" a:b \n", Some(" a:b ")),
            ("pässword".as_bytes(), Some("pässword")),
            (b"", None),
            (b"\n", None),
            (b"a\nb", None),
            (b"\xef\xbb\xbfa", None),
            (b"a\xff", None),
        ] {
            fs::write(&path, content).unwrap();
            let read = from_file(&path);
            assert_eq!(read.ok().as_deref(), password, "{content:?}");
        }
        assert!(from_file(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn first_line_that_matches_has_the_password() {
        let list = PasswordList(
            "# a:1:d:u:comment\n\nshort:1:d\na:1:d:u:one\na:*:d:u:two\n*:*:*:other:three:rest\n\
             /run/x:5432:*:*:four\nlocalhost:*:*:unix:five\n[\\:\\:1]:*:*:*:six\n\\:\\:1:*:*:*:se\\:v\\\\en\n\
             a:1:*:open:"
                .to_owned(),
        );
        let tcp = |name: &str| Host::Tcp(name.to_owned());
        let unix = |folder: &str| Host::Unix(folder.into());
        for (host, port, database, user, password) in [
            (tcp("a"), 1, "d", "u", Some("one")),
            (tcp("a"), 2, "d", "u", Some("two")),
            (tcp("b"), 2, "d", "u", None),
            (tcp("b"), 2, "e", "other", Some("three")),
            (unix("/run/x"), 5432, "d", "u", Some("four")),
            (unix("/run/y"), 5432, "d", "u", None),
            (unix("/run/y"), 5432, "d", "unix", Some("five")),
            (tcp("::1"), 5432, "d", "u", Some("se:v\\en")),
            (tcp("a"), 1, "x", "open", Some("")),
        ] {
            assert_eq!(list.find(&host, port, database, user).as_deref(), password, "{host:?} {port} {user}");
        }
    }

    #[test]
    fn list_that_others_can_access_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        assert!(PasswordList::read(&path).unwrap().is_none());
        fs::write(&path, "*:*:*:*:secret").unwrap();
        for (mode, is_usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o610, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(PasswordList::read(&path).is_ok(), is_usable, "{mode:o}");
        }
    }
}
