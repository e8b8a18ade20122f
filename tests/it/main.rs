//! The whole program through its ports: the real binary, on ports of its own choosing, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "shown with the test that fails")]

mod daemon;
mod connection;
mod smoke;
mod webhook;
mod canary;
mod connections;
mod framing;
mod slow_clients;
mod tls;
mod authority;
mod web_config;
mod web_clients;
mod private;
mod reload;
mod expected;
mod durability;
mod commands;
mod exposition;
mod prometheus;
mod alertmanager;
mod history;
mod journal;
mod unwritable;
mod faults;
mod structure;
mod markdown;
mod documents;
mod dashboards;
mod thresholds;
mod tools;
