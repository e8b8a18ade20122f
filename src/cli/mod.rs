//! The commands. Only this module prints.

mod flags;
mod serve;
mod check_config;
mod simulate;
mod inputs;
mod journal;
mod cloudflare;
mod secret;
mod healthcheck;
mod client;
mod listed_inputs;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Sources;
use crate::daemon::{self, DiskHangs};
use crate::journal::{JournalError, JournalErrorKind};
use crate::text::{escaped, escaped_lines};

/// Exit code after a failed sync, and if the disk hangs during the shutdown: `EX_IOERR` of BSD's `sysexits.h`.
const DISK_FAILED: u8 = 74;

const SALVAGE: &str = "`stream-live-exporter journal salvage FOLDER` copies everything readable to a new journal \
                       and does not modify this one: see docs/journal.md";

const MORE: &str = concat!(
    "Without arguments, the daemon runs with its data in ./data. The flag --web.listen-address is the key\n\
     web.listen_address and the variable STREAM_LIVE_EXPORTER__WEB__LISTEN_ADDRESS; the others likewise.\n\
     COMMAND --help prints the flags of a command. Documentation: ",
    env!("CARGO_PKG_REPOSITORY")
);

/// Prometheus exporter for Cloudflare Stream Live: receives webhook notifications, stores them, and
/// exposes metrics about every live input.
#[derive(Debug, Parser)]
#[command(name = env!("CARGO_PKG_NAME"), version = daemon::VERSION, max_term_width = 100, after_help = MORE)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default command)
    Serve,
    /// Print the effective configuration with secrets masked, or everything that would stop a start or a reload
    CheckConfig(check_config::Arguments),
    /// Post realistic notifications to a URL, in Cloudflare's format
    Simulate(simulate::Arguments),
    /// List live inputs, correct their state by hand, and make exceptions to their schedules
    #[command(subcommand)]
    Inputs(inputs::Command),
    /// Export, verify, back up or salvage the journal
    #[command(subcommand)]
    Journal(journal::Command),
    /// Set up the delivery of notifications by Cloudflare's API, and check it
    #[command(subcommand)]
    Cloudflare(cloudflare::Command),
    /// Print the webhook secrets, or a new one
    #[command(subcommand)]
    Secret(secret::Command),
    /// Check whether the running daemon is ready (exit code 0)
    Healthcheck,
    /// Print completions for a shell
    Completions {
        /// Shell
        shell: Shell,
    },
}

/// Runs the command of the command line and prints its error, if any.
pub fn run() -> ExitCode {
    let matches = command().get_matches();
    let parsed = Arguments::from_arg_matches(&matches).and_then(|parsed| Ok((parsed, flags::sources(&matches)?)));
    let (Arguments { command }, sources) = parsed.unwrap_or_else(|error| error.exit());
    match dispatch(command.unwrap_or(Command::Serve), sources) {
        Ok(code) => code,
        Err(error) => {
            let code = exit_code(&error);
            print_error(&if is_damaged(&error) { anyhow!("{error:#}\n{SALVAGE}") } else { error });
            code
        }
    }
}

/// The command line's grammar.
pub fn command() -> clap::Command {
    flags::add(Arguments::command())
}

fn dispatch(command: Command, sources: Sources) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve => serve::run(sources),
        Command::CheckConfig(arguments) => check_config::run(&arguments, &sources),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Inputs(command) => inputs::run(&command, &sources),
        Command::Journal(command) => journal::run(&command, &sources),
        Command::Cloudflare(command) => cloudflare::run(&command, &sources),
        Command::Secret(command) => secret::run(&command, &sources),
        Command::Healthcheck => healthcheck::run(&sources),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut self::command(), env!("CARGO_PKG_NAME"), &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A disk that fails or hangs has a separate exit code, because a restart recovers from it.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let sync_failed = journal_error_kind(error) == Some(JournalErrorKind::SyncFailed);
    if sync_failed || error.is::<DiskHangs>() { ExitCode::from(DISK_FAILED) } else { ExitCode::FAILURE }
}

fn is_damaged(error: &anyhow::Error) -> bool {
    journal_error_kind(error) == Some(JournalErrorKind::Damaged)
}

fn journal_error_kind(error: &anyhow::Error) -> Option<JournalErrorKind> {
    error.downcast_ref().map(JournalError::kind)
}

fn print_error(error: &anyhow::Error) {
    format!("{error:#}").lines().for_each(print_message);
}

#[expect(clippy::print_stderr, reason = "commands report errors on standard error")]
fn print_message(message: &str) {
    eprintln!("{}: {}", env!("CARGO_PKG_NAME"), escaped(message));
}

/// Prints lines to standard output, with control characters escaped. A closed pipe is not an error.
fn print(lines: &str) -> io::Result<()> {
    match io::stdout().write_all(escaped_lines(lines).as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
