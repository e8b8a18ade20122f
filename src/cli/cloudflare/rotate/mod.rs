//! `cloudflare setup --rotate-secret`: replaces the webhook secret without losing a notification.
//!
//! The daemon accepts the new secret before Cloudflare sends it, and the old one until nothing uses it any more. Every step
//! can be interrupted: the same command continues.

mod config_file;
mod names;
mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::account::{Api, EDIT, explained};
use super::webhook::{self, NamedSecret, ensure_accepted};
use crate::cli::client::{Access, Client};
use crate::cli::print;
use crate::clock;
use crate::cloudflare::setup::{Existing, Step, Wanted};
use crate::config::{Secret, Settings, Sources, duration_in_words};
use config_file::{ConfigFile, write_secret};
use names::Rotation;
use usage::Daemon;

/// A rotation, as planned.
pub(super) struct Rotate<'a> {
    api: &'a Api,
    wanted: &'a Wanted,
    settings: &'a Settings,
    secrets: BTreeMap<String, NamedSecret>,
    rotation: Rotation,
    /// Why the configuration cannot be changed, if so.
    config_file: Result<ConfigFile, anyhow::Error>,
    daemon: Daemon,
    silence: Duration,
}

impl<'a> Rotate<'a> {
    pub(super) fn new(
        api: &'a Api,
        wanted: &'a Wanted,
        (settings, sources): (&'a Settings, &Sources),
        (chosen, silence, access): (Option<&str>, Duration, &Access),
    ) -> anyhow::Result<Self> {
        let secrets: BTreeMap<_, _> =
            webhook::secrets(settings)?.into_iter().map(|secret| (secret.name.clone(), secret)).collect();
        let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
        if chosen.is_none() && !Rotation::is_unambiguous(&names) {
            bail!("several secrets are valid: choose the one to replace with --secret: {}", names.join(", "));
        }
        let rotation = Rotation::of(&names, chosen, &clock::now().to_string()[..10])?;
        let client = Client::new(access, settings)?;
        let daemon = Daemon { client, telemetry_path: settings.web.telemetry_path.clone() };
        let config_file = ConfigFile::open(sources, settings);
        Ok(Self { api, wanted, settings, secrets, rotation, config_file, daemon, silence })
    }

    /// The steps, for people.
    pub(super) fn plan(&self) -> anyhow::Result<String> {
        let mut steps = Vec::new();
        let (old, new) = match &self.rotation {
            Rotation::Begin { old, new } => {
                let file = self.new_file(old, new)?.display().to_string();
                let config_file =
                    self.config_file.as_ref().map_or_else(|_| "".into(), |file| file.path().display().to_string());
                steps.push(format!(
                    "generate a secret in {file}, and add it to {config_file} as webhook.secret_files.{new}"
                ));
                steps.push("reload the daemon, and test that it accepts the new secret".to_owned());
                (old.clone(), new)
            }
            Rotation::Continue { old, new } => (old.join(", "), new),
        };
        steps.push(format!(
            "change the secret of the webhook destination to {new}; Cloudflare then sends a test message"
        ));
        steps.push(format!("wait until {old} has not been used for {}", duration_in_words(self.silence)));
        steps.push(match &self.config_file {
            Ok(_) => format!("remove {old} from the configuration, reload the daemon, and delete its file"),
            Err(_) => format!("print how to remove {old}, because this command cannot change the configuration"),
        });
        let lines = steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}\n"));
        Ok(lines.collect())
    }

    /// Why this cannot be done by this command, with the steps that a person can do.
    pub(super) fn obstacle(&self) -> anyhow::Result<Option<String>> {
        let Rotation::Begin { old, new } = &self.rotation else { return Ok(None) };
        let writable = self.config_file.as_ref().map(drop).map_err(|reason| format!("{reason:#}"));
        let Err(reason) = writable.and_then(|()| self.can_write_beside(old).map_err(|reason| format!("{reason:#}")))
        else {
            return Ok(None);
        };
        let (old_file, new_file) = (self.file(old), self.new_file(old, new).unwrap_or_else(|_| PathBuf::from(new)));
        let reload = self.daemon.client.url_of("/-/reload");
        Ok(Some(format!(
            "This command cannot do all steps here: {reason}. Do these:\n  \
             1. generate a secret:\n       (umask 077; stream-live-exporter secret new > {new_file})\n  \
             2. configure both secrets:\n       [webhook.secret_files]\n       {old} = \"{old_file}\"\n       {new} = \
             \"{new_file}\"\n  \
             3. reload the daemon:\n       curl --fail --request POST {reload}\n  \
             4. run this command again: it does the rest\n",
            old_file = old_file.map_or_else(|| "its file".to_owned(), |file| file.display().to_string()),
            new_file = new_file.display(),
        )))
    }

    pub(super) fn execute(self, existing: &Existing) -> anyhow::Result<()> {
        let (old, new) = match &self.rotation {
            Rotation::Begin { old, new } => (vec![old.clone()], self.begin(old, new)?),
            Rotation::Continue { old, new } => {
                let new = self.secrets.get(new).cloned().context("the new secret is missing")?;
                ensure_accepted(&new, &self.wanted.url, self.settings)?;
                (old.clone(), new)
            }
        };
        self.change_destinations(existing, &new)?;
        if self.settings.cloudflare.accounts.len() > 1 {
            print(&self.last_steps(&old, "other accounts may still use it: rotate them with --account first"))?;
            return Ok(());
        }
        print(&format!(
            "Waiting until {} has not been used for {}. The same command continues if it is interrupted.\n",
            old.join(", "),
            duration_in_words(self.silence)
        ))?;
        self.daemon.wait_for_silence(&old, self.silence)?;
        self.retire(&old)
    }

    /// Writes the new secret, and makes the daemon accept it. Undoes everything if it does not.
    fn begin(&self, old: &str, new: &str) -> anyhow::Result<NamedSecret> {
        let config_file = self.config_file.as_ref().map_err(|reason| anyhow!("{reason:#}"))?;
        let old_file = self.file(old).with_context(|| format!("the secret {old} is not in a file"))?;
        let file = self.new_file(old, new)?;
        let secret = NamedSecret { name: new.to_owned(), secret: Secret::generate()?, file: Some(file.clone()) };
        write_secret(&old_file, &file, &secret.secret)?;
        let mut files = self.files();
        files.insert(new.to_owned(), file.clone());
        if let Err(error) = config_file.set(&files) {
            fs::remove_file(&file)?;
            return Err(error);
        }
        let reloaded = self.daemon.client.post("/-/reload", None);
        let accepted = reloaded.and_then(|_| ensure_accepted(&secret, &self.wanted.url, self.settings));
        if let Err(error) = accepted {
            config_file.restore()?;
            fs::remove_file(&file)?;
            // The daemon may be the reason.
            _ = self.daemon.client.post("/-/reload", None);
            return Err(error.context("the daemon does not accept a new secret; everything is as before"));
        }
        print(&format!("the daemon accepts the new secret {}\n", secret.title()))?;
        Ok(secret)
    }

    /// All destinations with our URL: while a secret is rotated by hand, there are two.
    fn change_destinations(&self, existing: &Existing, new: &NamedSecret) -> anyhow::Result<()> {
        let own = existing.destination(self.wanted).map(|destination| &destination.id);
        let ours = existing
            .destinations
            .iter()
            .filter(|destination| destination.url == self.wanted.url || Some(&destination.id) == own);
        for destination in ours {
            let before = self.daemon.used(&new.name)?;
            let step = Step::UpdateDestination { before: destination.clone(), url: self.wanted.url.clone() };
            let request = step.request(self.api.account.account_id, new.secret.expose(), None);
            self.api.send::<Option<serde::de::IgnoredAny>>(&request).map_err(|error| {
                explained(error, EDIT).context("both secrets stay valid; run this command again to continue")
            })?;
            self.daemon.wait_for_test(&new.name, &before)?;
            print(&format!(
                "the webhook destination \"{}\" uses the new secret; the daemon received Cloudflare's test message\n",
                destination.name
            ))?;
        }
        Ok(())
    }

    fn retire(&self, old: &[String]) -> anyhow::Result<()> {
        let config_file = match &self.config_file {
            Ok(config_file) => config_file,
            Err(reason) => {
                print(
                    &self.last_steps(old, &format!("the configuration cannot be changed by this command: {reason:#}")),
                )?;
                return Ok(());
            }
        };
        let mut files = self.files();
        if let Rotation::Begin { old, new } = &self.rotation {
            files.insert(new.clone(), self.new_file(old, new)?);
        }
        files.retain(|name, _| !old.contains(name));
        config_file.set(&files)?;
        self.daemon
            .client
            .post("/-/reload", None)
            .context("the old secret is removed, but the daemon did not reload")?;
        for name in old {
            if let Some(file) = self.file(name) {
                fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))?;
            }
            print(&format!("the old secret {name} is no longer valid, and its file is deleted\n"))?;
        }
        Ok(())
    }

    fn last_steps(&self, old: &[String], reason: &str) -> String {
        let mut text = format!("The old secret stays valid: {reason}. To finish:\n");
        for name in old {
            let file = self.file(name).map_or_else(String::new, |file| format!(", and delete {}", file.display()));
            text += &format!("  remove webhook.secret_files.{name} from the configuration{file}\n");
        }
        text + &format!("  curl --fail --request POST {}\n", self.daemon.client.url_of("/-/reload"))
    }

    /// The files of all valid secrets. That of the daemon's own one is used only if none is configured.
    fn files(&self) -> BTreeMap<String, PathBuf> {
        self.secrets.iter().filter_map(|(name, secret)| Some((name.clone(), secret.file.clone()?))).collect()
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.secrets.get(name)?.file.clone()
    }

    /// Whether a file beside that of the old secret can be written, with the same owner.
    fn can_write_beside(&self, old: &str) -> anyhow::Result<()> {
        let file = self.file(old).with_context(|| format!("the secret {old} is not in a file"))?;
        config_file::ensure_replaceable(&file)
    }

    /// Beside the old one.
    fn new_file(&self, old: &str, new: &str) -> anyhow::Result<PathBuf> {
        let old_file = self.file(old).with_context(|| format!("the secret {old} is not in a file"))?;
        let old_file = std::path::absolute(old_file)?;
        Ok(old_file.with_file_name(format!("webhook-secret-{new}")))
    }
}
