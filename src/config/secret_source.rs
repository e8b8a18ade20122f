//! Where the webhook's secrets are configured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::layers::environment_name;
use super::reader::Reader;
use super::secret::Secret;
use super::values;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that contains it.
    File(PathBuf),
    /// An environment variable, whose value this is.
    Environment(Secret),
}

pub(super) fn read(reader: &mut Reader) -> BTreeMap<String, SecretSource> {
    let mut sources = BTreeMap::new();
    for (name, path, origin) in reader.table("webhook.secret_files") {
        let key = format!("webhook.secret_files.{name}");
        let checked = values::name(&name).and_then(|name| Ok((name, values::path(&path)?)));
        if let Some((name, path)) = reader.check(&origin, &key, checked) {
            sources.insert(name, SecretSource::File(path));
        }
        reader.show_path(key, &origin, &path);
    }
    for (name, text, origin) in reader.table("webhook.secrets") {
        let key = format!("webhook.secrets.{name}");
        let checked = if origin != environment_name(&key) {
            Err("secrets by value are accepted only from the environment".to_owned())
        } else if sources.contains_key(&name) {
            Err(format!("webhook.secret_files.{name} exists too"))
        } else {
            let secret = Secret::new(text.as_bytes()).map_err(|invalid| invalid.to_string());
            secret.and_then(|secret| Ok((values::name(&name)?, secret)))
        };
        if let Some((name, secret)) = reader.check(&origin, &key, checked) {
            if let Some(weakness) = secret.weakness() {
                reader.warn(&origin, &key, weakness);
            }
            sources.insert(name, SecretSource::Environment(secret));
        }
        reader.show(key, &origin, "<secret>");
    }
    sources
}
