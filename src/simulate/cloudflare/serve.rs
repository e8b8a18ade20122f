//! Serves the API over HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::rt::{System, time};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use futures_util::stream::{self, StreamExt as _};
use tokio::task::yield_now;

use super::api::Api;
use super::message::{MockRequest, MockResponse, Transfer};
use crate::event::Timestamp;

/// The API at an address, until it is dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    server: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What each request needs.
struct Shared {
    api: Arc<Mutex<Api>>,
    now: fn() -> Timestamp,
}

/// Serves the API at this address on a thread of its own. Port 0: any free port.
///
/// # Errors
///
/// If the address cannot be bound.
pub fn serve(address: SocketAddr, api: Arc<Mutex<Api>>, now: fn() -> Timestamp) -> io::Result<Served> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let (handles, handle) = mpsc::channel();
    let shared = Data::new(Shared { api, now });
    let thread = thread::Builder::new().name("cloudflare-api".to_owned()).spawn(move || {
        let app = move || App::new().app_data(shared.clone()).default_service(web::to(respond));
        System::new().block_on(async {
            let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0).listen(listener)?.run();
            // The receiver waits for it.
            let _ = handles.send(server.handle());
            server.await
        })
    })?;
    match handle.recv() {
        Ok(server) => Ok(Served { address, server, thread: Some(thread) }),
        Err(_) => Err(join(thread).err().unwrap_or_else(|| io::Error::other("the server ended at its start"))),
    }
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
}

impl Served {
    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for clients.
    pub fn base_url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The command to stop is queued when the method returns; the future only waits for its end.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            // Nothing is left to do about an error at the end.
            let _ = join(thread);
        }
    }
}

async fn respond(request: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    let path = request.uri().to_string();
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let method = request.method().to_string();
    // "Save and Test" waits for another server.
    let response = web::block(move || {
        let request =
            MockRequest { method: &method, path: &path, authorization: authorization.as_deref(), body: &body };
        let mut api = shared.api.lock().unwrap_or_else(PoisonError::into_inner);
        api.respond(&request, (shared.now)())
    });
    match response.await {
        Ok(response) => send(response).await,
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn send(response: MockResponse) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    for header in response.headers {
        builder.insert_header(header);
    }
    let body = match response.transfer {
        Transfer::Complete => response.body.boxed(),
        Transfer::Slow(delay) => {
            time::sleep(delay).await;
            response.body.boxed()
        }
        Transfer::Truncated => truncated(&response.body),
    };
    builder.body(body)
}

/// Announces the whole body and sends half of it.
fn truncated(body: &[u8]) -> BoxBody {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let end = stream::once(async {
        // The first half is sent when the stream has nothing more at the moment.
        yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    });
    SizedStream::new(body.len() as u64, stream::iter([Ok(half)]).chain(end).boxed_local()).boxed()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Fault, Token};
    use super::*;

    #[test]
    fn responses_are_sent_as_they_are() {
        let api = Arc::new(Mutex::new(Api::new(1)));
        api.lock().unwrap().tokens = vec![Token::new("t0ken", [])];
        let served = serve("127.0.0.1:0".parse().unwrap(), api.clone(), || Timestamp::from_seconds(1)).unwrap();
        let url = format!("{}/user/tokens/verify", served.base_url());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().new_agent();
        let get = || agent.get(&url).header("authorization", "Bearer t0ken").call();

        let mut response = get().unwrap();
        let header = |name| response.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(response.status(), 200);
        assert_eq!(header("date"), ["Thu, 01 Jan 1970 00:00:01 GMT"]);
        assert_eq!(header("ratelimit"), ["\"default\";r=1199;t=300"]);
        assert!(response.body_mut().read_to_string().unwrap().contains("\"active\""));

        let inject = |fault| api.lock().unwrap().inject("", fault);
        inject(Fault::Slow(Duration::from_millis(1)));
        assert_eq!(get().unwrap().status(), 200);
        inject(Fault::Redirect("http://127.0.0.1:1/".to_owned()));
        assert_eq!(get().unwrap().status(), 302);
        inject(Fault::Truncated);
        assert!(get().unwrap().body_mut().read_to_string().is_err());
        drop(served);
        assert!(get().is_err());
    }
}
