//! Reference servers: the minimum that each kind of server can do.
//!
//! | | |
//! |---|---|
//! | `raw` | one thread with epoll answers every request with the same bytes: the cheapest server |
//! | `bare` | an actix handler that reads and discards the body |
//! | `preencoded FILE` | actix serves the bytes of a file from memory |
//! | `prometheus FILE` | the same samples as metrics of the `prometheus` crate, encoded by its `TextEncoder` |
//!
//! All listen on 127.0.0.1, port `PORT`.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, rt};
use anyhow::{Context, bail};
use prometheus::{CounterVec, Encoder, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["raw"] => raw(port),
        ["bare"] => bare(port),
        ["preencoded", file] => preencoded(port, fs::read(file)?.into()),
        ["prometheus", file] => prometheus(port, &fs::read_to_string(file)?),
        _ => bail!("usage: PORT=NUMBER reference raw | bare | preencoded FILE | prometheus FILE"),
    }
}

fn raw(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(0), EventFlags::IN)?;
    let mut connections: HashMap<u64, (TcpStream, Vec<u8>)> = HashMap::new();
    let (mut events, mut accepted) = (Vec::with_capacity(1024), 0);
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let number = event.data.u64();
            if number == 0 {
                accepted += 1;
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                epoll::add(&poll, &stream, EventData::new_u64(accepted), EventFlags::IN)?;
                connections.insert(accepted, (stream, Vec::new()));
            } else if let Some((stream, request)) = connections.get_mut(&number)
                && !answer(stream, request)?
            {
                connections.remove(&number);
            }
        }
    }
}

/// Reads available bytes and responds to a complete request. Returns whether the connection stays open.
fn answer(stream: &mut TcpStream, request: &mut Vec<u8>) -> anyhow::Result<bool> {
    let mut part = [0; 4096];
    match stream.read(&mut part) {
        Ok(0) => return Ok(false),
        Ok(length) => request.extend_from_slice(&part[..length]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
        Err(_) => return Ok(false),
    }
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Request::new(&mut headers);
    if let httparse::Status::Complete(length) = head.parse(request)? {
        let content_length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body = content_length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        if request.len() >= length + body.unwrap_or(0) {
            request.clear();
            stream.write_all(RESPONSE)?;
        }
    }
    Ok(true)
}

fn bare(port: u16) -> anyhow::Result<()> {
    let app = || App::new().route("/webhook", web::post().to(async |_body: Bytes| HttpResponse::Ok().finish()));
    // With many connections at a low rate, some are idle for long.
    let server = HttpServer::new(app).keep_alive(Duration::from_secs(600));
    Ok(rt::System::new().block_on(server.bind(("127.0.0.1", port))?.run())?)
}

fn preencoded(port: u16, exposition: Bytes) -> anyhow::Result<()> {
    let serve = async |exposition: Data<Bytes>| {
        HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(Bytes::clone(&exposition))
    };
    let exposition = Data::new(exposition);
    let app = move || App::new().app_data(exposition.clone()).route("/metrics", web::get().to(serve));
    Ok(rt::System::new().block_on(HttpServer::new(app).bind(("127.0.0.1", port))?.run())?)
}

fn prometheus(port: u16, exposition: &str) -> anyhow::Result<()> {
    let registry = Data::new(registered(exposition)?);
    let serve = async |registry: Data<Registry>| {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&registry.gather(), &mut text) {
            Ok(()) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
            Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
        }
    };
    let app = move || App::new().app_data(registry.clone()).route("/metrics", web::get().to(serve));
    Ok(rt::System::new().block_on(HttpServer::new(app).bind(("127.0.0.1", port))?.run())?)
}

enum Metrics {
    IntCounter(IntCounterVec),
    Counter(CounterVec),
    IntGauge(IntGaugeVec),
    Gauge(GaugeVec),
}

/// Registers the samples of the inputs as metrics.
fn registered(exposition: &str) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    let mut families: HashMap<&str, Metrics> = HashMap::new();
    for line in exposition.lines().filter(|line| line.contains("{input_id=\"")) {
        let (name, labels, value) = sample(line).with_context(|| format!("not a sample: {line}"))?;
        if !families.contains_key(name) {
            let (opts, names): (_, Vec<_>) = (Opts::new(name, name), labels.iter().map(|(name, _)| *name).collect());
            let metrics = match (name.ends_with("_total"), name.contains("_seconds")) {
                (true, false) => Metrics::IntCounter(register(&registry, IntCounterVec::new(opts, &names)?)?),
                (true, true) => Metrics::Counter(register(&registry, CounterVec::new(opts, &names)?)?),
                (false, false) => Metrics::IntGauge(register(&registry, IntGaugeVec::new(opts, &names)?)?),
                (false, true) => Metrics::Gauge(register(&registry, GaugeVec::new(opts, &names)?)?),
            };
            families.insert(name, metrics);
        }
        let values: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
        match &families[name] {
            Metrics::IntCounter(counters) => counters.with_label_values(&values).inc_by(value.parse()?),
            Metrics::Counter(counters) => counters.with_label_values(&values).inc_by(value.parse()?),
            Metrics::IntGauge(gauges) => gauges.with_label_values(&values).set(value.parse()?),
            Metrics::Gauge(gauges) => gauges.with_label_values(&values).set(value.parse()?),
        }
    }
    Ok(registry)
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metrics: C) -> anyhow::Result<C> {
    registry.register(Box::new(metrics.clone()))?;
    Ok(metrics)
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Name, labels and value of a line. Label values must have no escapes.
fn sample(line: &str) -> Option<(&str, Labels<'_>, &str)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let labels = labels.split(',').map(|label| label.split_once('='));
    let labels: Option<Labels<'_>> =
        labels.map(|label| label.map(|(name, value)| (name, value.trim_matches('"')))).collect();
    Some((name, labels?, value))
}
