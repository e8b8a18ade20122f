//! The webhook's secrets: where they are configured, and their values.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, str};

use super::reader::{Problem, Reader};
use super::values::Parsed;
use super::{InvalidConfig, environment_name};

/// The name of the generated secret, and its file in the data folder.
const GENERATED_NAME: &str = "default";
const GENERATED_FILE: &str = "webhook-secret";
/// The file's name until it is complete. It must not be a name that a user may choose for a secret.
const INCOMPLETE_FILE: &str = ".webhook-secret.unfinished";

/// A secret. Formatting masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that contains it.
    File(PathBuf),
    /// An environment variable, whose value this is.
    Environment(Secret),
}

/// All valid secrets, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecrets {
    /// The secrets by name.
    pub named: BTreeMap<String, Secret>,
    /// The file of the generated secret, if none is configured.
    pub own_file: Option<PathBuf>,
}

impl WebhookSecrets {
    /// Reads the configured secrets. If there are none, reads the generated one from the data folder,
    /// and generates it first if necessary: 256 bits, readable only by its owner.
    ///
    /// # Errors
    ///
    /// Every file that cannot be read or does not contain a secret.
    pub fn load(configured: &BTreeMap<String, SecretSource>, data_folder: &Path) -> Result<Self, InvalidConfig> {
        if configured.is_empty() {
            let file = data_folder.join(GENERATED_FILE);
            let secret = read_or_generate(&file).map_err(|problem| InvalidConfig(vec![problem]))?;
            return Ok(Self { named: [(GENERATED_NAME.to_owned(), secret)].into(), own_file: Some(file) });
        }
        let (mut named, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, source) in configured {
            let secret = match source {
                SecretSource::File(path) => read_file(path),
                SecretSource::Environment(secret) => Ok(secret.clone()),
            };
            match secret {
                Ok(secret) => _ = named.insert(name.clone(), secret),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { named, own_file: None }) } else { Err(InvalidConfig(problems)) }
    }
}

pub(super) fn read(reader: &mut Reader) -> BTreeMap<String, SecretSource> {
    let mut sources = BTreeMap::new();
    for (name, path, origin) in reader.table("webhook.secret_files") {
        let key = format!("webhook.secret_files.{name}");
        if let Some(name) = reader.check(&origin, &key, secret_name(name)) {
            sources.insert(name, SecretSource::File(PathBuf::from(&path)));
        }
        reader.show(key, &origin, &path);
    }
    for (name, text, origin) in reader.table("webhook.secrets") {
        let key = format!("webhook.secrets.{name}");
        let checked = if origin != environment_name(&key) {
            Err("secrets by value are accepted only from the environment".to_owned())
        } else if sources.contains_key(&name) {
            Err(format!("webhook.secret_files.{name} exists too"))
        } else if text.is_empty() {
            Err("must not be empty".to_owned())
        } else {
            secret_name(name)
        };
        if let Some(name) = reader.check(&origin, &key, checked) {
            sources.insert(name, SecretSource::Environment(Secret(text)));
        }
        reader.show(key, &origin, "<secret>");
    }
    sources
}

fn secret_name(name: String) -> Parsed<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        Ok(name)
    } else {
        Err("not a name for a secret (expected up to 64 lower-case letters, digits, - and _)".to_owned())
    }
}

fn read_file(path: &Path) -> Result<Secret, Problem> {
    let problem = |message: String| Problem::new(path.display().to_string(), None, message);
    let bytes = fs::read(path).map_err(|error| problem(format!("the secret cannot be read: {error}")))?;
    let text = str::from_utf8(&bytes).map_err(|_| problem("the secret is not UTF-8".to_owned()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(problem("the secret is empty".to_owned())),
        secret if secret.bytes().any(|byte| byte < b' ' || byte == 0x7f) => {
            Err(problem("the secret contains control characters (expected one line)".to_owned()))
        }
        secret => Ok(Secret(secret.to_owned())),
    }
}

fn read_or_generate(file: &Path) -> Result<Secret, Problem> {
    let problem =
        |error| Problem::new(file.display().to_string(), None, format!("the secret cannot be generated: {error}"));
    if !file.try_exists().map_err(problem)? {
        generate(file).map_err(problem)?;
    }
    read_file(file)
}

/// Writes a secret under another name and renames the file, so that it is never incomplete.
fn generate(file: &Path) -> io::Result<()> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let incomplete = file.with_file_name(INCOMPLETE_FILE);
    match fs::remove_file(&incomplete) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // An interrupted start may have left it.
        Ok(()) | Err(_) => {}
    }
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&incomplete)?;
    writeln!(output, "{secret}")?;
    output.sync_all()?;
    fs::rename(&incomplete, file)
}
