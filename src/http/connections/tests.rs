//! Which connection gives way to a newcomer.

use std::net::Ipv4Addr;

use futures_util::FutureExt;

use super::*;
use crate::event::Timestamp;

const NAME: ListenerName = ListenerName { label: "webhook", advice: "" };

fn connections(total: usize, per_peer: usize) -> Arc<Connections> {
    let limits = ConnectionLimits { total, per_peer, idle_timeout: Duration::from_secs(75) };
    let metrics = Arc::new(Exporter::new(Timestamp::from_seconds(0), false));
    Connections::new(NAME, limits, metrics, |address| address == peer(99))
}

fn peer(number: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, number).into()
}

/// Connections that were admitted one after the other, each with a distinct time.
struct Opened(Vec<Option<Permit>>);

impl Opened {
    fn new(connections: &Arc<Connections>, peers: &[u8]) -> Self {
        let mut opened = Self(Vec::new());
        for number in peers {
            opened.open(connections, *number);
        }
        opened
    }

    /// Opens a connection of this peer; returns the indexes of those that are evicted now.
    fn open(&mut self, connections: &Arc<Connections>, number: u8) -> Vec<usize> {
        self.0.push(connections.admit(peer(number)));
        let evicted = |permit: &Permit| permit.evicted().now_or_never().is_some();
        let indexes: Vec<_> = (0..self.0.len()).filter(|index| self.0[*index].as_ref().is_some_and(evicted)).collect();
        for index in &indexes {
            self.0[*index] = None;
        }
        // The times of two connections differ.
        let now = connections.now();
        while connections.now() == now {}
        indexes
    }

    fn permit(&self, index: usize) -> &Permit {
        self.0[index].as_ref().expect("it was admitted and not evicted")
    }

    fn was_admitted(&self, index: usize) -> bool {
        self.0[index].is_some()
    }
}

fn refused(connections: &Connections, reason: &str) -> u64 {
    connections.metrics.connections_refused.with_label_values(&["webhook", reason]).get()
}

fn open(connections: &Connections) -> f64 {
    connections.metrics.connections.with_label_values(&["webhook"]).get()
}

#[test]
fn newcomer_at_the_limit_per_peer_replaces_the_longest_idle_connection_of_its_peer() {
    let connections = connections(9, 3);
    let mut opened = Opened::new(&connections, &[2, 1, 1, 1]);
    opened.permit(1).touch();
    assert_eq!(opened.open(&connections, 1), [2]);
    assert_eq!(opened.open(&connections, 1), [3]);
    assert_eq!((refused(&connections, "evicted"), open(&connections)), (2, 4.0));
}

#[test]
fn newcomer_at_the_total_limit_replaces_a_connection_of_the_peer_with_most_of_them() {
    let connections = connections(6, 4);
    let mut opened = Opened::new(&connections, &[1, 2, 2, 3, 3, 3]);
    assert_eq!(opened.open(&connections, 4), [3]);
    // Two peers have two each: the longest idle connection of both goes.
    assert_eq!(opened.open(&connections, 4), [1]);
    assert_eq!((refused(&connections, "evicted"), open(&connections)), (2, 6.0));
}

#[test]
fn connection_with_a_valid_secret_is_not_evicted() {
    let connections = connections(4, 3);
    let mut opened = Opened::new(&connections, &[1, 1, 2, 2]);
    for index in [0, 1, 2] {
        opened.permit(index).present_secret();
    }
    assert_eq!(opened.open(&connections, 3), [3]);
    assert_eq!(opened.open(&connections, 4), [4]);
    opened.permit(5).present_secret();
    assert_eq!(opened.open(&connections, 5), [0; 0]);
    assert!(!opened.was_admitted(6));
    assert_eq!((refused(&connections, "total"), refused(&connections, "peer")), (1, 0));
    drop(opened);
    assert_eq!(open(&connections), 0.0);
}

#[test]
fn peer_whose_connections_all_have_a_valid_secret_is_refused_at_its_limit() {
    let connections = connections(9, 2);
    let mut opened = Opened::new(&connections, &[1, 1]);
    opened.permit(0).present_secret();
    opened.permit(1).present_secret();
    assert_eq!(opened.open(&connections, 1), [0; 0]);
    assert!(!opened.was_admitted(2));
    assert_eq!(refused(&connections, "peer"), 1);
}

#[test]
fn burst_of_a_peer_that_has_presented_a_secret_weighs_less_than_a_flood() {
    let connections = connections(12, 12);
    let mut opened = Opened::new(&connections, &[1]);
    opened.permit(0).present_secret();
    // Two connections of a stranger and nine of the peer with the secret.
    for number in [2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1] {
        opened.open(&connections, number);
    }
    assert_eq!(opened.open(&connections, 3), [1], "both weigh 2, and the stranger's has been idle longer");
    assert_eq!(opened.open(&connections, 4), [3], "nine weigh 2, and one weighs 1");
    assert_eq!(opened.open(&connections, 5), [2], "all weigh 1");
}

#[test]
fn trusted_proxy_has_no_limit_of_its_own() {
    let connections = connections(4, 1);
    let mut opened = Opened::new(&connections, &[99, 99, 99]);
    assert_eq!(opened.open(&connections, 1), [0; 0]);
    assert_eq!(opened.open(&connections, 2), [0], "all weigh 1");
}

#[test]
fn closed_and_evicted_connections_free_their_places_once() {
    let connections = connections(3, 3);
    let mut opened = Opened::new(&connections, &[1, 1, 1]);
    assert_eq!(opened.open(&connections, 2), [0]);
    drop(opened);
    assert_eq!(open(&connections), 0.0);
    assert!(connections.table().peers.is_empty());
    let opened = Opened::new(&connections, &[1, 1, 1]);
    assert!((0..3).all(|index| opened.was_admitted(index)));
    assert_eq!(refused(&connections, "evicted"), 1);
}
