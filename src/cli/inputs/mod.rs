//! `inputs`: lists live inputs, corrects their state by hand, and makes exceptions to their schedules, through the private listener of the running daemon or in
//! the journal of a stopped one.

mod expect;
mod list;
mod running;
mod stopped;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};

use crate::cli::client::{Access, Client};
use crate::config::{Settings, Sources};
use crate::event::{Corrected, InputId, Timestamp};
use crate::recorder::CorrectionOutcome;
pub(super) use stopped::list as offline_list;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all inputs with their state
    List {
        /// Print the answer of /api/v1/inputs as it is
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Forget an input, for example one that was deleted at Cloudflare
    Forget {
        /// The id of the live input
        id: InputId,
        /// Why, for the journal
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Set an input connected or disconnected, for example after a lost notification
    Set {
        /// The id of the live input
        id: InputId,
        /// Its state
        #[arg(value_enum)]
        state: State,
        /// Why, for the journal
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Expect an input to be live, or not, until a time, whatever its schedule says
    Expect(expect::Arguments),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum State {
    Connected,
    Disconnected,
}

/// Where the inputs are.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Use the journal without a daemon; a daemon whose journal is in a data folder must be stopped
    #[arg(long, conflicts_with_all = ["url", "ca_file", "user", "cert_file"])]
    offline: bool,
    #[command(flatten)]
    access: Access,
}

/// What to do to one input.
struct Change<'a> {
    input_id: InputId,
    to: Corrected,
    reason: Option<&'a str>,
}

/// An exception to the schedule of one input.
struct Decision<'a> {
    input_id: InputId,
    /// What is expected, and until when; `None` ends the exception that is in force.
    expected: Option<(bool, Timestamp)>,
    reason: Option<&'a str>,
}

pub(super) fn run(command: &Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    match command {
        Command::List { json, place } => {
            let inputs = if place.offline {
                stopped::list(&settings)?
            } else {
                running::list(&Client::new(&place.access, &settings)?)?
            };
            super::print(&if *json { format!("{}\n", inputs.trim_end()) } else { list::table(&inputs)? })?;
        }
        Command::Forget { id, reason, place } => {
            let change = Change { input_id: *id, to: Corrected::Forgotten, reason: reason.as_deref() };
            correct(&change, place, &settings, sources)?;
        }
        Command::Set { id, state, reason, place } => {
            let to = match state {
                State::Connected => Corrected::Connected,
                State::Disconnected => Corrected::Disconnected,
            };
            correct(&Change { input_id: *id, to, reason: reason.as_deref() }, place, &settings, sources)?;
        }
        Command::Expect(arguments) => expect::run(arguments, &settings, sources)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn correct(change: &Change<'_>, place: &Place, settings: &Settings, sources: &Sources) -> anyhow::Result<()> {
    let outcome = match place.offline {
        true => stopped::correct(change, settings, sources)?,
        false => running::correct(&Client::new(&place.access, settings)?, change)?,
    };
    let Change { input_id, to, .. } = change;
    let result = match (outcome, to) {
        (CorrectionOutcome::Recorded, Corrected::Forgotten) => "forgotten",
        (CorrectionOutcome::Unchanged, Corrected::Forgotten) => "nothing to forget",
        (CorrectionOutcome::Recorded, Corrected::Connected) => "set to connected",
        (CorrectionOutcome::Recorded, Corrected::Disconnected) => "set to disconnected",
        (CorrectionOutcome::Unchanged, Corrected::Connected) => "is connected already",
        (CorrectionOutcome::Unchanged, Corrected::Disconnected) => "is disconnected already",
        (CorrectionOutcome::UnknownInput | CorrectionOutcome::TooMany, _) => bail!(unknown(input_id)),
    };
    super::print(&format!("{input_id}: {result}\n"))?;
    Ok(())
}

fn unknown(input_id: &InputId) -> String {
    format!("{input_id}: no such input; `stream-live-exporter inputs list` lists all")
}
