//! Does what a form says.

use std::sync::Arc;

use actix_web::web;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::action::Action;
use super::expectation::decision;
use super::failure::Failure;
use super::form::Form;
use super::notice::Done;
use crate::clock;
use crate::event::Correction;
use crate::http::private::correction::{PATIENCE, Refusal, correct, correction, except, exception};
use crate::http::private::management::reload_now;
use crate::http::private::{NotReplayed, Private};
use crate::http::web_config::Operator;
use crate::recorder::Outcome;

/// Admits one body after the other: the disk may hang, and each one occupies a thread.
pub(in crate::http::private) struct Replays(Arc<Semaphore>);

impl Default for Replays {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Does it, and returns the address of the page that shows it.
pub(super) async fn perform(
    private: &Private,
    replays: &Replays,
    action: Action,
    form: &Form,
    user: Option<Operator>,
) -> Result<String, Failure> {
    let reason = Some(form.text("reason"));
    let log = |done: &Done| {
        let user = user.as_ref().map(|Operator(name)| &**name);
        let reason = reason.filter(|reason| !reason.is_empty());
        tracing::info!(
            action = action.name(),
            subject = action.subject(),
            outcome = done.name(),
            user,
            reason,
            "action"
        );
    };
    let done = match action {
        Action::Correct(input_id, to) => {
            // The recorder logs it.
            let correction = correction(&input_id.to_string(), to, user, reason)?;
            if correct(private, correction).await? { Done::Recorded } else { Done::Unchanged }
        }
        Action::Expect(input_id) => {
            let decision = decision(form, clock::wall())?;
            let exception = exception(&input_id.to_string(), Some(decision), user, reason)?;
            if except(private, exception).await? { Done::Recorded } else { Done::Unchanged }
        }
        Action::ClearExpectation(input_id) => {
            let exception = exception(&input_id.to_string(), None, user, reason)?;
            if except(private, exception).await? { Done::Recorded } else { Done::Unchanged }
        }
        Action::Replay(number) => {
            Correction::reason(form.text("reason")).map_err(Refusal::from)?;
            let done = replay(private, replays, number).await?;
            log(&done);
            done
        }
        Action::Reload => {
            Correction::reason(form.text("reason")).map_err(Refusal::from)?;
            reload_now(private).await?;
            log(&Done::Reloaded);
            Done::Reloaded
        }
    };
    Ok(format!("{}?done={}", action.destination(), done.name()))
}

async fn replay(private: &Private, replays: &Replays, number: u64) -> Result<Done, Failure> {
    let permit = replays.0.clone().try_acquire_owned().map_err(|_| Failure::Replaying)?;
    let replay = private.replay.clone();
    let queued = web::block(move || {
        let _held = permit;
        replay(number)
    });
    let late = |_| Failure::Refusal(Refusal::Late);
    let queued = timeout(PATIENCE, queued).await.map_err(late)?.map_err(|_| Failure::Refusal(Refusal::Journal))?;
    let answer = match queued {
        Err(NotReplayed::NotUnderstood) => return Ok(Done::NotUnderstood),
        queued => queued?,
    };
    match timeout(PATIENCE, answer).await.map_err(late)? {
        Ok(Some(Outcome::Recorded)) => Ok(Done::EventRecorded),
        Ok(Some(Outcome::Duplicate)) => Ok(Done::Duplicate),
        Ok(Some(Outcome::Test)) => Ok(Done::Test),
        Ok(Some(Outcome::Ignored(_) | Outcome::NotJson)) => Ok(Done::Ignored),
        // The recorder has ended, or could not write.
        Ok(None) | Err(_) => Err(Refusal::Journal.into()),
    }
}
