//! Connections: hosts, passwords, TLS, warnings and notifications.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use tokio_postgres::error::SqlState;

use super::super::cluster::{Cluster, DATABASE, PASSWORD, USER};
use super::super::error::{Refusal, of_state};
use super::super::server::Server;
use super::{block_on, server, server_with};
use crate::journal::{JournalError, JournalErrorKind};

/// The error of a connection.
fn error(server: &Server) -> JournalError {
    match block_on(server.connect()) {
        Ok(_) => panic!("{server} accepts the connection"),
        Err(error) => error,
    }
}

#[track_caller]
fn assert_refused(server: &Server, is_expected: impl Fn(&Refusal) -> bool) {
    let error = error(server);
    let JournalError::Refused { refusal, .. } = &error else { panic!("{error:?}") };
    assert!(is_expected(refusal), "{refusal:?}");
    assert_eq!(error.kind(), JournalErrorKind::Other);
    assert!(!format!("{error} {error:?}").contains("p4ssword"), "{error:?}");
}

#[test]
fn new_password_in_the_file_is_used_for_the_next_connection() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    block_on(async {
        let session = server.connect().await.unwrap();
        cluster.change_password("second-p4ssword");
        session.client.simple_query("SELECT 1").await.expect("a session keeps its password");
    });
    assert_refused(&server, |refusal| matches!(refusal, Refusal::Login(_)));
    fs::write(cluster.password_file(), "second-p4ssword").unwrap();
    block_on(server.connect()).unwrap();
}

#[test]
fn connection_that_needs_a_person_is_refused() {
    let Some(cluster) = Cluster::start() else { return };
    let url = cluster.url();
    let other = |from: &str, to: &str| server(&cluster, &url.replace(from, to));
    assert_refused(&other(USER, "stranger"), |refusal| matches!(refusal, Refusal::Login(_)));
    assert_refused(&other(DATABASE, "missing"), |refusal| matches!(refusal, Refusal::NoDatabase(_)));
    assert_refused(&other("sslmode=disable", "sslmode=require"), |refusal| matches!(refusal, Refusal::Tls(_)));
    assert_refused(&server_with(&url, None), |refusal| matches!(refusal, Refusal::NoPassword));
    let file = cluster.file("empty");
    fs::write(&file, "").unwrap();
    assert_refused(&server_with(&url, Some(file)), |refusal| matches!(refusal, Refusal::Password(_)));
    let authority = other("sslmode=disable", "sslrootcert=/nonexistent");
    assert_refused(&authority, |refusal| matches!(refusal, Refusal::Certificates(_)));
    cluster.psql(&format!("REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC, {USER}"));
    assert_refused(&server(&cluster, &url), |refusal| matches!(refusal, Refusal::Privilege(_)));
}

#[test]
fn certificate_is_verified_as_the_url_says() {
    let Some(cluster) = Cluster::start_with_tls() else { return };
    let authority = cluster.authority();
    let verified = format!("sslrootcert={}", authority.display());
    let foreign = cluster.file("foreign.crt");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&foreign, certificate.cert.pem()).unwrap();
    let foreign = format!("sslrootcert={}", foreign.display());
    for (name, parameters, is_accepted) in [
        ("localhost", verified.clone(), true),
        ("localhost", format!("{verified}&sslmode=verify-full&channel_binding=require"), true),
        ("127.0.0.1", verified.clone(), false),
        ("127.0.0.1", format!("{verified}&sslmode=verify-ca"), true),
        ("127.0.0.1", format!("{verified}&sslmode=require"), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("localhost", foreign.clone(), false),
        ("localhost", format!("{foreign}&sslmode=verify-ca"), false),
        ("localhost", format!("{foreign}&sslmode=require"), false),
        ("localhost", String::new(), false),
    ] {
        let server = server(&cluster, &cluster.url_with(&parameters).replace("localhost", name));
        if is_accepted {
            let encrypted = block_on(async {
                let session = server.connect().await.unwrap_or_else(|error| panic!("{parameters}: {error:?}"));
                let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                let rows = session.client.query_typed(sql, &[]).await.unwrap();
                rows[0].get::<_, bool>(0)
            });
            assert!(encrypted, "{name}: {parameters}");
        } else {
            assert_refused(&server, |refusal| matches!(refusal, Refusal::Tls(_)));
        }
    }
}

#[test]
fn host_that_can_be_written_is_used() {
    let (Some(mut cluster), Some(read_only)) = (Cluster::start(), Cluster::start()) else { return };
    read_only.psql(&format!("ALTER ROLE {USER} SET default_transaction_read_only = on"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = listener.local_addr().unwrap().port();
    let hosts = format!("localhost:{silent},localhost:{},localhost:{}", read_only.port(), cluster.port());
    let url = format!("postgres://{USER}@{hosts}/{DATABASE}?sslmode=disable");
    let server = server(&cluster, &url);
    block_on(async {
        let session = server.connect().await.unwrap();
        let rows = session.client.query_typed("SELECT current_setting('port')", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, String>(0), cluster.port().to_string());
    });
    cluster.stop();
    assert_eq!(error(&server).kind(), JournalErrorKind::Away);
}

#[test]
fn stopped_server_and_unknown_host_are_away() {
    let Some(mut cluster) = Cluster::start() else { return };
    let unknown = cluster.url().replace("localhost", "host.invalid");
    assert_eq!(error(&server(&cluster, &unknown)).kind(), JournalErrorKind::Away);
    let server = server(&cluster, &cluster.url());
    block_on(async {
        let session = server.connect().await.unwrap();
        cluster.kill();
        let ended = session.client.simple_query("SELECT 1").await.unwrap_err();
        assert_eq!(server.failed("test")(ended).kind(), JournalErrorKind::Away);
    });
    assert_eq!(error(&server).kind(), JournalErrorKind::Away);
    cluster.restart();
    block_on(server.connect()).unwrap();
}

#[test]
fn warnings_are_counted_before_the_answer_and_notices_are_not() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    block_on(async {
        let session = server.connect().await.unwrap();
        let raise = async |level: &str| {
            let sql = format!("DO $$ BEGIN RAISE {level} 'x'; END $$");
            session.client.batch_execute(&sql).await.unwrap();
            session.warnings()
        };
        assert_eq!(raise("NOTICE").await, 0);
        for count in 1..=100 {
            assert_eq!(raise("WARNING").await, count);
        }
    });
}

#[test]
fn connection_has_the_name_of_the_program() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    block_on(async {
        let session = server.connect().await.unwrap();
        let sql = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let rows = session.client.query_typed(sql, &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, String>(0), "stream-live-exporter");
    });
}

#[test]
fn password_list_is_used_without_a_password_file() {
    let Some(cluster) = Cluster::start() else { return };
    let list = super::super::password::PasswordList::of_text(&format!("localhost:*:{DATABASE}:{USER}:{PASSWORD}"));
    let server = server_with(&cluster.url(), None);
    let attempts = server.attempts_with(None, Some(&list)).unwrap();
    block_on(async {
        for attempt in attempts {
            attempt.connect().await.unwrap();
        }
    });
}

#[test]
fn state_says_whether_the_same_may_succeed_later() {
    use JournalErrorKind::{Away, Damaged, Other};
    for (code, kind) in [
        ("08000", Away),
        ("08006", Away),
        ("25006", Away),
        ("25P03", Away),
        ("25P04", Away),
        ("25P02", Other),
        ("40001", Away),
        ("40P01", Away),
        ("53100", Away),
        ("53300", Away),
        ("55P03", Away),
        ("57014", Away),
        ("57P01", Away),
        ("57P03", Away),
        ("58030", Away),
        ("XX001", Damaged),
        ("XX000", Other),
        ("22021", Other),
        ("23505", Other),
        ("28P01", Other),
        ("3D000", Other),
        ("42501", Other),
        ("42P01", Other),
        ("", Other),
    ] {
        assert_eq!(of_state(&SqlState::from_code(code)), kind, "{code}");
    }
}
