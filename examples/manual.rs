//! Writes the man pages and the shells' completions into a folder: `FOLDER/man1` and `FOLDER/completions`.
//!
//! The pages have the date of SOURCE_DATE_EPOCH, or else of the last commit, so that two runs write the same.
//!
//! ```sh
//! cargo run --example manual -- FOLDER
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context;
use clap::{Command, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use stream_live_exporter::cli;

const PROGRAM: &str = env!("CARGO_PKG_NAME");
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Writes the man pages and the shells' completions
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder to write to
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { folder } = Arguments::parse();
    let (pages, completions) = (folder.join("man1"), folder.join("completions"));
    for folder in [&pages, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut cli::command(), PROGRAM, &completions)?;
    }
    let mut program = cli::command().disable_help_subcommand(true).version(env!("CARGO_PKG_VERSION"));
    program.build();
    write(&program, &[], &date(), &pages)
}

/// Writes the page of a command and of each command in it. `related` are the names of the pages above it.
fn write(command: &Command, related: &[String], date: &str, folder: &Path) -> anyhow::Result<()> {
    let name = name(command);
    let commands = || command.get_subcommands();
    let file = folder.join(format!("{name}.1"));
    let see_also: Vec<_> = related.iter().cloned().chain(commands().map(self::name)).collect();
    let page = page(command, date, &see_also)?;
    fs::write(&file, page).with_context(|| format!("{} cannot be written", file.display()))?;
    let related: Vec<_> = related.iter().cloned().chain([name.clone()]).collect();
    commands().try_for_each(|command| write(command, &related, date, folder))
}

fn page(command: &Command, date: &str, see_also: &[String]) -> anyhow::Result<String> {
    // In the pages, headings are short and in capitals; the section on the environment explains the keys.
    let has_flags = command.get_arguments().any(|argument| argument.get_id() == "config.file");
    let command = command.clone().mut_args(|argument| match argument.get_help_heading() {
        Some(_) => argument.help_heading("Configuration"),
        None => argument,
    });
    let source = format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name(&command)).date(date).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    head(&command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::default();
    exit_status(&mut roff, &command);
    if has_flags {
        environment(&mut roff);
        files(&mut roff);
    }
    roff.control("SH", ["SEE ALSO"]);
    // Names and addresses cannot be hyphenated, so lines cannot be adjusted.
    roff.control("ad", ["l"]);
    let pages = see_also.iter().flat_map(|page| [bold(page), roman("(1), ")]);
    roff.text(pages.chain([italic(REPOSITORY)]).collect::<Vec<_>>());
    roff.to_writer(&mut page)?;
    // clap_mangen breaks lines around an empty line, of which linters warn.
    Ok(String::from_utf8(page)?.replace(".br\n\n.br\n", ".sp\n"))
}

/// Name and synopsis. Those of clap_mangen repeat the description and all options.
fn head(command: &Command) -> Roff {
    let mut roff = Roff::default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let purpose = about.split_once([':', ';']).map_or(about.as_str(), |(purpose, _)| purpose);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{} - {purpose}", name(command)))]);
    roff.control("SH", ["SYNOPSIS"]);
    let usage = command.clone().render_usage().to_string();
    roff.text([bold(usage.trim_start_matches("Usage:").trim())]);
    roff
}

fn exit_status(roff: &mut Roff, command: &Command) {
    let serves = [PROGRAM.to_owned(), format!("{PROGRAM}-serve")].contains(&name(command));
    let mut rows = vec![
        ("0", if serves { "Success; stopped by SIGTERM or SIGINT." } else { "Success." }),
        ("1", if serves { "Failure; stopped by a second signal." } else { "Failure. Standard error has the reason." }),
        ("2", "Invalid command line."),
    ];
    if serves {
        rows.push(("74", "The disk failed to sync, or hangs during a stop. Start it again."));
    }
    if name(command) == format!("{PROGRAM}-simulate") {
        rows.push(("130", "Interrupted by Ctrl-C."));
    }
    section(roff, "EXIT STATUS", &rows);
}

fn environment(roff: &mut Roff) {
    let rows = [
        ("STREAM_LIVE_EXPORTER__CONFIG__FILE", "The configuration file, if there is no --config.file."),
        (
            "STREAM_LIVE_EXPORTER__SECTION__KEY",
            "Overrides a key of the configuration file: STREAM_LIVE_EXPORTER__WEB__LISTEN_ADDRESS is web.listen_address. \
             A flag overrides both.",
        ),
        ("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__NAME", "A valid webhook secret of this name."),
    ];
    section(roff, "ENVIRONMENT", &rows);
}

fn files(roff: &mut Roff) {
    let rows = [
        ("/etc/stream-live-exporter/config.toml", "The configuration file of an installed package."),
        ("/var/lib/stream-live-exporter", "The data folder of an installed package and of the image."),
        ("./data", "The default data folder."),
        ("journal.db", "In the data folder: the journal, an SQLite database."),
        ("webhook-secret", "In the data folder: the generated secret, if none is configured."),
    ];
    section(roff, "FILES", &rows);
}

fn section(roff: &mut Roff, heading: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, text) in rows {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

/// The page of a command: `stream-live-exporter-journal-export`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

/// The date of the pages: a day such as 2026-11-20, or nothing outside of a Git checkout.
#[expect(clippy::disallowed_methods, reason = "the variable is for builds, not for the configuration")]
fn date() -> String {
    let committed = || {
        let mut git = process::Command::new("git");
        let output = git.args(["log", "-1", "--format=%ct"]).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(committed);
    let second = epoch.and_then(|epoch| jiff::Timestamp::from_second(epoch.trim().parse().ok()?).ok());
    second.map(|second| second.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}
