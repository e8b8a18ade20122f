//! What all pages have around their fragments.

use actix_web::http::StatusCode;
use askama::Template;

use super::address::Address;
use super::assets;
use super::fragment::Fragment;
use super::outline::State;
use super::time::Time;
use crate::event::Timestamp;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// The title of the window, without the name of the program.
    pub(super) title: String,
    /// The relative address of `/`: `.` for a page directly below it, `..` for one a level deeper. It works behind a
    /// proxy's subpath.
    pub(super) root: &'static str,
    /// When it was rendered.
    pub(super) now: Timestamp,
    /// Its own address, if it is kept up to date.
    pub(super) address: Option<Address>,
    /// About the action that led to the page. Updates leave it as it is.
    pub(super) notice: Option<Fragment>,
    pub(super) fragments: Vec<Fragment>,
}

#[derive(Template)]
#[template(path = "layout.html", config = "src/http/private/page/askama.toml")]
struct Layout<'a> {
    title: &'a str,
    root: &'static str,
    telemetry_path: &'a str,
    now: Time,
    address: Option<&'a Address>,
    state: State,
    assets: &'static str,
    notice: Option<&'a Fragment>,
    fragments: &'a [Fragment],
    style: &'static str,
    script: &'static str,
}

impl Page {
    /// Status and HTML.
    pub(super) fn into_response_parts(self, telemetry_path: &str) -> (StatusCode, String) {
        let Self { status, title, root, now, address, notice, fragments } = &self;
        let layout = Layout {
            title,
            root,
            telemetry_path,
            now: Time(*now),
            address: address.as_ref(),
            state: State::of(fragments),
            assets: &assets::VERSION,
            notice: notice.as_ref(),
            fragments,
            style: assets::STYLE,
            script: assets::SCRIPT,
        };
        let html = layout.render().expect("writing to a string does not fail");
        (*status, html + "\n")
    }
}
