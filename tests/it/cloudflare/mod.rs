//! Cloudflare's API: the real binary and the mock over HTTP.

mod backfill;
mod bad_days;
mod commands;
mod destination;
mod lost;
mod reload;
mod repair;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use stream_live_exporter::clock;
use stream_live_exporter::event::{AccountId, InputId};
use stream_live_exporter::simulate::cloudflare::{Api, Served, serve};

use crate::daemon::Daemon;

/// The input of the fixtures.
const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
/// What every token of these tests contains.
const TOKEN: &str = "api-token-9f0c1d";
const FAILED: &str = "a request to Cloudflare's API failed; it is repeated";
const RECOVERED: &str = "requests to Cloudflare's API succeed again";
const REQUESTS: &str = "stream_live_exporter_cloudflare_requests_total";
const LAST_SUCCESS: &str = "stream_live_exporter_cloudflare_last_success_timestamp_seconds";

/// The mock of the API over HTTP.
struct Mock {
    api: Arc<Mutex<Api>>,
    served: Served,
}

impl Mock {
    fn start() -> Self {
        let api = Arc::new(Mutex::new(Api::new(1)));
        let served = serve("127.0.0.1:0".parse().unwrap(), api.clone(), clock::now).unwrap();
        Self { api, served }
    }

    fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    fn base_url(&self) -> String {
        self.served.base_url()
    }
}

/// An account of these tests.
fn account_id(number: usize) -> AccountId {
    format!("{number:032x}").parse().unwrap()
}

/// An input of such an account.
fn input_id(number: usize) -> InputId {
    format!("{:032x}", 0xa0_0000 + number).parse().unwrap()
}

/// A daemon with this configuration, and the token `TOKEN` in the file `token`.
fn daemon(folder: &Path, configuration: &str) -> Daemon {
    fs::write(folder.join("token"), TOKEN).unwrap();
    fs::write(folder.join("exporter.toml"), configuration).unwrap();
    Daemon::start_with(folder, ["--config.file=exporter.toml", "--log.level=trace"])
}

/// The section of one account without a name, whose tasks are off unless these keys turn them on.
fn account(base_url: &str, keys: &str) -> String {
    format!("{}account_id = \"{}\"\ntoken_file = \"token\"\n", section(base_url, keys), account_id(1))
}

/// The section without an account.
fn section(base_url: &str, keys: &str) -> String {
    let off = ["inventory", "reconcile", "backfill", "destination"].into_iter();
    let off = off.filter(|task| !keys.contains(&format!("{task} ="))).map(|task| format!("{task} = false\n"));
    format!("[cloudflare]\nbase_url = \"{base_url}\"\n{keys}\n{}", off.collect::<String>())
}

/// The number of requests to an endpoint with this result.
fn requests(daemon: &Daemon, endpoint: &str, result: &str) -> Option<f64> {
    daemon.metric(&format!("{REQUESTS}{{endpoint=\"{endpoint}\",result=\"{result}\"}}"))
}

/// The log lines with this message.
fn logged(daemon: &Daemon, message: &str) -> Vec<Value> {
    daemon.log().into_iter().filter(|line| line["msg"] == message).collect()
}
