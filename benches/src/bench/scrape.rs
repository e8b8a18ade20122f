//! Requests to `/metrics` and other pages.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// Request header that asks for compression.
pub const GZIP: &str = "accept-encoding: gzip\r\n";

/// Time until the last byte of a response, and its size.
pub struct Timing {
    pub millis: f64,
    pub bytes: usize,
}

/// Sends a request on a new connection and discards the response.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> anyhow::Result<Timing> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n").as_bytes(),
    )?;
    let mut part = vec![0; 256 << 10];
    let mut bytes = stream.read(&mut part)?;
    ensure!(part.starts_with(b"HTTP/1.1 200"), "not 200: {}", String::from_utf8_lossy(&part[..bytes.min(200)]));
    loop {
        match stream.read(&mut part)? {
            0 => break,
            length => bytes += length,
        }
    }
    Ok(Timing { millis: began.elapsed().as_secs_f64() * 1e3, bytes })
}

pub fn metrics(address: SocketAddr) -> anyhow::Result<Timing> {
    get(address, "/metrics", "")
}

/// The text of `/metrics`.
pub fn text(address: SocketAddr) -> anyhow::Result<String> {
    body(&format!("http://{address}/metrics"))
}

/// The body of a page.
pub fn body(url: &str) -> anyhow::Result<String> {
    let mut response = agent().get(url).call()?;
    Ok(response.body_mut().with_config().limit(u64::MAX).read_to_string()?)
}

/// Value of a sample; `sample` is its name with the labels as written.
pub fn value(text: &str, sample: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {sample}"))?.parse()?)
}

/// Number of series of one input.
pub fn series_per_input(text: &str) -> usize {
    let id = text.split_once("{input_id=\"").map_or("", |(_, rest)| &rest[..32.min(rest.len())]);
    text.lines().filter(|line| line.contains(id)).count()
}

/// Pushes the samples of each input to its group of a Pushgateway.
pub fn push(address: SocketAddr, exposition: &str) -> anyhow::Result<()> {
    let mut groups: BTreeMap<&str, String> = BTreeMap::new();
    for line in exposition.lines() {
        let Some((name, rest)) = line.split_once("{input_id=\"") else { continue };
        let (id, rest) = rest.split_once('"').context("unterminated input id")?;
        let group = groups.entry(id).or_default();
        let header = format!("# TYPE {name} {}\n", if name.ends_with("_total") { "counter" } else { "gauge" });
        if !group.contains(&header) {
            group.push_str(&header);
        }
        let rest = rest.strip_prefix(',').unwrap_or(rest);
        let opening = if rest.starts_with('}') { "" } else { "{" };
        *group += &format!("{name}{opening}{}\n", rest.strip_prefix('}').unwrap_or(rest));
    }
    let agent = agent();
    for (id, body) in groups {
        agent.put(format!("http://{address}/metrics/job/stream/input_id/{id}")).send(&body)?;
    }
    Ok(())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().proxy(None).build().into()
}
