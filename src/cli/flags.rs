//! Command-line flags, named as in other exporters: `--webhook.listen-address` sets the key
//! `webhook.listen_address`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::{Flag, Settings, Sources};

/// Flag, key, name of the value, help.
const FLAGS: [(&str, &str, &str, &str); 14] = [
    ("webhook.listen-address", "webhook.listen_address", "ADDRESS", "Address for Cloudflare's notifications"),
    ("webhook.path", "webhook.path", "PATH", "Path of the webhook's URL"),
    ("webhook.max-body-size", "webhook.max_body_size", "SIZE", "Largest accepted body"),
    ("web.listen-address", "web.listen_address", "ADDRESS", "Address for metrics, status and API"),
    ("web.telemetry-path", "web.telemetry_path", "PATH", "Path of the metrics"),
    ("web.config.file", "web.config_file", "PATH", "Web configuration file: TLS, client certificates, users"),
    ("storage.path", "storage.path", "PATH", "Data folder"),
    ("storage.retention", "storage.retention", "DURATION", "How long events are kept"),
    ("inputs.max", "inputs.max", "COUNT", "Maximum number of inputs"),
    ("inputs.reconnect-window", "inputs.reconnect_window", "DURATION", "Longest gap that is counted as a reconnect"),
    ("inputs.reorder-window", "inputs.reorder_window", "DURATION", "Time within which events may arrive in any order"),
    ("inputs.forget-after", "inputs.forget_after", "DURATION", "Forget disconnected inputs without events; 0s: never"),
    ("log.level", "log.level", "LEVEL", "error, warn, info, debug or trace"),
    ("log.format", "log.format", "FORMAT", "auto, logfmt or json"),
];

const CONFIG_FILE: &str = "config.file";
const SECRET_FILE: &str = "webhook.secret-file";
const HEADING: &str = "Configuration (each flag is also a key of the file and an environment variable)";

/// The layers of the configuration, with the given flags as the last one. Values are validated with the
/// rest of the configuration, so that all problems are reported at once.
#[derive(Debug)]
pub(super) struct Flags(pub(super) Sources);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let defaults = Settings::load(&Sources::default()).expect("the defaults are valid").effective;
        let default = |key: &str| {
            let default = defaults.iter().find(|effective| effective.key == key).map(|found| found.value.as_str());
            default.filter(|value| !value.is_empty()).unwrap_or("none")
        };
        let flags = FLAGS.iter().map(|(flag, key, value, help)| {
            Arg::new(*flag).long(*flag).value_name(*value).help(format!("{help} [default: {}]", default(key)))
        });
        let config_file = Arg::new(CONFIG_FILE).value_name("PATH").value_parser(value_parser!(PathBuf));
        let secret_file = Arg::new(SECRET_FILE).value_name("NAME=PATH").value_parser(named_file);
        command
            .next_help_heading(HEADING)
            .arg(config_file.long(CONFIG_FILE).global(true).help("Configuration file, TOML or YAML"))
            .args(flags.map(|flag| flag.global(true)))
            .arg(
                secret_file.long(SECRET_FILE).global(true).action(ArgAction::Append).help(
                    "Name and file of a valid secret; repeatable [default: a generated secret in the data folder]",
                ),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let scalars = FLAGS.iter().filter_map(|(flag, key, ..)| {
            let value = matches.get_one::<String>(flag)?.clone();
            Some(Flag { name: format!("--{flag}"), key: (*key).to_owned(), value })
        });
        let secrets = matches.get_many::<(String, String)>(SECRET_FILE).into_iter().flatten();
        let secrets = secrets.map(|(name, path)| Flag {
            name: format!("--{SECRET_FILE} {name}"),
            key: format!("webhook.secret_files.{name}"),
            value: path.clone(),
        });
        let file = matches.get_one(CONFIG_FILE).cloned();
        Ok(Self(Sources::of_this_process(file, scalars.chain(secrets).collect())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn named_file(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.to_owned())),
        _ => Err("expected NAME=PATH"),
    }
}
