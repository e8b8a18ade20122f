//! The webhook's secrets: where they are configured, and the one that the daemon generates.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::InvalidConfig;
use super::problem::Problem;
use super::secret::Secret;
use super::secret_source::SecretSource;

/// The name of the daemon's own secret, and its file in the data folder.
const OWN_NAME: &str = "default";
const OWN_FILE: &str = "webhook-secret";
/// The file's name until it is complete. It must not be a name that a user may choose for a secret.
const INCOMPLETE_FILE: &str = ".webhook-secret.unfinished";

/// All valid secrets, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecrets {
    /// The secrets by name.
    pub named: BTreeMap<String, Secret>,
    /// The file of the daemon's own secret, if none is configured.
    pub own_file: Option<PathBuf>,
    /// Whether the own secret was generated just now.
    pub generated: bool,
    /// What is dangerous about secrets that work.
    pub warnings: Vec<Problem>,
}

/// What to do if no secret is configured and the daemon's own one is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingSecret {
    /// Generate it, for a new journal: 256 bits, readable only by its owner.
    Generate,
    /// Fail: Cloudflare would still send the previous one.
    Refuse,
    /// Continue without a secret, to check a configuration before the first start.
    Ignore,
}

impl WebhookSecrets {
    /// Reads the configured secrets. If there are none, reads the daemon's own one from its folder. Replicas that share a
    /// journal have no such folder, because they need the same secret.
    ///
    /// # Errors
    ///
    /// Every file that cannot be read or does not contain a secret.
    pub fn load(
        configured: &BTreeMap<String, SecretSource>,
        own_folder: Option<&Path>,
        missing: MissingSecret,
    ) -> Result<Self, InvalidConfig> {
        let mut secrets = Self { named: BTreeMap::new(), own_file: None, generated: false, warnings: Vec::new() };
        let mut problems = Vec::new();
        for (name, source) in configured {
            let secret = match source {
                SecretSource::File(path) => Secret::read(path, &mut secrets.warnings),
                SecretSource::Environment(secret) => Ok(secret.clone()),
            };
            match secret {
                Ok(secret) => _ = secrets.named.insert(name.clone(), secret),
                Err(problem) => problems.push(problem),
            }
        }
        match (configured.is_empty(), own_folder, missing) {
            (true, Some(folder), _) => problems.extend(secrets.read_own(Self::own_file_in(folder), missing).err()),
            (true, None, MissingSecret::Generate | MissingSecret::Refuse) => problems.push(unshared()),
            (true, None, MissingSecret::Ignore) | (false, ..) => {}
        }
        secrets.warn_of_equal_ones();
        if problems.is_empty() { Ok(secrets) } else { Err(InvalidConfig(problems)) }
    }

    /// The file of the daemon's own secret.
    pub fn own_file_in(data_folder: &Path) -> PathBuf {
        data_folder.join(OWN_FILE)
    }

    fn read_own(&mut self, file: PathBuf, missing: MissingSecret) -> Result<(), Problem> {
        let problem = |message: String| Problem::new(file.display().to_string(), None, message);
        // Not following a link: it must not be replaced, even if its target is missing.
        let missing_kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        let is_missing = fs::symlink_metadata(&file).is_err_and(|error| missing_kinds.contains(&error.kind()));
        match missing {
            MissingSecret::Generate if is_missing => {
                generate(&file).map_err(|error| {
                    problem(format!(
                        "the secret cannot be generated: {error} (free some space and make the folder writable, or \
                         configure a secret)"
                    ))
                })?;
                self.generated = true;
            }
            MissingSecret::Refuse if is_missing => {
                return Err(problem(format!(
                    "the webhook secret is missing. It is generated only together with a new journal, because \
                     Cloudflare still sends the previous one. Restore the file; or create a new secret with \
                     (umask 077; stream-live-exporter secret new > {}) and configure it at Cloudflare too",
                    file.display()
                )));
            }
            MissingSecret::Ignore if is_missing => return Ok(()),
            MissingSecret::Generate | MissingSecret::Refuse | MissingSecret::Ignore => {}
        }
        let secret = Secret::read(&file, &mut self.warnings)?;
        self.named.insert(OWN_NAME.to_owned(), secret);
        self.own_file = Some(file);
        Ok(())
    }

    /// Requests with such a secret count for only one of its names.
    fn warn_of_equal_ones(&mut self) {
        let mut names: Vec<_> = self.named.iter().map(|(name, secret)| (secret.expose(), name)).collect();
        names.sort_unstable();
        for pair in names.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let message = format!("is the same secret as webhook.secret_files.{}", pair[0].1);
            let key = format!("webhook.secret_files.{}", pair[1].1);
            self.warnings.push(Problem::new("configuration", Some(&key), message));
        }
    }
}

/// The problem of a replica without a configured secret.
fn unshared() -> Problem {
    let message = "is missing. With storage.url, all replicas need the same webhook secret. Create one with (umask 077; \
                   stream-live-exporter secret new > FILE), copy it to every replica, and name it in \
                   webhook.secret_files.default of each";
    Problem::new("configuration", Some("webhook.secret_files"), message.to_owned())
}

/// Writes a secret under another name and renames the file, so that it is never incomplete.
fn generate(file: &Path) -> io::Result<()> {
    let secret = Secret::generate()?;
    let incomplete = file.with_file_name(INCOMPLETE_FILE);
    match fs::remove_file(&incomplete) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // An interrupted start may have left it.
        Ok(()) | Err(_) => {}
    }
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&incomplete)?;
    writeln!(output, "{}", secret.expose())?;
    output.sync_all()?;
    fs::rename(&incomplete, file)?;
    // Without a synced directory entry, a power failure could lose the file and keep the journal.
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
