//! What all pages have around their fragments.

use actix_web::http::StatusCode;
use askama::Template;

use super::assets;
use super::fragment::Fragment;
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
    pub(super) fragments: Vec<Fragment>,
}

#[derive(Template)]
#[template(path = "layout.html", config = "src/http/private/page/askama.toml")]
struct Layout<'a> {
    title: &'a str,
    root: &'static str,
    telemetry_path: &'a str,
    now: Time,
    fragments: &'a [Fragment],
    style: &'static str,
    script: &'static str,
}

impl Page {
    /// Status and HTML.
    pub(super) fn into_response_parts(self, telemetry_path: &str) -> (StatusCode, String) {
        let Self { status, title, root, now, fragments } = &self;
        let (now, style, script) = (Time(*now), assets::STYLE, assets::SCRIPT);
        let layout = Layout { title, root, telemetry_path, now, fragments, style, script };
        let html = layout.render().expect("writing to a string does not fail");
        (*status, html + "\n")
    }
}
