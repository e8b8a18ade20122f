//! `cloudflare`: sets up the delivery of notifications by Cloudflare's API, and checks it.

mod account;
mod webhook;
mod plan;
mod rotate;
mod setup;
mod check;
mod inputs;
mod backfill;

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::{Settings, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create or update the webhook destination and the notification policy
    Setup(Box<setup::Arguments>),
    /// Check whether notifications are delivered; each problem with its fix, and exit code 1
    Check(check::Arguments),
    /// List the live inputs of the account
    Inputs(inputs::Arguments),
    /// Read the notification history, and record the events that are missing
    Backfill(backfill::Arguments),
}

pub(super) fn run(command: &Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    match command {
        Command::Setup(arguments) => setup::run(arguments, &settings, sources),
        Command::Check(arguments) => check::run(arguments, &settings),
        Command::Inputs(arguments) => inputs::run(arguments, &settings),
        Command::Backfill(arguments) => backfill::run(arguments, &settings),
    }
}
