//! Shares of the causes and peers, and suppressed warnings.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const WRONG: Cause = ("secret", Some("wrong"));
const MISSING: Cause = ("secret", Some("missing"));

fn peer(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + number)))
}

fn rejected(number: i64, (reason, detail): Cause, peer: Option<IpAddr>) -> Rejected {
    let received_at = Timestamp::from_seconds(number);
    Rejected { received_at, status: 401, reason, detail, peer, size: None, advice: "" }
}

/// Pushes these, and returns the times and peers of the list, newest first.
fn listed(pushed: impl IntoIterator<Item = (Cause, Option<IpAddr>)>, limit: usize) -> Vec<(i64, Option<IpAddr>)> {
    let mut newest = Newest::default();
    for (number, (cause, peer)) in (1..).zip(pushed) {
        newest.push(rejected(number, cause, peer));
    }
    let seconds = |at: Timestamp| at.as_millis() / 1000;
    newest.list(limit).into_iter().map(|rejected| (seconds(rejected.received_at), rejected.peer)).collect()
}

#[test]
fn flood_of_one_peer_displaces_only_its_own_entries() {
    let others = (1..=5).map(|other| (WRONG, peer(other)));
    let flood = (0..1000).map(|_| (WRONG, peer(0)));
    let listed = listed(others.chain(flood), usize::MAX);
    assert_eq!(listed.len(), KEPT_PER_CAUSE);
    let (of_flood, of_others) = listed.split_at(KEPT_PER_CAUSE - 5);
    assert_eq!(of_flood.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (991..=1005).rev().collect::<Vec<_>>());
    assert_eq!(of_others, [5, 4, 3, 2, 1].map(|other| (i64::from(other), peer(other))));
}

#[test]
fn flood_of_many_peers_displaces_no_other_cause() {
    let flood = (0..1000).map(|stranger| (MISSING, peer(stranger)));
    let listed = listed([(WRONG, peer(1))].into_iter().chain(flood), usize::MAX);
    assert_eq!(listed.len(), KEPT_PER_CAUSE + 1);
    assert_eq!(listed.last(), Some(&(1, peer(1))));
    assert_eq!(listed.first(), Some(&(1001, peer(999))));
}

#[test]
fn addresses_of_one_ipv6_network_are_one_peer() {
    let address = |low: u128| Some(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + low)));
    let flood = (0..1000).map(|low| (WRONG, address(low)));
    let listed = listed([(WRONG, peer(1))].into_iter().chain(flood), usize::MAX);
    assert_eq!(listed.last(), Some(&(1, peer(1))));
}

#[test]
fn list_is_limited_per_cause() {
    let pushed = [(WRONG, peer(1)), (WRONG, peer(1)), (MISSING, peer(1)), (WRONG, peer(2))];
    assert_eq!(listed(pushed, 1), [(4, peer(2)), (3, peer(1))]);
}

/// For each time in seconds, cause and peer: the number of suppressed warnings, or `None` if the warning is suppressed.
fn check(requests: &[(u64, Cause, u32, Option<u64>)]) {
    let mut warnings = Warnings::default();
    for (second, cause, from, expected) in requests {
        let due = warnings.due(Duration::from_secs(*second), *cause, peer(*from));
        assert_eq!(due, *expected, "{second} s: {cause:?} from {from}");
    }
}

#[test]
fn one_warning_per_cause_and_peer_and_minute_counts_the_suppressed_ones() {
    check(&[
        (5, WRONG, 1, Some(0)),
        (6, WRONG, 1, None),
        (7, WRONG, 2, Some(0)),
        (8, MISSING, 1, Some(0)),
        (9, WRONG, 1, None),
        (64, WRONG, 1, None),
        (65, WRONG, 1, Some(3)),
        (66, WRONG, 1, None),
        (900, WRONG, 1, Some(1)),
        (901, WRONG, 2, Some(0)),
    ]);
}

#[test]
fn many_peers_get_a_limited_number_of_warnings_and_do_not_suppress_those_of_other_causes() {
    let mut warnings = Warnings::default();
    let mut warned = |second: u64, cause: Cause, peers: std::ops::Range<u32>| {
        let due = |from: &u32| warnings.due(Duration::from_secs(second), cause, peer(*from)).is_some();
        peers.filter(due).count()
    };
    assert_eq!(warned(1, WRONG, 0..10_000), 20);
    assert_eq!(warned(59, WRONG, 10_000..20_000), 0);
    assert_eq!(warned(59, MISSING, 0..10), 10);
    assert_eq!(warned(61, WRONG, 20_000..30_000), 20);
    assert_eq!(warnings.0[&WRONG].by_peer.len(), PEERS_PER_CAUSE.get());
}
