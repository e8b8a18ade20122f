//! Pages that say why there is no other page.

use actix_web::http::StatusCode;
use askama::Template;

use super::fragment::Fragment;
use super::layout::Page;
use crate::clock;

#[derive(Template)]
#[template(
    config = "src/http/private/page/askama.toml",
    ext = "html",
    source = r#"<section id="problem" class="banner bad"><h1>{{ title }}</h1><p>{{ text }}</p>
<p><a href="{{ root }}/">Status of all inputs</a></p></section>"#
)]
struct Problem<'a> {
    root: &'static str,
    title: &'a str,
    text: &'a str,
}

/// A page with a title and a sentence about what to do. `root` is the relative address of `/`.
pub(super) fn page(status: StatusCode, root: &'static str, title: &str, text: &str) -> Page {
    let fragments = vec![Fragment::new("problem", &Problem { root, title, text })];
    let (title, now) = (title.to_owned(), clock::wall());
    Page { status, title, root, now, address: None, notice: None, fragments }
}
