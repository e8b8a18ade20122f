//! `cloudflare inputs`: lists the live inputs of an account.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::account::{Api, Choice, explained};
use crate::cli::{print, print_message};
use crate::cloudflare::List;
use crate::config::Settings;
use crate::event::InputId;
use crate::text::{escaped, is_control_or_format, to_json};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// Entries for the configuration
    Toml,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let api = Api::new(arguments.choice.of(settings)?, settings)?;
    let list = api.inputs().map_err(|error| explained(error, "Stream Read"))?;
    if !list.is_complete {
        print_message("warning: the API did not list all inputs");
    }
    let text = match arguments.format {
        Format::Table => table(&list),
        Format::Json => {
            let input = |(id, input): (&InputId, &crate::live::Listed)| json!({"id": id, "name": input.name, "enabled": input.enabled});
            let inputs: Vec<_> = list.inputs.iter().map(input).collect();
            let account_id = api.account.account_id;
            to_json(&json!({"account_id": account_id, "complete": list.is_complete, "inputs": inputs})) + "\n"
        }
        Format::Toml => toml(&list),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(list: &List) -> String {
    const HEADER: [&str; 3] = ["ID", "ENABLED", "NAME"];
    let enabled = |enabled: Option<bool>| match enabled {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    let mut text = format!("{:32}  {:7}  {}\n", HEADER[0], HEADER[1], HEADER[2]);
    for (id, input) in &list.inputs {
        let line = format!("{id}  {:7}  {}", enabled(input.enabled), escaped(&input.name));
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

/// Entries that a configuration file accepts. An input without a name has its id as name.
fn toml(list: &List) -> String {
    let mut text = String::new();
    for (id, input) in &list.inputs {
        // The others are printed as escape sequences that TOML has, too.
        let fits = |c: &char| !c.is_control() && (*c <= '\u{ffff}' || !is_control_or_format(*c));
        let name: String = input.name.chars().filter(fits).collect();
        let name = if name.trim().is_empty() { id.to_string() } else { name };
        text += &format!("[[inputs]]\nid = \"{id}\"\nname = {}\n\n", to_json(&name));
    }
    text.trim_end_matches('\n').to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::live::Listed;

    #[test]
    fn configuration_with_any_names_is_accepted() {
        let names = ["Main stage", "", "\u{7}\n", "a \"b\" \\ 'c'", "\u{202e}x", "\u{e0041}tag \u{1f3a5}", "caf\u{e9}"];
        let inputs = names
            .iter()
            .zip(1u8..)
            .map(|(name, index)| (InputId::from_bytes([index; 16]), Listed { name: (*name).into(), enabled: None }));
        let list = List { inputs: inputs.collect(), is_complete: true };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, toml(&list)).unwrap();
        let settings = Settings::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        let read: Vec<_> = settings.inputs.configured.values().map(|input| input.name.to_string()).collect();
        let id = |index: u8| InputId::from_bytes([index; 16]).to_string();
        let expected = ["Main stage", &id(2), &id(3), names[3], "\u{202e}x", "tag \u{1f3a5}", names[6]];
        assert_eq!(read, expected);
    }
}
