//! A middleware: who may ask at all, before any handler is.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};

use super::super::close_after_reply::CloseAfterReply;
use super::WebConfig;
use super::file::Settings;
use super::users::{Credentials, Verdict};

type Guarded<B> = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

/// Lets a request pass, or answers it in the handler's place. Without a configuration all pass.
pub(in super::super) async fn guard<B: MessageBody>(
    config: Option<Arc<WebConfig>>,
    request: ServiceRequest,
    next: Next<B>,
) -> Guarded<B> {
    let Some(config) = config else { return pass(request, next).await };
    // What is wrong with it was told when it changed.
    let Ok(settings) = config.settings() else { return refuse(request, StatusCode::INTERNAL_SERVER_ERROR).await };
    if config.limiter.as_ref().is_some_and(|limiter| !limiter.admits(&())) {
        return refuse(request, StatusCode::TOO_MANY_REQUESTS).await;
    }
    let mut answer = match config.verdict(&settings, &request).await {
        Verdict::Right => pass(request, next).await?,
        Verdict::Wrong => {
            let mut answer = refuse(request, StatusCode::UNAUTHORIZED).await?;
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic"));
            answer
        }
        Verdict::Crowded => refuse(request, StatusCode::TOO_MANY_REQUESTS).await?,
    };
    for (name, value) in &settings.headers {
        answer.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(answer)
}

impl WebConfig {
    async fn verdict(&self, settings: &Settings, request: &ServiceRequest) -> Verdict {
        if settings.users.is_empty() {
            return Verdict::Right;
        }
        let Some(credentials) = Credentials::of(request.headers()) else { return Verdict::Wrong };
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        self.passwords.check(&settings.users, credentials, peer).await
    }
}

async fn pass<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Guarded<B> {
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

async fn refuse<B>(mut request: ServiceRequest, status: StatusCode) -> Guarded<B> {
    let payload = request.extract::<web::Payload>().await?;
    let reason = format!("{}\n", status.canonical_reason().unwrap_or_default());
    let mut answer = HttpResponse::build(status);
    let answer = answer.content_type("text/plain; charset=utf-8").body(CloseAfterReply::new(reason, payload));
    Ok(request.into_response(answer).map_into_right_body())
}
