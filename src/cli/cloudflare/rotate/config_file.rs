//! Adds and removes secrets in the configuration file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::config::{Secret, SecretSource, Settings, Sources};

/// The variable that names the configuration file if no flag does.
const CONFIG_FILE_VARIABLE: &str = "STREAM_LIVE_EXPORTER__CONFIG__FILE";

/// A configuration file that has all secrets, or no secret.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    sources: Sources,
    /// Its content before the first change.
    original: String,
}

impl ConfigFile {
    /// # Errors
    ///
    /// Why the secrets cannot be changed there.
    pub(super) fn open(sources: &Sources, settings: &Settings) -> anyhow::Result<Self> {
        let variable = || sources.variable(CONFIG_FILE_VARIABLE).map(PathBuf::from);
        let Some(named) = sources.file.clone().or_else(variable) else { bail!("there is no configuration file") };
        ensure!(named.extension().is_some_and(|extension| extension == "toml"), "{} is not TOML", named.display());
        let is_elsewhere = |key: &str, origin: &str| {
            ["webhook.secret_files.", "webhook.secrets."].iter().any(|table| key.starts_with(table))
                && origin != named.display().to_string()
        };
        if let Some(other) = settings.effective.iter().find(|other| is_elsewhere(&other.key, &other.origin)) {
            bail!("{} is set by {}, not by {}", other.key, other.origin, named.display());
        }
        // The file itself, if the name is a link.
        let path = fs::canonicalize(&named).with_context(|| format!("{}", named.display()))?;
        let original = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        ensure_replaceable(&path)?;
        Ok(Self { path, sources: sources.clone(), original })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the table of secrets by these.
    pub(super) fn set(&self, secrets: &BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
        let text = fs::read_to_string(&self.path).with_context(|| format!("{}", self.path.display()))?;
        let edited = edit(&text, secrets).with_context(|| format!("{}", self.path.display()))?;
        self.replace(&edited, secrets)
    }

    /// Undoes all changes.
    pub(super) fn restore(&self) -> anyhow::Result<()> {
        self.write(&self.original).map(drop)
    }

    /// Replaces the file if the new one means what it should.
    fn replace(&self, text: &str, secrets: &BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
        let incomplete = self.incomplete();
        self.write_incomplete(text)?;
        let loaded = Settings::load(&Sources { file: Some(incomplete.clone()), ..self.sources.clone() });
        let source = |(name, path): (&String, &PathBuf)| (name.clone(), SecretSource::File(path.clone()));
        let expected: BTreeMap<_, _> = secrets.iter().map(source).collect();
        let is_as_meant = loaded.is_ok_and(|settings| settings.webhook.secrets == expected);
        if !is_as_meant {
            _ = fs::remove_file(&incomplete);
            bail!("{}: the secrets in it cannot be changed by a program", self.path.display());
        }
        fs::rename(&incomplete, &self.path).with_context(|| format!("cannot replace {}", self.path.display()))
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        self.write_incomplete(text)?;
        fs::rename(self.incomplete(), &self.path).with_context(|| format!("cannot replace {}", self.path.display()))
    }

    /// Its name has the extension that tells the syntax.
    fn incomplete(&self) -> PathBuf {
        self.path.with_extension("unfinished.toml")
    }

    fn write_incomplete(&self, text: &str) -> anyhow::Result<()> {
        let incomplete = self.incomplete();
        write_like(&self.path, &incomplete, text).with_context(|| {
            // A part of it may be written.
            _ = fs::remove_file(&incomplete);
            format!("cannot write {}", incomplete.display())
        })
    }
}

/// Whether another file can be written in the same folder, with the same owner.
pub(super) fn ensure_replaceable(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    for place in [folder, path] {
        rustix::fs::access(place, rustix::fs::Access::WRITE_OK)
            .with_context(|| format!("{} cannot be changed", place.display()))?;
    }
    let (user, owner) = (rustix::process::geteuid(), fs::metadata(path)?.uid());
    ensure!(user.is_root() || user.as_raw() == owner, "{} belongs to another user", path.display());
    Ok(())
}

/// Writes a new secret beside the file of the old one, with its owner.
pub(super) fn write_secret(old: &Path, new: &Path, secret: &Secret) -> anyhow::Result<()> {
    ensure!(!new.exists(), "{} exists already", new.display());
    write_like(old, new, &format!("{}\n", secret.expose())).with_context(|| format!("cannot write {}", new.display()))
}

/// Writes a file with owner, group and permissions of another one.
fn write_like(model: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let metadata = fs::metadata(model)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if (metadata.uid(), metadata.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
        chown(path, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(metadata.permissions().mode() & 0o777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The text with these entries in `webhook.secret_files`. Entries that stay are kept as they are written.
fn edit(text: &str, secrets: &BTreeMap<String, PathBuf>) -> anyhow::Result<String> {
    const FORM: &str = "webhook.secret_files is not a table";
    let mut document: DocumentMut = text.parse().context("not TOML")?;
    let webhook = document.entry("webhook").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let webhook = webhook.as_table_like_mut().context(FORM)?;
    let files = webhook.entry("secret_files").or_insert_with(|| Item::Table(Table::new()));
    let files: &mut dyn TableLike = files.as_table_like_mut().context(FORM)?;
    let old: Vec<String> = files.iter().map(|(name, _)| name.to_owned()).collect();
    for name in old.iter().filter(|name| !secrets.contains_key(*name)) {
        files.remove(name);
    }
    for (name, path) in secrets.iter().filter(|(name, _)| !old.contains(name)) {
        files.insert(name, value(path.to_str().context("a path is not UTF-8")?));
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_added_and_removed_and_everything_else_is_kept() {
        let set =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), PathBuf::from(format!("/{name}")))).collect();
        for (text, names, expected) in [
            ("", &["a"][..], "[webhook.secret_files]\na = \"/a\"\n"),
            ("[web]\nx = 1 # why\n", &["a"], "[web]\nx = 1 # why\n\n[webhook.secret_files]\na = \"/a\"\n"),
            (
                "# top\n[webhook.secret_files]\n# mine\na   = \"a\" # here\n[log]\nlevel = \"info\"\n",
                &["a", "b"],
                "# top\n[webhook.secret_files]\n# mine\na   = \"a\" # here\nb = \"/b\"\n[log]\nlevel = \"info\"\n",
            ),
            (
                "[webhook]\npath = \"/x\"\n[webhook.secret_files]\na = \"a\"\nb = \"b\"\n",
                &["b"],
                "[webhook]\npath = \"/x\"\n[webhook.secret_files]\nb = \"b\"\n",
            ),
            (
                "webhook.secret_files.a = \"a\"\n",
                &["a", "b"],
                "webhook.secret_files.a = \"a\"\nwebhook.secret_files.b = \"/b\"\n",
            ),
            ("webhook = { secret_files = { a = \"a\" } }\n", &["b"], "webhook = { secret_files = { b = \"/b\" } }\n"),
        ] {
            assert_eq!(edit(text, &set(names)).unwrap(), expected, "{text}");
        }
        assert!(edit("webhook = 1", &set(&["a"])).is_err());
        assert!(edit("[webhook", &set(&["a"])).is_err());
    }
}
