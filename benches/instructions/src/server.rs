//! The whole server: a notification from the socket to the disk, and its answer.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use actix_web::rt;
use anyhow::{Context, ensure};
use stream_live_exporter::accept::Secrets;
use stream_live_exporter::http::{
    self, ConnectionLimits, RateLimiter, RequestPolicy, SocketOrigin, Sockets, TrustedProxies, Webhook,
};
use stream_live_exporter::journal::SqliteJournal;
use stream_live_exporter::recorder::{self, Limits};
use stream_live_exporter::telemetry;
use tracing_subscriber::filter::LevelFilter;

use crate::stages::{SECRET, exporter, rules};

/// Maximum number of repetitions.
const REQUESTS: usize = 1000;
const RECORDED: &[u8] = br#"{"outcome":"recorded"}"#;

/// Sends notifications one after the other over one connection. Returns the number of requests.
pub fn receive(times: usize) -> anyhow::Result<usize> {
    let folder = tempfile::tempdir()?;
    let _log = telemetry::init(LevelFilter::INFO, telemetry::Format::Json)?;
    let limits = Limits {
        rules: rules(),
        retention: Duration::from_secs(86_400),
        forget_after: Duration::ZERO,
        accounts: BTreeMap::new(),
        configured: BTreeMap::new(),
        secrets: ["new".to_owned()].into(),
    };
    let exporter = Arc::new(exporter());
    let recorder = recorder::start(SqliteJournal::open(folder.path())?, limits, 1024, exporter.clone())?;
    recorder.restored.blocking_recv().context("the recorder stopped before the journal was restored")?;
    let policy = RequestPolicy {
        secrets: Secrets::new([("new", SECRET)]),
        max_body_size: 65_536,
        body_timeout: Duration::from_secs(600),
        wrong_secrets: RateLimiter::per_minute(10).into(),
        trusted_proxies: TrustedProxies::default(),
    };
    let webhook = Arc::new(Webhook::new("/webhook".into(), policy, recorder.handle, exporter, Arc::default()));
    let limits = ConnectionLimits { total: 8, per_peer: 8, idle_timeout: Duration::from_secs(600) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (ended_tx, ended_rx) = channel();
    thread::spawn(move || {
        let sockets = Sockets { listeners: vec![listener], origin: SocketOrigin::Own };
        let serve = async {
            let _running = http::serve_public(sockets, limits, None, webhook)?.start();
            pending::<io::Result<()>>().await
        };
        ended_tx.send(rt::System::new().block_on(serve))
    });
    let requests: Vec<String> = (0..REQUESTS).map(request).collect();
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    for request in &requests[..times] {
        connection.write_all(request.as_bytes())?;
        let mut answer = [0; 512];
        let size = connection.read(&mut answer)?;
        ensure!(answer[..size].ends_with(RECORDED), "{}", String::from_utf8_lossy(&answer[..size]));
    }
    ensure!(ended_rx.try_recv().is_err(), "the server has stopped");
    Ok(times)
}

/// A request as Cloudflare sends it. Each number is another event.
fn request(number: usize) -> String {
    let body = String::from_utf8_lossy(crate::DISCONNECTED).replace("41.855717910Z", &format!("41.8557{number:05}Z"));
    let length = body.len();
    format!(
        "POST /webhook HTTP/1.1\r\nhost: exporter.example.com\r\nuser-agent: Go-http-client/1.1\r\n\
         content-type: application/json\r\ncf-webhook-auth: {SECRET}\r\naccept-encoding: gzip\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}
