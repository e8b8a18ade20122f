//! One request and its response, around the app of a listener: what actix does not do for HTTP itself.
//!
//! - The connection's deadline follows the phases of the exchange.
//! - No request is processed that was pipelined behind one that ends the connection, or whose body was not read.
//! - `100 Continue` is sent only if the app reads the body. Otherwise the final response comes at once.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::Request;
use actix_service::boxed::{self, BoxServiceFactory};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{AppConfig, RequestHead, Response, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::web::Bytes;
use rustls::pki_types::CertificateDer;

use super::connection::{self, WaitsFor};
use super::request_body::RequestBody;
use super::web_config::Operator;

/// What a listener knows about its clients.
pub(super) trait Access: Send + Sync + 'static {
    /// Whether the body of a request with this head is read. If not, the response comes without `100 Continue`.
    fn reads_body(&self, head: &RequestHead) -> bool;

    /// The owner of the certificate that a client has presented; `None` if it was not verified.
    fn owner(&self, _presented: &[CertificateDer<'_>]) -> Option<Operator> {
        None
    }
}

/// The response, whose body reports when it has been written.
pub(super) type Answer = Response<Tracked>;

/// The app of a listener with everything that this module adds.
pub(super) type Exchanges = BoxServiceFactory<(), Request, Answer, Response<BoxBody>, ()>;

/// Decides whether a request with `Expect: 100-continue` continues.
pub(super) type Expectations = BoxServiceFactory<(), Request, Request, Response<BoxBody>, ()>;

/// Surrounds the app of a listener.
pub(super) fn exchanges<I, S, B>(app: I) -> Exchanges
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError: Debug,
            Service: Service<Request, Future: 'static>,
        > + 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory().map_err(|error: actix_web::Error| Response::from(error.error_response()));
    let app = map_config(app, |()| AppConfig::default()).map_init_err(drop);
    boxed::factory(apply_fn_factory(app, |mut request: Request, app| {
        connection::now_waits(WaitsFor::Handler);
        let keep_alive = request.head().connection_type() != ConnectionType::Close;
        let body = RequestBody::of(&mut request);
        let response = app.call(request);
        async move {
            let response = match response.await {
                Ok(response) => Response::from(response).map_into_boxed_body(),
                Err(response) => response,
            };
            Ok(finish(response, keep_alive, body).await)
        }
    }))
}

async fn finish(mut response: Response<BoxBody>, keep_alive: bool, mut body: Option<RequestBody>) -> Answer {
    // Without the end of the body it is unknown where the next request begins.
    let ends = match &mut body {
        Some(body) => !body.has_ended().await,
        None => false,
    };
    if ends || !keep_alive || connection::is_draining() || response.head().connection_type() == ConnectionType::Close {
        response.head_mut().set_connection_type(ConnectionType::Close);
        connection::close_after_response().await;
    }
    connection::now_waits(WaitsFor::Reader);
    response.map_body(|_, response| Tracked { response, _request: body })
}

/// If the body of a request with `Expect: 100-continue` is not read, the app answers the request at once.
pub(super) fn expectations(exchanges: Exchanges, access: Arc<dyn Access>) -> Expectations {
    boxed::factory(apply_fn_factory(exchanges, move |request: Request, exchanges| {
        let answer = if access.reads_body(request.head()) { Ok(request) } else { Err(exchanges.call(request)) };
        async move {
            match answer {
                Ok(request) => Ok(request),
                Err(answer) => Err(answer.await.map_or_else(|error| error, Response::map_into_boxed_body)),
            }
        }
    }))
}

/// A response body. When it is dropped, it has been written or the connection has ended.
pub(super) struct Tracked {
    response: BoxBody,
    /// If it was not read, actix closes the connection after the response instead of waiting for the rest of it.
    _request: Option<RequestBody>,
}

impl MessageBody for Tracked {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.response.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.response.as_pin_mut().poll_next(cx)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        connection::now_waits(WaitsFor::Request);
    }
}
