//! Command-line flags, named as in other exporters: `--web.config.file` sets the key `web.config_file`.
//!
//! `serve` and `check-config` have all flags. Other commands have those that change what they do. Flags may also precede
//! the command.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::{Flag, Settings, Sources};

/// A flag that sets a key.
struct Row {
    flag: &'static str,
    key: &'static str,
    /// The name of the value in the help.
    value: &'static str,
    help: &'static str,
    /// The commands besides [`ALL_FLAGS`] on which it acts.
    commands: &'static [&'static str],
}

const fn row(
    flag: &'static str,
    key: &'static str,
    value: &'static str,
    help: &'static str,
    commands: &'static [&'static str],
) -> Row {
    Row { flag, key, value, help, commands }
}

/// The commands that have all flags, the default one first.
const ALL_FLAGS: [&str; 2] = ["serve", "check-config"];
/// The other commands that read the configuration file.
const READ_CONFIG: [&str; 5] = ["cloudflare", "healthcheck", "inputs", "journal", SHOW_SECRET];
const SHOW_SECRET: &str = "secret show";
/// The other commands that use the journal or its folder.
const JOURNAL: &[&str] = &["cloudflare", "inputs", "journal", SHOW_SECRET];

const ROWS: [Row; 25] = [
    row(
        "webhook.listen-address",
        "webhook.listen_address",
        ADDRESS,
        "Address for Cloudflare's notifications; repeatable",
        &["cloudflare", "healthcheck"],
    ),
    row(
        "webhook.systemd-socket",
        "webhook.systemd_socket",
        SWITCH,
        "Use the sockets of systemd that are named webhook, instead of the address",
        &[],
    ),
    row("webhook.path", "webhook.path", "PATH", "Path of the webhook's URL", &["cloudflare"]),
    row("webhook.max-body-size", "webhook.max_body_size", "SIZE", "Largest accepted body", &[]),
    row(
        "web.listen-address",
        "web.listen_address",
        ADDRESS,
        "Address for metrics, status and API; repeatable",
        &["cloudflare", "healthcheck", "inputs"],
    ),
    row(
        "web.systemd-socket",
        "web.systemd_socket",
        SWITCH,
        "Use the sockets of systemd that are named web, instead of the address",
        &[],
    ),
    row("web.telemetry-path", "web.telemetry_path", "PATH", "Path of the metrics", &[]),
    row(
        "web.config.file",
        "web.config_file",
        "PATH",
        "Web configuration file: TLS, client certificates, users",
        &["cloudflare", "healthcheck", "inputs"],
    ),
    row(
        "web.enable-admin-api",
        "web.enable_admin_api",
        SWITCH,
        "Allow clients to correct inputs without authentication",
        &[],
    ),
    row("storage.path", "storage.path", "PATH", "Data folder", JOURNAL),
    row("storage.url", "storage.url", "URL", "PostgreSQL that has a shared journal", JOURNAL),
    row("storage.password-file", "storage.password_file", "PATH", "File that contains its password", JOURNAL),
    row("storage.schema", "storage.schema", "NAME", "Schema of PostgreSQL that has the tables", JOURNAL),
    row("storage.spool-max", "storage.spool_max", "COUNT", "Most events that wait while PostgreSQL is away", &[]),
    row("storage.retention", "storage.retention", "DURATION", "How long events are kept", &[]),
    row("inputs.max", "inputs.max", "COUNT", "Maximum number of inputs", &[]),
    row(
        "inputs.reconnect-window",
        "inputs.reconnect_window",
        "DURATION",
        "Longest gap that is counted as a reconnect",
        &[],
    ),
    row(
        "inputs.reorder-window",
        "inputs.reorder_window",
        "DURATION",
        "Time within which events may arrive in any order",
        &[],
    ),
    row(
        "inputs.forget-after",
        "inputs.forget_after",
        "DURATION",
        "Forget disconnected inputs without events; 0s: never",
        &[],
    ),
    row("cloudflare.account-id", "cloudflare.account_id", "ID", "Account whose API is used", &["cloudflare"]),
    row("cloudflare.token-file", "cloudflare.token_file", "PATH", "File that contains the API token", &["cloudflare"]),
    row("cloudflare.webhook-url", "cloudflare.webhook_url", "URL", "Public URL of the webhook", &["cloudflare"]),
    row("cloudflare.base-url", "cloudflare.base_url", "URL", "Base URL of Cloudflare's API", &["cloudflare"]),
    row("log.level", "log.level", "LEVEL", "error, warn, info, debug or trace", &[]),
    row("log.format", "log.format", "FORMAT", "auto, logfmt or json", &[]),
];

/// The value's name of a flag that may be repeated.
const ADDRESS: &str = "ADDRESS";
/// The value's name of a flag that may stand alone, which means true.
const SWITCH: &str = "true|false";

const CONFIG_FILE: &str = "config.file";
const SECRET_FILE: &str = "webhook.secret-file";
const HEADING: &str = "Configuration (each flag is also a key of the file and an environment variable)";

/// Adds to the program and to each of its commands the flags that act on it.
pub(super) fn add(program: Command) -> Command {
    let defaults = Settings::load(&Sources::default()).expect("the defaults are valid").effective;
    let default = |key: &str| {
        let default = defaults.iter().find(|effective| effective.key == key).map(|found| found.value.as_str());
        default.filter(|value| !value.is_empty()).unwrap_or("none")
    };
    let flag = |Row { flag, key, value, help, .. }: &Row| {
        let arg = Arg::new(*flag).long(*flag).value_name(*value).help(format!("{help} [default: {}]", default(key)));
        match *value {
            SWITCH => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            ADDRESS => arg.action(ArgAction::Append),
            _ => arg,
        }
    };
    let flags_of = |name: &str| -> Vec<Arg> {
        let config_file = acts(CONFIG_FILE, name).then(config_file);
        let secret_file = acts(SECRET_FILE, name).then(secret_file);
        let rows = ROWS.iter().filter(|row| acts(row.flag, name));
        config_file.into_iter().chain(rows.map(flag)).chain(secret_file).collect()
    };
    let program = program.next_help_heading(HEADING).args(flags_of(ALL_FLAGS[0]));
    program.mut_subcommands(|command| {
        let (name, has_commands) = (command.get_name().to_owned(), command.has_subcommands());
        let flags = flags_of(&name).into_iter().map(|flag| flag.global(has_commands));
        let command = command.next_help_heading(HEADING).args(flags);
        command.mut_subcommands(|inner| {
            let flags = flags_of(&format!("{name} {}", inner.get_name()));
            inner.next_help_heading(HEADING).args(flags)
        })
    })
}

/// Whether a flag changes what a command does, or all commands in it.
fn acts(flag: &str, command: &str) -> bool {
    let commands = match ROWS.iter().find(|row| row.flag == flag) {
        Some(row) => row.commands,
        None if flag == CONFIG_FILE => &READ_CONFIG,
        None => &["cloudflare", SHOW_SECRET],
    };
    ALL_FLAGS.contains(&command) || commands.contains(&command)
}

fn config_file() -> Arg {
    let flag = Arg::new(CONFIG_FILE).long(CONFIG_FILE).value_name("PATH").value_parser(value_parser!(PathBuf));
    flag.help("Configuration file, TOML or YAML")
}

fn secret_file() -> Arg {
    let flag = Arg::new(SECRET_FILE).long(SECRET_FILE).value_name("NAME=PATH").value_parser(named_file);
    flag.action(ArgAction::Append)
        .help("Name and file of a valid secret; repeatable [default: a generated secret in the data folder]")
}

/// The layers of the configuration, with the given flags as the last one. Values are validated with the rest of the
/// configuration, so that all problems are reported at once.
///
/// # Errors
///
/// A flag precedes a command on which it does not act.
pub(super) fn sources(matches: &ArgMatches) -> Result<Sources, clap::Error> {
    let levels: Vec<&ArgMatches> =
        std::iter::successors(Some(matches), |matches| matches.subcommand().map(|(_, inner)| inner)).collect();
    let names: Vec<&str> = levels.iter().filter_map(|matches| matches.subcommand_name()).collect();
    let (name, command) = (names.first().copied().unwrap_or(ALL_FLAGS[0]), names.join(" "));
    let acts = |flag: &str| acts(flag, name) || acts(flag, &command);
    let flags = ROWS.iter().map(|row| row.flag).chain([CONFIG_FILE, SECRET_FILE]);
    if let Some(flag) = flags.into_iter().find(|flag| matches.contains_id(flag) && !acts(flag)) {
        return Err(clap::Error::raw(ErrorKind::UnknownArgument, format!("--{flag} has no effect on {command}\n")));
    }
    // The flag after the command overrides the one before it. The values of a repeated flag are one list.
    let scalars = ROWS.iter().filter_map(|row| {
        let given = |matches: &&ArgMatches| {
            let values = matches.try_get_many::<String>(row.flag).ok().flatten()?;
            Some(values.map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        let value = levels.iter().rev().find_map(given)?;
        Some(Flag { name: format!("--{}", row.flag), key: row.key.to_owned(), value })
    });
    let secrets = levels.iter().filter_map(|matches| matches.try_get_many::<(String, String)>(SECRET_FILE).ok()?);
    let secrets = secrets.flatten().map(|(name, path)| Flag {
        name: format!("--{SECRET_FILE} {name}"),
        key: format!("webhook.secret_files.{name}"),
        value: path.clone(),
    });
    let given = |matches: &&ArgMatches| matches.try_get_one::<PathBuf>(CONFIG_FILE).ok().flatten().cloned();
    let file = levels.iter().rev().find_map(given);
    Ok(Sources::of_this_process(file, scalars.chain(secrets).collect()))
}

fn named_file(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.to_owned())),
        _ => Err("expected NAME=PATH"),
    }
}
