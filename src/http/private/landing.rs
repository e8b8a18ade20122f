//! `/`: the landing page.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::Private;

/// A page of links to the other endpoints.
pub(super) async fn page(private: Data<Private>) -> HttpResponse {
    let version = env!("CARGO_PKG_VERSION");
    let metrics = &private.telemetry_path;
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Stream Live Exporter</title></head>
<body>
<h1>Stream Live Exporter</h1>
<p>Version {version}</p>
<ul>
<li><a href=\"{metrics}\">Metrics</a></li>
<li><a href=\"/api/v1/inputs\">Live inputs</a> (JSON)</li>
<li><a href=\"/api/v1/events\">Recent deliveries and their outcomes</a> (JSON)</li>
<li><a href=\"/-/ready\">Readiness</a></li>
<li><a href=\"/-/healthy\">Health</a></li>
</ul>
</body>
</html>
"
    ))
}
