//! One file per command; the only place that prints.

mod flags;
mod serve;
mod check_config;
mod simulate;
mod journal;
mod healthcheck;
mod completions;

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand};

use crate::config::Sources;
use crate::daemon;
use crate::journal::{JournalError, JournalErrorKind};
use flags::Flags;

/// The exit code when the disk failed to sync: `EX_IOERR` of BSD's `sysexits.h`.
const SYNC_FAILED: u8 = 74;

/// What to do about a damaged journal.
const SALVAGE: &str = "`stream-live-exporter journal salvage FOLDER` makes a new journal of all that can be read, \
                       and leaves this one as it is: see docs/journal.md";

/// Prometheus exporter for Cloudflare Stream Live: receives its notifications, keeps them, and
/// exposes the truth about every live input.
#[derive(Debug, Parser)]
#[command(name = env!("CARGO_PKG_NAME"), version = daemon::VERSION, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon; also what happens without a command
    Serve,
    /// Print the effective configuration with secrets masked, or every problem of it
    CheckConfig,
    /// Post realistic notifications to a URL, in Cloudflare's format
    Simulate(simulate::Arguments),
    /// Read the journal, also while a daemon is writing it
    #[command(subcommand)]
    Journal(journal::Command),
    /// Ask a running daemon whether it is ready; exit code 0 when it is
    Healthcheck,
    /// Print a shell's completions
    Completions(completions::Arguments),
}

/// Does what the command line says; errors are printed.
pub fn run() -> ExitCode {
    let Arguments { command, flags } = Arguments::parse();
    let sources = flags.into_sources();
    match dispatch(command.unwrap_or(Command::Serve), sources) {
        Ok(code) => code,
        Err(error) => {
            let code = exit_code(&error);
            let damaged = journal_error_kind(&error) == Some(JournalErrorKind::Damaged);
            print_error(&if damaged { anyhow!("{error:#}\n{SALVAGE}") } else { error });
            code
        }
    }
}

fn dispatch(command: Command, sources: Sources) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve => serve::run(sources),
        Command::CheckConfig => check_config::run(&sources),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Journal(command) => journal::run(&command, &sources),
        Command::Healthcheck => healthcheck::run(&sources),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    }
}

/// Of a failed command: the disk's failure to sync is told apart, because a restart is the remedy.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    match journal_error_kind(error) {
        Some(JournalErrorKind::SyncFailed) => ExitCode::from(SYNC_FAILED),
        _ => ExitCode::FAILURE,
    }
}

fn journal_error_kind(error: &anyhow::Error) -> Option<JournalErrorKind> {
    error.downcast_ref().map(JournalError::kind)
}

#[expect(clippy::print_stderr, reason = "this is how a command says why it failed")]
fn print_error(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        eprintln!("{}: {line}", env!("CARGO_PKG_NAME"));
    }
}

/// Prints to standard output. A reader that has gone away is no error.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
