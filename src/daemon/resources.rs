//! The files that the configuration names: secrets, API tokens, certificates and the web configuration.
//!
//! `serve` and `check-config` load them with the same code, so that they report the same problems.

use std::sync::Arc;

use crate::config::{InvalidConfig, MissingSecret, Problem, Settings, WebhookSecrets};
use crate::http::{Certificate, InvalidFile, WebConfig};

const CERTIFICATE: &str = "webhook.tls_cert_file, webhook.tls_key_file";
const WEB_CONFIG: &str = "web.config_file";

/// The files of the listeners and of Cloudflare accounts.
#[derive(Clone)]
pub(super) struct Files {
    /// Of the public listener, if it uses TLS.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) web_config: Option<Arc<WebConfig>>,
    /// What is dangerous about files of tokens and passwords that work. Each connection reads its file itself.
    pub(super) token_warnings: Vec<Problem>,
}

pub(super) struct Resources {
    pub(super) secrets: WebhookSecrets,
    pub(super) files: Files,
}

impl Files {
    /// Loads all of them.
    ///
    /// # Errors
    ///
    /// Every file that cannot be used.
    pub(super) fn load(settings: &Settings) -> Result<Self, InvalidConfig> {
        let mut problems = Vec::new();
        let mut of_file = |key: &str, invalid: InvalidFile| problems.push(Problem::new(key, None, invalid.to_string()));
        let certificate = settings.webhook.tls.as_ref().map(|(certificate, key)| Certificate::load(certificate, key));
        let certificate = certificate.transpose().map_err(|invalid| of_file(CERTIFICATE, invalid)).ok();
        let web_config = settings.web.config_file.clone().map(WebConfig::load).transpose();
        let web_config = web_config.map_err(|invalid| of_file(WEB_CONFIG, invalid)).ok();
        let token_warnings = settings.cloudflare.check_tokens();
        let token_warnings = token_warnings.map_err(|InvalidConfig(found)| problems.extend(found)).ok();
        match (certificate, web_config, token_warnings) {
            (Some(certificate), Some(web_config), Some(mut token_warnings)) => {
                token_warnings.extend(settings.storage.password_warnings());
                let (certificate, web_config) = (certificate.map(Arc::new), web_config.map(Arc::new));
                Ok(Self { certificate, web_config, token_warnings })
            }
            _ => Err(InvalidConfig(problems)),
        }
    }
}

impl Resources {
    /// Loads all of them.
    ///
    /// # Errors
    ///
    /// Every file that cannot be used.
    pub(super) fn load(settings: &Settings, missing_secret: MissingSecret) -> Result<Self, InvalidConfig> {
        let secrets =
            WebhookSecrets::load(&settings.webhook.secrets, settings.storage.own_secret_folder(), missing_secret);
        match (secrets, Files::load(settings)) {
            (Ok(secrets), Ok(files)) => Ok(Self { secrets, files }),
            (secrets, files) => {
                let problems = [secrets.err(), files.err()].into_iter().flatten();
                Err(InvalidConfig(problems.flat_map(|InvalidConfig(problems)| problems).collect()))
            }
        }
    }

    /// What is dangerous about files that work.
    pub(super) fn warnings(&self) -> Vec<Problem> {
        let certificate = self.files.certificate.iter().flat_map(|certificate| certificate.warnings());
        let web_config = self.files.web_config.iter().flat_map(|web_config| web_config.warnings());
        let certificate = certificate.map(|message| Problem::new(CERTIFICATE, None, message));
        let web_config = web_config.map(|message| Problem::new(WEB_CONFIG, None, message));
        self.secrets
            .warnings
            .iter()
            .chain(&self.files.token_warnings)
            .cloned()
            .chain(certificate)
            .chain(web_config)
            .collect()
    }
}
