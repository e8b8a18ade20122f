//! Links to the confirmation pages of actions, or why there are none.

use askama::Template;

use crate::event::InputId;
use crate::http::private::correction::Refusal;
use crate::http::private::page::fragment::Fragment;

/// Whether the person who reads the page may do actions.
pub(in crate::http::private::page) type Permission = Result<(), Refusal>;

#[derive(Template)]
#[template(path = "actions.html", config = "src/http/private/page/askama.toml")]
struct Links {
    is_permitted: bool,
    links: Vec<Link>,
}

struct Link {
    address: String,
    text: &'static str,
    class: &'static str,
}

fn link(address: String, text: &'static str) -> Link {
    Link { address, text, class: "button" }
}

fn fragment(permission: &Permission, links: Vec<Link>) -> Fragment {
    Fragment::new("actions", &Links { is_permitted: permission.is_ok(), links })
}

/// The actions on the status page.
pub(in crate::http::private::page) fn of_status(root: &str, permission: &Permission) -> Fragment {
    fragment(permission, vec![link(format!("{root}/actions/reload"), "Reload the configuration")])
}

/// The actions on an input.
pub(in crate::http::private::page) fn of_input(root: &str, id: &InputId, permission: &Permission) -> Fragment {
    let address = |action: &str| format!("{root}/actions/{action}?input={id}");
    let links = vec![
        link(address("set-connected"), "Set connected"),
        link(address("set-disconnected"), "Set disconnected"),
        link(address("expect"), "Change when it is expected"),
        link(address("clear-expectation"), "Follow the schedule again"),
        Link { class: "button danger", ..link(address("forget"), "Forget") },
    ];
    fragment(permission, links)
}

/// The actions on a kept body.
pub(in crate::http::private::page) fn of_body(root: &str, number: u64, permission: &Permission) -> Fragment {
    fragment(permission, vec![link(format!("{root}/actions/replay?body={number}"), "Read the body again")])
}
