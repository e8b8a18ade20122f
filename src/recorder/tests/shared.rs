//! The recorder on a shared journal, with a real server. Its loop does not run.

use std::thread;

use super::*;
use crate::clock::Stopwatch;
use crate::event::{AccountId, Corrected, Correction, Record, RecordKind};
use crate::journal::{BatchId, Cluster, Journal, PostgresJournal, Reader, SPOOL_FILE, Server, Spool};
use crate::live::{Evidence, Inventory, LastSeen, Listed};
use crate::schedule::{Configured, Expectation};

const PATIENCE: Duration = Duration::from_secs(30);
const ACCOUNT: AccountId = AccountId::from_bytes([0xac; 16]);

fn server(cluster: &Cluster) -> Server {
    let schema = "stream_live_exporter".parse().unwrap();
    Server::new(cluster.url().parse().unwrap(), Some(cluster.password_file()), schema)
}

/// A replica that has tried to restore the state once.
fn started(cluster: &Cluster, folder: &Path, limits: Limits) -> Recorder {
    let (handle, queue) = prepare(64);
    let state_reader = handle.state_reader().clone();
    let journal = PostgresJournal::open(server(cluster), "test", move || handle.wake()).unwrap();
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let recorder = Recorder::new(Box::new(journal), limits, queue, state_reader, metrics);
    recorder.sharing(Some(Spool::open(folder, 100).unwrap())).unwrap()
}

/// A replica that has the state of the journal.
fn replica(cluster: &Cluster, folder: &Path, limits: Limits) -> Recorder {
    let mut recorder = started(cluster, folder, limits);
    follow_until(&mut recorder, "the journal is restored", is_usable);
    recorder
}

fn is_usable(recorder: &Recorder) -> bool {
    recorder.shared.as_ref().unwrap().is_usable()
}

fn follow_until(recorder: &mut Recorder, what: &str, holds: impl Fn(&Recorder) -> bool) {
    let start = Stopwatch::start();
    while !holds(recorder) {
        assert!(start.elapsed() < PATIENCE, "not seen: {what}");
        _ = recorder.queue.wake_rx.recv_timeout(Duration::from_secs(1));
        recorder.follow_shared();
    }
}

/// Ends the connections of the replica, and refuses new ones.
fn cut_off(cluster: &Cluster, recorder: &mut Recorder) {
    cluster.psql("ALTER ROLE exporter NOLOGIN");
    end_connections(cluster);
    follow_until(recorder, "the journal is away", |recorder| !is_usable(recorder));
}

fn end_connections(cluster: &Cluster) {
    cluster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'exporter'");
}

fn let_in(cluster: &Cluster, recorder: &mut Recorder) {
    cluster.psql("ALTER ROLE exporter LOGIN");
    follow_until(recorder, "the journal is back", is_usable);
}

/// As a failover to a standby that lacks the newest record.
fn lose_newest_record(cluster: &Cluster) {
    cluster.psql(
        "UPDATE stream_live_exporter.head SET position = position - 1, batch_id = (SELECT id \
             FROM stream_live_exporter.batches WHERE batches.position = head.position - 1); \
         DELETE FROM stream_live_exporter.records WHERE position > (SELECT position FROM stream_live_exporter.head); \
         DELETE FROM stream_live_exporter.batches WHERE position > (SELECT position FROM stream_live_exporter.head)",
    );
}

fn deliver(recorder: &mut Recorder, notification: Notification) -> Option<Outcome> {
    let (answer, mut answered) = oneshot::channel();
    recorder.record_deliveries(vec![(delivery(notification), answer)]);
    answered.try_recv().unwrap()
}

/// What a scrape of the replica shows.
fn scrape_of(recorder: &mut Recorder) -> View {
    recorder.state_reader.published.lock().request_scrape();
    recorder.follow_shared();
    recorder.state_reader.published.scrape(clock::now(), clock::wall()).unwrap()
}

fn input_id(input: u8) -> InputId {
    InputId::from_bytes([input; 16])
}

fn evidence(state: &State, input: u8) -> Option<Evidence> {
    state.known_input(&input_id(input))?.input.evidence()
}

fn is_connected(state: &State, input: u8) -> Option<bool> {
    evidence(state, input).map(|evidence| evidence.connected)
}

#[test]
fn replica_with_a_spool_that_is_far_behind_catches_up() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    cut_off(&cluster, &mut recorder);
    assert_eq!(deliver(&mut recorder, event(1, EventKind::Connected, 0)), Some(Outcome::Recorded));
    let before = recorder.journal.last_position();
    cluster.psql(
        "INSERT INTO stream_live_exporter.records \
             (position, recorded_at, shown_until, received_at, updated_at, input_id, kind) \
         SELECT position + n, recorded_until, time, recorded_until, recorded_until + n, repeat('2', 32), 'errored' \
         FROM stream_live_exporter.head, generate_series(1, 25000) AS n; \
         UPDATE stream_live_exporter.head SET position = position + 25000, batch_id = gen_random_uuid(); \
         INSERT INTO stream_live_exporter.batches SELECT batch_id, position FROM stream_live_exporter.head",
    );
    let_in(&cluster, &mut recorder);
    follow_until(&mut recorder, "the spool is empty", |recorder| !recorder.shared.as_ref().unwrap().has_spooled());
    assert_eq!(recorder.journal.last_position(), before + 25_001);
    assert_eq!(is_connected(&scrape_of(&mut recorder).state, 1), Some(true));
}

#[test]
fn events_that_no_scrape_has_shown_are_shown_while_the_journal_is_away() {
    let Some(mut cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    assert_eq!(deliver(&mut recorder, event(1, EventKind::Connected, 50)), Some(Outcome::Recorded));
    let shown = scrape_of(&mut recorder);
    assert_eq!(deliver(&mut recorder, event(1, EventKind::Disconnected, 0)), Some(Outcome::Recorded));
    cluster.kill();
    follow_until(&mut recorder, "the journal is away", |recorder| !is_usable(recorder));
    let away = scrape_of(&mut recorder);
    assert_eq!(is_connected(away.gauge_state(), 1), Some(false));
    assert_eq!((is_connected(&away.state, 1), away.as_of), (Some(true), shown.as_of), "counters stand still");
    assert_eq!(deliver(&mut recorder, Notification::Test), Some(Outcome::Test));
    assert!(scrape_of(&mut recorder).gauge_state().last_seen().last_test.is_some());
}

#[test]
fn scrape_shows_records_that_a_failed_batch_has_read() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    deliver(&mut recorder, event(1, EventKind::Connected, 50));
    let mut other = PostgresJournal::open(server(&cluster), "other", || {}).unwrap();
    other.replay(0, &mut drop).unwrap();
    cluster
        .psql("ALTER TABLE stream_live_exporter.records ADD CONSTRAINT refused CHECK (kind <> 'correction') NOT VALID");
    let mut append = other.begin(BatchId::random()).unwrap();
    let tail = append.tail().unwrap();
    let Notification::Event(event) = event(1, EventKind::Disconnected, 0) else { unreachable!() };
    let (recorded_at, shown_until) = (tail.now.unwrap(), tail.shown_until);
    let mut record = Record { recorded_at, shown_until, ..Record::new(RecordKind::Event(event, None)) };
    append.records(&mut [&mut record].into_iter()).unwrap();
    let correction =
        Correction { input_id: input_id(1), to: Corrected::Connected, at: clock::now(), user: None, reason: None };
    let (answer, mut answered) = oneshot::channel();
    thread::scope(|scope| {
        scope.spawn(|| recorder.correct(correction, answer));
        // It waits for the head, so it reads this record and fails.
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'exporter'";
        while cluster.psql(waiting) == "0" {}
        append.commit().unwrap();
    });
    assert_eq!(answered.try_recv(), Ok(None), "it was refused");
    follow_until(&mut recorder, "the journal is back", is_usable);
    let view = scrape_of(&mut recorder);
    assert_eq!(view.shared.unwrap().applied_position, record.position);
    assert_eq!(is_connected(&view.state, 1), Some(false));
}

#[test]
fn start_that_fails_in_the_middle_is_completed() {
    let Some(cluster) = Cluster::start() else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    drop(replica(&cluster, folders[0].path(), limits()));
    let configured = Configured { name: "Chapel".into(), expectation: Expectation::Always };
    let configured: BTreeMap<_, _> = [(input_id(1), configured)].into();
    let rules = Rules { max_inputs: 7, ..rules() };
    let limits = Limits { configured, rules: rules.clone(), ..limits() };
    // A read of the documents appends a record, which cannot be read then.
    cluster.psql(
        "SET search_path = stream_live_exporter; \
         CREATE FUNCTION append_record() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$ \
             INSERT INTO stream_live_exporter.records (position, recorded_at, shown_until, kind) \
             SELECT position + 1, recorded_until, time, 'clock_set_back' FROM stream_live_exporter.head; \
             UPDATE stream_live_exporter.head SET position = position + 1, batch_id = gen_random_uuid(); \
             INSERT INTO stream_live_exporter.batches SELECT batch_id, position FROM stream_live_exporter.head; \
             SELECT true $$; \
         ALTER TABLE documents RENAME TO hidden; \
         CREATE VIEW documents AS SELECT name, text FROM hidden UNION ALL SELECT '', '' WHERE NOT append_record(); \
         GRANT SELECT ON documents TO exporter; \
         REVOKE ALL ON batches FROM exporter",
    );
    let mut recorder = started(&cluster, folders[1].path(), limits);
    assert!(!is_usable(&recorder));
    cluster.psql(
        "SET search_path = stream_live_exporter; DROP VIEW documents; ALTER TABLE hidden RENAME TO documents; \
         GRANT ALL ON batches TO exporter",
    );
    follow_until(&mut recorder, "the journal is restored", is_usable);
    let view = scrape_of(&mut recorder);
    assert_eq!((view.state.name(&input_id(1)), view.state.rules()), ("Chapel", &rules));
}

#[test]
fn loss_of_records_is_noticed_without_a_scrape() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    deliver(&mut recorder, event(1, EventKind::Connected, 50));
    deliver(&mut recorder, event(1, EventKind::Disconnected, 0));
    lose_newest_record(&cluster);
    end_connections(&cluster);
    follow_until(&mut recorder, "the loss", |recorder| recorder.shared.as_ref().unwrap().reloads == 1);
    assert_eq!(is_connected(recorder.fold.state(), 1), Some(true));
}

#[test]
fn rules_of_a_reload_while_the_journal_is_away_survive_a_failover_that_loses_records() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    deliver(&mut recorder, event(1, EventKind::Connected, 0));
    cut_off(&cluster, &mut recorder);
    let rules = Rules { max_inputs: 7, ..rules() };
    recorder.adopt(Limits { rules: rules.clone(), ..limits() });
    lose_newest_record(&cluster);
    let_in(&cluster, &mut recorder);
    follow_until(&mut recorder, "the loss", |recorder| recorder.shared.as_ref().unwrap().reloads == 1);
    assert_ne!(recorder.fold.state().rules(), &rules);
    recorder.run_due_task();
    assert_eq!(recorder.fold.state().rules(), &rules);
}

#[test]
fn replica_is_ready_again_when_the_journal_is_back_after_its_spool_failed() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    cut_off(&cluster, &mut recorder);
    assert_eq!(recorder.state_reader.readiness.failing(), None);
    let blocker = rusqlite::Connection::open(folder.path().join(SPOOL_FILE)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(deliver(&mut recorder, event(1, EventKind::Connected, 0)), None);
    assert!(recorder.state_reader.readiness.failing().unwrap().contains("another program holds the database"));
    let_in(&cluster, &mut recorder);
    assert_eq!(recorder.state_reader.readiness.failing(), None);
}

#[test]
fn records_expire_by_the_clock_of_the_database() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    let a_year_ago = clock::now().minus(Duration::from_secs(365 * 86_400));
    recorder.shared.as_mut().unwrap().clock = Some((a_year_ago, Stopwatch::start()));
    let horizon = recorder.expiry_horizon();
    assert!(horizon < a_year_ago, "{horizon}");
}

#[test]
fn documents_of_accounts_that_are_not_configured_are_not_shown() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let accounts = [(ACCOUNT, "main".into())].into();
    let mut recorder = replica(&cluster, folder.path(), Limits { accounts, ..limits() });
    let mut sql = String::new();
    for (input, account_id) in [(1, AccountId::from_bytes([0xad; 16])), (2, ACCOUNT)] {
        let inputs = [(input_id(input), Listed { name: "".into(), enabled: None })].into();
        let text = serde_json::to_string(&Inventory { account_id, inputs }).unwrap();
        let name = documents::inventory_name(&account_id);
        sql += &format!("INSERT INTO stream_live_exporter.documents VALUES ('{name}', '{text}');");
    }
    cluster.psql(&format!("{sql} UPDATE stream_live_exporter.head SET documents = documents + 1"));
    let lists = |recorder: &Recorder, input| recorder.fold.state().known_input(&input_id(input)).is_some();
    follow_until(&mut recorder, "the inventory", |recorder| lists(recorder, 2));
    assert!(!lists(&recorder, 1));
}

#[test]
fn last_use_of_a_secret_that_is_not_configured_is_dropped() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = replica(&cluster, folder.path(), limits());
    let mut others = LastSeen::default();
    for secret in ["default", "removed"] {
        others.record(clock::now(), Some(secret), false);
    }
    let others = serde_json::to_string(&others).unwrap();
    cluster.psql(&format!("UPDATE stream_live_exporter.head SET last_seen = '{others}'"));
    let secrets = |view: &View| view.state.last_seen().by_secret.keys().cloned().collect::<Vec<_>>();
    assert_eq!(secrets(&scrape_of(&mut recorder)), ["default"]);
    deliver(&mut recorder, Notification::Test);
    assert_eq!(secrets(&scrape_of(&mut recorder)), ["default"]);
    assert!(!cluster.psql("SELECT last_seen FROM stream_live_exporter.head").contains("removed"));
}
