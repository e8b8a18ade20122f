//! The page of an input: its state and why it is so, what is expected, its sessions and its newest records.

mod elsewhere;
mod evidence;
mod expectation;
mod history;
mod state;
mod subject;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(in crate::http::private) use self::elsewhere::elsewhere;
pub(super) use self::subject::History;
use self::subject::Subject;
use super::actions::{self, Permission};
use super::address::Address;
use super::fragment::Fragment;
use super::layout::Page;
use super::problem;
use super::snapshot::Snapshot;
use crate::event::InputId;
use crate::http::private::Private;
use crate::http::private::correction_policy::CorrectionPolicy;
use crate::http::private::parameters::Parameters;

/// `GET /inputs/{id}`: the page of an input.
pub(in crate::http::private) async fn handle(
    request: HttpRequest,
    id: Path<String>,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
) -> HttpResponse {
    let notice = match Parameters::of(&request, &["done"]) {
        Ok(parameters) => actions::notice(parameters.text("done")),
        Err(invalid) => return invalid.response(),
    };
    let permission = policy.check_page(&request).map(drop);
    let id: Option<InputId> = id.parse().ok();
    let history = match id {
        Some(id) => Some((id, private.timelines.input(id).await)),
        None => None,
    };
    super::render(private, move |snapshot| match history {
        Some((id, history)) => page(&snapshot, id, &history, notice, &permission),
        None => unknown(None, &snapshot),
    })
    .await
}

/// The page. It is 404 if the input is not known, and 503 until the state is restored.
pub(super) fn page(
    snapshot: &Snapshot,
    id: InputId,
    history: &History,
    notice: Option<Fragment>,
    permission: &Permission,
) -> Page {
    let Some(view) = &snapshot.view else {
        let text = "The journal is still being read. Try again in a moment.";
        return problem::page(StatusCode::SERVICE_UNAVAILABLE, "..", "Starting", text);
    };
    let Some(entry) = view.gauge_state().known_input(&id) else { return unknown(Some(id), snapshot) };
    let subject = Subject { id, input: &entry.input, view, snapshot, history };
    let name = view.gauge_state().name(&id);
    let title = if name.is_empty() { id.to_string() } else { name.to_owned() };
    let fragments = vec![
        state::fragment(&subject),
        expectation::fragment(&subject),
        state::counters(&subject),
        actions::of_input("..", &id, permission),
        history::sessions(&subject),
        history::records(&subject),
    ];
    let address = Some(Address::Input(id));
    Page { status: StatusCode::OK, title, root: "..", now: snapshot.now, address, notice, fragments }
}

fn unknown(id: Option<InputId>, snapshot: &Snapshot) -> Page {
    let forgotten = id.zip(snapshot.view.as_ref()).and_then(|(id, view)| view.gauge_state().forgotten().get(&id));
    let text = match (id, forgotten) {
        (None, _) => "The address has no id of an input: 32 hexadecimal digits.".to_owned(),
        (Some(_), Some(at)) => {
            format!("It was forgotten at {at}. The next notification about it makes it known again.")
        }
        (Some(_), None) => "No input with this id is configured, listed by Cloudflare's API, or has had an event. \
                            Cloudflare's dashboard shows the id of an input."
            .to_owned(),
    };
    problem::page(StatusCode::NOT_FOUND, "..", "Unknown input", &text)
}

#[cfg(test)]
mod tests;
