//! Middleware that applies rate limit, users and headers of the web configuration.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web;

use super::WebConfig;
use super::file::Settings;
use super::users::{Credentials, Verdict};
use crate::http::responses::unread;

type Guarded<B> = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

/// Passes a request to its handler or rejects it. Without a web configuration all requests pass.
pub(in super::super) async fn guard<B: MessageBody>(
    config: Option<Arc<WebConfig>>,
    request: ServiceRequest,
    next: Next<B>,
) -> Guarded<B> {
    let Some(config) = config else { return pass(request, next).await };
    // The problem was logged when the file changed.
    let Ok(settings) = config.settings() else { return reject(request, StatusCode::INTERNAL_SERVER_ERROR).await };
    if config.limiter.as_ref().is_some_and(|limiter| !limiter.admits(&())) {
        return reject(request, StatusCode::TOO_MANY_REQUESTS).await;
    }
    let mut response = match config.verdict(&settings, &request).await {
        Verdict::Right => pass(request, next).await?,
        Verdict::Wrong => {
            let mut response = reject(request, StatusCode::UNAUTHORIZED).await?;
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic"));
            response
        }
        Verdict::TooManyWaiting => reject(request, StatusCode::TOO_MANY_REQUESTS).await?,
    };
    for (name, value) in &settings.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
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

async fn reject<B>(mut request: ServiceRequest, status: StatusCode) -> Guarded<B> {
    let payload = request.extract::<web::Payload>().await?;
    let response = unread(status, status.canonical_reason().unwrap_or_default(), payload);
    Ok(request.into_response(response).map_into_right_body())
}
