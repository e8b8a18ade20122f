//! The banner: what is wrong, in one sentence.

use askama::Template;

use super::fragment::Fragment;
use super::snapshot::Snapshot;

#[derive(Template)]
#[template(path = "banner.html", config = "src/http/private/page/askama.toml")]
struct Banner<'a> {
    class: &'static str,
    text: &'a str,
}

/// The banner of a snapshot.
pub(super) fn fragment(snapshot: &Snapshot) -> Fragment {
    let banner = match &snapshot.failing {
        Some(reason) => Banner { class: "bad", text: reason },
        None => Banner { class: "ok", text: "ready" },
    };
    Fragment::new("banner", &banner)
}
