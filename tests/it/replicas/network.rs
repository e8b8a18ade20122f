//! Network namespaces: one for each replica and each server, and three networks that join them.
//!
//! The test itself has the first address of each network. `tests/replicas` runs it in namespaces of its own, with which
//! all of these end.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the networks are for. A replica can lose one of them and keep the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Notifications, from the sender to the replicas.
    Webhook = 1,
    /// Between replicas, PgBouncer and the servers.
    Database = 2,
    /// Scrapes. It never fails.
    Scrapes = 3,
}

const NETS: [Net; 3] = [Net::Webhook, Net::Database, Net::Scrapes];

/// The networks of one test.
pub struct Network {
    number: u8,
}

/// A namespace with an address in some networks.
#[derive(Debug, Clone)]
pub struct Host {
    network: u8,
    /// The last part of its addresses.
    number: u8,
    name: String,
}

impl Network {
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        for net in NETS {
            let bridge = bridge(number, net);
            ip(&format!("link add {bridge} type bridge forward_delay 0"));
            ip(&format!("addr add {}/24 dev {bridge}", address(number, net, 1)));
            ip(&format!("link set {bridge} up"));
        }
        Self { number }
    }

    /// Adds a namespace.
    pub fn host(&self, number: u8, nets: &[Net]) -> Host {
        let name = format!("n{}h{number}", self.number);
        ip(&format!("netns add {name}"));
        let host = Host { network: self.number, number, name };
        ip(&format!("-n {} link set lo up", host.name));
        for net in nets {
            let (outside, inside) = (host.link(*net), format!("net{}", *net as u8));
            ip(&format!("link add {outside} type veth peer name {inside} netns {}", host.name));
            ip(&format!("link set {outside} master {} up", bridge(self.number, *net)));
            ip(&format!("-n {} addr add {}/24 dev {inside}", host.name, host.address(*net)));
            ip(&format!("-n {} link set {inside} up", host.name));
        }
        host
    }
}

impl Host {
    pub fn address(&self, net: Net) -> String {
        address(self.network, net, self.number)
    }

    /// Cuts the host off from a network, or connects it again. Packets disappear; nothing is refused.
    pub fn set_connected(&self, net: Net, connected: bool) {
        ip(&format!("link set {} {}", self.link(net), if connected { "up" } else { "down" }));
    }

    /// A command that runs in the namespace.
    pub fn command(&self, program: &str) -> Command {
        self.command_as(None, program)
    }

    /// A command that runs in the namespace without the rights of root, which PostgreSQL refuses.
    pub fn unprivileged(&self, user: u32, program: &str) -> Command {
        self.command_as(Some(user), program)
    }

    fn command_as(&self, user: Option<u32>, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name));
        if let Some(user) = user {
            command.args(["--setuid", &user.to_string(), "--setgid", &user.to_string()]);
        }
        command.args(["--", program]);
        command
    }

    /// The end of the link that is outside of the namespace.
    fn link(&self, net: Net) -> String {
        format!("v{}h{}n{}", self.network, self.number, net as u8)
    }
}

/// Whether the tests run in namespaces that they may change: `tests/replicas` says so with a file.
pub fn is_private() -> bool {
    fs::exists("/run/netns/private").is_ok_and(|exists| exists)
}

fn bridge(number: u8, net: Net) -> String {
    format!("br{number}n{}", net as u8)
}

fn address(number: u8, net: Net, host: u8) -> String {
    format!("10.{number}.{}.{host}", net as u8)
}

fn ip(arguments: &str) {
    let ended = Command::new("ip").args(arguments.split(' ')).output().expect("ip runs");
    assert!(ended.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ended.stderr));
}
