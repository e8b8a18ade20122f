//! `/-/ready` and `/-/reload`.

use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};

use super::Private;
use crate::http::responses::text;

/// Whether notifications can be recorded; if not, which check fails.
pub(super) async fn ready(private: Data<Private>) -> HttpResponse {
    match private.state_reader.readiness().failing() {
        None => text(HttpResponse::Ok(), "ready"),
        Some(check) => text(HttpResponse::ServiceUnavailable(), check),
    }
}

/// `POST /-/reload`: for programs, and not for pages of others that a browser of ours has open.
pub(super) async fn reload(request: HttpRequest, private: Data<Private>) -> HttpResponse {
    if is_of_another_page(request.headers()) {
        let body = "a page of another origin may not reload\n";
        return HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body(body);
    }
    let reload = private.reload.clone();
    let reloaded = web::block(move || reload()).await.unwrap_or_else(|_| Err("the reload was cut off".to_owned()));
    match reloaded {
        Ok(()) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("reloaded\n"),
        Err(problems) => {
            let body = format!("the configuration was not reloaded; the one before stays in force\n{problems}\n");
            HttpResponse::InternalServerError().content_type("text/plain; charset=utf-8").body(body)
        }
    }
}

/// Whether a browser says that somebody else's page asks. Programs say nothing of the kind.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return !["same-origin", "none"].contains(&site);
    }
    // What sends no more than that is older, or does not think that we are safe.
    let authority = |origin: &'_ str| origin.split_once("://").map(|(_, authority)| authority.to_owned());
    text(header::ORIGIN).is_some_and(|origin| authority(origin).as_deref() != text(header::HOST))
}
