//! The API token of an account, which may change while the daemon runs.

use std::path::Path;

use crate::cloudflare::Client;
use crate::config::Secret;

/// The newest token that could be read, and the client that sends it.
#[derive(Default)]
pub(super) struct Token {
    used: Option<Used>,
    /// Whether it was logged that the file cannot be used.
    is_failing: bool,
}

struct Used {
    base_url: String,
    secret: Secret,
    client: Client,
}

impl Token {
    /// Reads the file again. The contents are compared, because two changes may have the same modification time. If the
    /// file cannot be used, the previous token stays. Returns whether another token replaced it.
    pub(super) fn refresh(&mut self, base_url: &str, file: &Path) -> bool {
        // The start and each reload log what is dangerous about the file.
        let secret = Secret::read(file, &mut Vec::new()).map_err(|problem| problem.to_string());
        let is_used = |secret: &Secret| {
            self.used.as_ref().is_some_and(|used| used.base_url == base_url && used.secret == *secret)
        };
        let read = match secret {
            Ok(secret) if is_used(&secret) => Ok(None),
            Ok(secret) => Client::new(base_url, secret.expose())
                .map(|client| Some(Used { base_url: base_url.to_owned(), secret, client }))
                .map_err(|invalid| invalid.to_string()),
            Err(problem) => Err(problem),
        };
        match &read {
            Err(problem) if !self.is_failing => {
                tracing::warn!(%problem, "the API token cannot be used; the previous one stays in use, if there is one");
            }
            Ok(_) if self.is_failing => tracing::info!(file = %file.display(), "the API token can be used again"),
            Ok(_) | Err(_) => {}
        }
        self.is_failing = read.is_err();
        let Ok(Some(new)) = read else { return false };
        self.used.replace(new).is_some()
    }

    /// The client; `None` if no token could be read yet.
    pub(super) fn client(&self) -> Option<&Client> {
        self.used.as_ref().map(|used| &used.client)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const URL: &str = "http://127.0.0.1:9";

    #[test]
    fn other_token_replaces_the_one_in_use_and_an_unreadable_file_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let mut token = Token::default();
        let mut refresh = |content: Option<&str>| {
            match content {
                Some(content) => fs::write(&file, content).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            (token.refresh(URL, &file), token.used.as_ref().map(|used| used.secret.expose().to_owned()))
        };
        let one = Some("one".to_owned());
        assert_eq!(refresh(Some("")), (false, None));
        assert_eq!(refresh(Some("one\n")), (false, one.clone()));
        assert_eq!(refresh(Some("one")), (false, one.clone()));
        assert_eq!(refresh(Some("")), (false, one.clone()));
        assert_eq!(refresh(None), (false, one));
        assert_eq!(refresh(Some("two")), (true, Some("two".to_owned())));
        assert!(token.refresh("http://127.0.0.1:10", &file));
    }
}
