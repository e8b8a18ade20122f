//! Tests with a real server.

mod connecting;
mod preparing;

use std::future::Future;
use std::path::PathBuf;

use super::cluster::Cluster;
use super::server::Server;

/// The cluster's server, with its password.
fn server(cluster: &Cluster, url: &str) -> Server {
    server_with(url, Some(cluster.password_file()))
}

fn server_with(url: &str, password_file: Option<PathBuf>) -> Server {
    Server::new(url.parse().unwrap(), password_file, "stream_live_exporter".parse().unwrap())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
