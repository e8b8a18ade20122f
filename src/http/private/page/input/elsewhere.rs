//! Where other programs show an input.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path};

use crate::event::InputId;
use crate::http::configuration::Configuration;
use crate::http::private::Private;
use crate::http::private::page::problem;
use crate::http::private::page::respond;

/// `GET /inputs/{id}/grafana` and `GET /inputs/{id}/cloudflare` lead to the other program. The addresses are short, because
/// a page has hundreds of them.
pub(in crate::http::private) async fn elsewhere(path: Path<(String, String)>, private: Data<Private>) -> HttpResponse {
    let (id, program) = path.into_inner();
    match id.parse().ok().and_then(|id| url(&id, &program, &private)) {
        Some(url) => HttpResponse::SeeOther().insert_header((header::LOCATION, url)).finish(),
        None => {
            let text =
                "There is no such link: the input is not known, its account is not known, or web.grafana_url is empty.";
            respond(&private, problem::page(StatusCode::NOT_FOUND, "../..", "Unknown link", text))
        }
    }
}

fn url(id: &InputId, program: &str, private: &Private) -> Option<String> {
    let view = private.state_reader.view()?;
    let input = &view.gauge_state().known_input(id)?.input;
    match program {
        "grafana" => private.configuration.borrow().grafana_input_url(id),
        "cloudflare" => Configuration::cloudflare_url(view.gauge_state().account_id(id, input), id),
        _ => None,
    }
}
