//! Middleware that applies rate limit, users and headers of the web configuration.

use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;

use super::{Operator, WebConfig};
use crate::http::connection;
use crate::http::responses::text;

type Guarded<B> = Result<ServiceResponse<EitherBody<B>>, actix_web::Error>;

/// Passes a request to its handler or rejects it. Without a web configuration all requests pass.
pub(in super::super) async fn guard<B: MessageBody>(
    config: Option<Arc<WebConfig>>,
    request: ServiceRequest,
    next: Next<B>,
) -> Guarded<B> {
    let Some(config) = config else {
        connection::allow_idling();
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    // The problem was logged when the file changed.
    let Ok(settings) = config.settings() else { return reject(request, StatusCode::INTERNAL_SERVER_ERROR) };
    if config.limiter.as_ref().is_some_and(|limiter| !limiter.admits(&())) {
        return reject(request, StatusCode::TOO_MANY_REQUESTS);
    }
    let mut response = match config.passwords.check(&settings.users, &request).await {
        Ok(user) => {
            if let Some(user) = user {
                connection::present_secret();
                request.extensions_mut().insert(Operator(user.into()));
            } else {
                connection::allow_idling();
            }
            next.call(request).await?.map_into_left_body()
        }
        Err(status) => reject(request, status)?,
    };
    for (name, value) in &settings.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}

fn reject<B>(request: ServiceRequest, status: StatusCode) -> Guarded<B> {
    let mut response = text(status, status.canonical_reason().unwrap_or_default());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    }
    Ok(request.into_response(response).map_into_right_body())
}
