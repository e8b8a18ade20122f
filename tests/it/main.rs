//! Integration tests: the real binary on loopback, on ports that the system chooses.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]
#![expect(clippy::print_stderr, reason = "shown if the test fails")]

mod daemon;
#[path = "../../src/metrics/tests/parser.rs"]
mod parser;
mod connection;
mod smoke;
mod webhook;
mod unused_deliveries;
mod methods;
mod canary;
mod connections;
mod framing;
mod slow_clients;
mod flood;
mod slow_readers;
mod memory;
mod page;
mod page_actions;
mod page_input;
mod pipelining;
mod dual_stack;
mod tls;
mod authority;
mod web_config;
mod web_clients;
mod postgres;
mod private;
mod page_updates;
mod corrections;
mod inputs_command;
mod reload;
mod socket_activation;
mod service_manager;
mod cloudflare;
mod expected;
mod exceptions;
mod durability;
mod order;
mod terminal;
mod commands;
mod secret_command;
mod first_screen;
mod configuration;
mod exposition;
mod prometheus;
mod alertmanager;
mod history;
mod journal;
mod log;
mod migration;
mod backup;
mod private_files;
mod health;
mod unrecognized;
mod unwritable;
mod faults;
mod structure;
mod markdown;
mod documents;
mod documented_commands;
mod repository_links;
mod dashboards;
mod thresholds;
mod tools;
