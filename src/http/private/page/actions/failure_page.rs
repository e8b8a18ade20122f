//! The page that says why an action was not done.

use askama::Template;

use super::action::Action;
use super::failure::Failure;
use crate::event::Timestamp;
use crate::http::private::correction::Refusal;
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::layout::Page;

#[derive(Template)]
#[template(path = "failure.html", config = "src/http/private/page/askama.toml")]
struct NotDone<'a> {
    title: &'static str,
    lines: std::str::Lines<'a>,
    /// The address of the confirmation, if trying again may help.
    again: Option<String>,
    back: String,
}

/// The page. `action` is `None` if there is no such action.
pub(super) fn page(failure: &Failure, action: Option<Action>, now: Timestamp) -> Page {
    let title = action.map_or("Not done", |action| action.words().title);
    let message = failure.to_string();
    let lines = message.lines();
    let again = action.filter(|_| *failure != Failure::Refusal(Refusal::UnknownInput)).map(Action::address);
    let back = action.map_or_else(|| "../".to_owned(), Action::origin);
    let fragment = Fragment::new("failure", &NotDone { title, lines, again, back });
    let (status, title, fragments) = (failure.status(), format!("{title}: not done"), vec![fragment]);
    Page { status, title, root: "..", now, address: None, notice: None, fragments }
}
