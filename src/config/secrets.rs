//! The webhook's secrets: where they are, and what they are.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, str};

use super::reader::{Problem, Reader};
use super::{InvalidConfig, environment_name};

/// The name of the secret that the daemon makes for itself.
const OWN_SECRET_NAME: &str = "default";
/// Its file in the data folder.
const OWN_SECRET_FILE: &str = "webhook-secret";
/// What it is called until it is whole: as nobody would call a secret.
const UNFINISHED_SECRET_FILE: &str = ".webhook-secret.unfinished";

/// A secret, which no formatting shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretOrigin {
    /// The configured name, a label value.
    pub name: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Environment(Secret),
}

/// All secrets with their names, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The secrets by name.
    pub named: Vec<(String, Secret)>,
    /// The file of the daemon's own secret, when no other is configured.
    pub own_file: Option<PathBuf>,
}

impl Secrets {
    /// Reads the configured secrets; with none configured, the daemon's own in the data folder, made
    /// when it is not there yet: 256 bits, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// Every file that cannot be read or holds no secret.
    pub fn load(configured: &[SecretOrigin], data_folder: &Path) -> Result<Self, InvalidConfig> {
        if configured.is_empty() {
            let file = data_folder.join(OWN_SECRET_FILE);
            let secret = own_secret(&file).map_err(|problem| InvalidConfig(vec![problem]))?;
            return Ok(Self { named: vec![(OWN_SECRET_NAME.to_owned(), secret)], own_file: Some(file) });
        }
        let (mut named, mut problems) = (Vec::new(), Vec::new());
        for origin in configured {
            match origin.read() {
                Ok(secret) => named.push((origin.name.clone(), secret)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { named, own_file: None }) } else { Err(InvalidConfig(problems)) }
    }
}

impl SecretOrigin {
    fn read(&self) -> Result<Secret, Problem> {
        match &self.place {
            Place::File(path) => read(path),
            Place::Environment(secret) => Ok(secret.clone()),
        }
    }
}

/// Takes the places of all secrets out of the configuration.
pub(super) fn origins(reader: &mut Reader) -> Vec<SecretOrigin> {
    let mut origins: Vec<SecretOrigin> = Vec::new();
    for (name, path, origin) in reader.table("webhook.secret_files") {
        let key = format!("webhook.secret_files.{name}");
        match checked_name(&name) {
            Ok(()) => origins.push(SecretOrigin { name, place: Place::File(PathBuf::from(&path)) }),
            Err(message) => reader.report(Problem::new(&origin, Some(&key), message)),
        }
        reader.show(&key, &origin, &path);
    }
    for (name, text, origin) in reader.table("webhook.secrets") {
        let key = format!("webhook.secrets.{name}");
        let problem = if origin != environment_name(&key) {
            Err("a secret by value may come from the environment only".to_owned())
        } else if origins.iter().any(|known| known.name == name) {
            Err(format!("webhook.secret_files has a secret named {name} too"))
        } else if text.is_empty() {
            Err("must not be empty".to_owned())
        } else {
            checked_name(&name)
        };
        match problem {
            Ok(()) => origins.push(SecretOrigin { name, place: Place::Environment(Secret(text)) }),
            Err(message) => reader.report(Problem::new(&origin, Some(&key), message)),
        }
        reader.show(&key, &origin, "<secret>");
    }
    origins
}

fn checked_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        Ok(())
    } else {
        Err("not a secret's name: expected up to 64 lower-case letters, digits, - and _".to_owned())
    }
}

fn read(path: &Path) -> Result<Secret, Problem> {
    let problem = |message: String| Problem::new(path.display().to_string(), None, message);
    let bytes = fs::read(path).map_err(|error| problem(format!("the secret cannot be read: {error}")))?;
    let text = str::from_utf8(&bytes).map_err(|_| problem("the secret is not UTF-8".to_owned()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(problem("holds no secret".to_owned())),
        secret if secret.bytes().any(|byte| byte < b' ' || byte == 0x7f) => {
            Err(problem("the secret has control characters: expected one line".to_owned()))
        }
        secret => Ok(Secret(secret.to_owned())),
    }
}

fn own_secret(file: &Path) -> Result<Secret, Problem> {
    let problem = |error| Problem::new(file.display().to_string(), None, format!("the secret cannot be made: {error}"));
    // What cannot be looked at is not taken for missing.
    if !file.try_exists().map_err(problem)? {
        make(file).map_err(problem)?;
    }
    read(file)
}

/// Makes a secret, whole or not at all.
fn make(file: &Path) -> io::Result<()> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let unfinished = file.with_file_name(UNFINISHED_SECRET_FILE);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // A start that was cut off may have left it.
        Ok(()) | Err(_) => {}
    }
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(output, "{secret}")?;
    output.sync_all()?;
    fs::rename(&unfinished, file)
}
