//! `cloudflare setup`: creates or updates the webhook destination and the notification policy.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;

use super::account::{Api, Choice, EDIT, explained, title};
use super::plan::Diff;
use super::rotate::Rotate;
use super::webhook::{self, NamedSecret};
use crate::cli::client::Access;
use crate::cli::{print, print_message};
use crate::cloudflare::model::{ALERT_TYPE, ERRORED, EVENT_TYPES, ObjectId};
use crate::cloudflare::setup::{Existing, Step, Wanted, plan, removal};
use crate::cloudflare::{ApiError, ApiErrorKind};
use crate::config::{Settings, Sources, positive_duration};
use crate::event::InputId;

/// Ports to which Cloudflare delivers.
const PORTS: [u16; 2] = [80, 443];

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Deliver the events of this input only; repeatable [default: all inputs]
    #[arg(long = "input", value_name = "ID")]
    inputs: Vec<InputId>,
    /// Name of a destination and a policy that are created
    #[arg(long, default_value = env!("CARGO_PKG_NAME"))]
    name: String,
    /// Name of the webhook secret for the destination, if several are valid
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Replace the webhook secret: in the daemon, then at Cloudflare; the old one is removed when nothing uses it
    #[arg(long, conflicts_with_all = ["remove", "inputs"])]
    rotate_secret: bool,
    /// With --rotate-secret: the old secret is removed when it has not been used for this long
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = positive_duration)]
    silent_for: Duration,
    #[command(flatten)]
    access: Access,
    /// Delete the destination, and the policies that deliver only to it
    #[arg(long)]
    remove: bool,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings, sources: &Sources) -> anyhow::Result<ExitCode> {
    let account = arguments.choice.of(settings)?;
    let url = account.webhook_url.clone().context(
        "cloudflare.webhook_url is not configured: set it to the public URL of the webhook, for example \
         https://live.example.com/webhook, or give --cloudflare.webhook-url",
    )?;
    let wanted = Wanted { name: arguments.name.clone(), url, inputs: arguments.inputs.iter().copied().collect() };
    let api = Api::new(account, settings)?;
    let setup = Setup { api, wanted, arguments, settings };
    if arguments.rotate_secret {
        setup.rotate(sources)
    } else if arguments.remove {
        setup.remove()
    } else {
        setup.set_up()
    }
}

struct Setup<'a> {
    api: Api,
    wanted: Wanted,
    arguments: &'a Arguments,
    settings: &'a Settings,
}

impl Setup<'_> {
    fn set_up(&self) -> anyhow::Result<ExitCode> {
        self.warn_of_port();
        let existing = self.existing()?;
        self.check_alert_type()?;
        self.check_inputs()?;
        let steps = plan(&existing, &self.wanted);
        let sets_secret = steps.iter().any(Step::sets_secret);
        let secret =
            sets_secret.then(|| webhook::secret(self.arguments.secret.as_deref(), self.settings)).transpose()?;
        if !self.confirmed(&existing, &steps, secret.as_ref())? {
            return Ok(ExitCode::FAILURE);
        }
        if self.arguments.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(secret) = &secret {
            webhook::ensure_accepted(secret, &self.wanted.url, self.settings)?;
        }
        self.execute(&existing, &steps, secret.as_ref())?;
        self.verify()?;
        Ok(ExitCode::SUCCESS)
    }

    fn remove(&self) -> anyhow::Result<ExitCode> {
        let existing = self.existing()?;
        let steps = removal(&existing, &self.wanted);
        if let (true, Some(other)) = (steps.is_empty(), existing.destination(&self.wanted)) {
            print_message(&format!(
                "warning: the webhook destination {} is not deleted, because it is not named {}: --name {:?} deletes it",
                other.name, self.wanted.name, other.name
            ));
        }
        if !self.confirmed(&existing, &steps, None)? {
            return Ok(ExitCode::FAILURE);
        }
        if !self.arguments.dry_run {
            self.execute(&existing, &steps, None)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn rotate(&self, sources: &Sources) -> anyhow::Result<ExitCode> {
        let existing = self.existing()?;
        if existing.destination(&self.wanted).is_none() {
            bail!("there is no webhook destination whose secret could be replaced: run cloudflare setup first");
        }
        let Arguments { secret, silent_for, access, .. } = self.arguments;
        let from = (self.settings, sources);
        let rotation = Rotate::new(&self.api, &self.wanted, from, (secret.as_deref(), *silent_for, access))?;
        print(&format!("Cloudflare {}\n\n", title(&self.api.account)))?;
        if let Some(steps) = rotation.obstacle()? {
            print(&steps)?;
            return Ok(ExitCode::FAILURE);
        }
        print(&rotation.plan()?)?;
        if !self.allowed()? {
            return Ok(ExitCode::FAILURE);
        }
        if !self.arguments.dry_run {
            rotation.execute(&existing)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn existing(&self) -> anyhow::Result<Existing> {
        self.api.existing().map_err(|error| explained(error, EDIT))
    }

    /// Prints the plan. Returns whether it may be executed.
    fn confirmed(&self, existing: &Existing, steps: &[Step], secret: Option<&NamedSecret>) -> anyhow::Result<bool> {
        print(&format!("Cloudflare {}\n\n", title(&self.api.account)))?;
        if steps.is_empty() {
            print("Nothing to do.\n")?;
            return Ok(true);
        }
        let secret = secret.map(NamedSecret::title);
        print(&Diff { existing, wanted: &self.wanted, secret: secret.as_deref() }.of(steps))?;
        self.allowed()
    }

    /// Whether what was printed may be done: in a dry run, because nothing is done.
    fn allowed(&self) -> anyhow::Result<bool> {
        if self.arguments.dry_run {
            print("\nThis was a dry run: nothing was changed.\n")?;
            return Ok(true);
        }
        print("\n")?;
        if self.arguments.yes {
            return Ok(true);
        }
        let is_confirmed = ask("Do this?")?;
        if !is_confirmed {
            print("Nothing was changed.\n")?;
        }
        Ok(is_confirmed)
    }

    fn execute(&self, existing: &Existing, steps: &[Step], secret: Option<&NamedSecret>) -> anyhow::Result<()> {
        let mut destination = existing.destination(&self.wanted).map(|destination| destination.id.clone());
        let secret = secret.map_or("", |secret| secret.secret.expose());
        for step in steps {
            let request = step.request(self.api.account.account_id, secret, destination.as_ref());
            let answer: Option<Created> = self.api.send(&request).map_err(|error| self.failed(step, error))?;
            if let (Step::CreateDestination { .. }, Some(Created { id: Some(id) })) = (step, answer) {
                destination = Some(id);
            }
            print(&format!("{}\n", done(step)))?;
        }
        Ok(())
    }

    fn failed(&self, step: &Step, error: ApiError) -> anyhow::Error {
        if step.sets_secret() && error.kind == ApiErrorKind::ClientError {
            return anyhow::anyhow!(
                "{error}\nCloudflare sends a test message to {} and expects an answer 2xx: check that the URL is \
                 reachable from the internet on port 80 or 443, has a valid certificate, and is not a redirect",
                self.wanted.url
            );
        }
        explained(error, EDIT)
    }

    /// Reads back what exists now.
    fn verify(&self) -> anyhow::Result<()> {
        let existing = self.existing()?;
        let destination = existing.destination(&self.wanted);
        let feeding = destination.map_or_else(Vec::new, |destination| existing.feeding(&destination.id).collect());
        let policy = feeding.into_iter().find(|policy| policy.body.enabled && policy.body.includes_all_events());
        let policy = policy.context(
            "no policy delivers all events to the webhook, although all requests succeeded: run \
             `stream-live-exporter cloudflare check`",
        )?;
        let inputs = policy.body.filter("input_id");
        let inputs = if inputs.is_empty() { "all inputs".to_owned() } else { inputs.join(", ") };
        print(&format!(
            "The policy \"{}\" delivers {} of {inputs} to {}.\n",
            policy.body.name,
            EVENT_TYPES.join(", "),
            self.wanted.url
        ))?;
        Ok(())
    }

    /// Whether the account can have a policy about live inputs that delivers errors.
    fn check_alert_type(&self) -> anyhow::Result<()> {
        let alerts = self.api.available_alerts().map_err(|error| explained(error, EDIT))?;
        let Some(alert) = alerts.values().flatten().find(|alert| alert.alert_type == ALERT_TYPE) else {
            bail!(
                "the {} has no notifications of the type {ALERT_TYPE}: has it a Stream subscription?",
                title(&self.api.account)
            )
        };
        if alert.knows_event(ERRORED) == Some(false) {
            print_message(&format!(
                "warning: the API does not list the event {ERRORED}, so errors may not be delivered"
            ));
        }
        Ok(())
    }

    /// Whether the chosen inputs exist, if the token may list them.
    fn check_inputs(&self) -> anyhow::Result<()> {
        if self.wanted.inputs.is_empty() {
            return Ok(());
        }
        let Ok(list) = self.api.inputs() else {
            print_message("warning: the token may not list inputs, so the ids of --input are not checked");
            return Ok(());
        };
        let unknown = self.wanted.inputs.iter().find(|input| !list.inputs.contains_key(input));
        match unknown.filter(|_| list.is_complete) {
            None => Ok(()),
            Some(input) => bail!("--input {input}: no such input; `stream-live-exporter cloudflare inputs` lists all"),
        }
    }

    fn warn_of_port(&self) {
        let port = self.wanted.url.parse().ok().and_then(|url: ureq::http::Uri| url.port_u16());
        if let Some(port) = port.filter(|port| !PORTS.contains(port)) {
            print_message(&format!("warning: Cloudflare delivers only to the ports 80 and 443, not to {port}"));
        }
    }
}

/// The answer to a request that creates something.
#[derive(Deserialize)]
struct Created {
    id: Option<ObjectId>,
}

/// Asks on the terminal.
///
/// # Errors
///
/// Standard input is not a terminal.
fn ask(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("standard input is not a terminal, so this cannot be confirmed: add --yes to do it, or --dry-run");
    }
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn done(step: &Step) -> String {
    let (verb, kind, name) = match step {
        Step::CreateDestination { name, .. } => ("created", "webhook destination", name),
        Step::UpdateDestination { before, .. } => ("updated", "webhook destination", &before.name),
        Step::DeleteDestination(before) => ("deleted", "webhook destination", &before.name),
        Step::CreatePolicy(after) => ("created", "notification policy", &after.name),
        Step::UpdatePolicy { before, .. } | Step::DetachPolicy { before, .. } => {
            ("updated", "notification policy", &before.body.name)
        }
        Step::DeletePolicy(before) => ("deleted", "notification policy", &before.body.name),
    };
    let tested = if step.sets_secret() { "; Cloudflare's test message was accepted" } else { "" };
    format!("{verb} {kind} \"{name}\"{tested}")
}
