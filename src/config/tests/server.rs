//! `storage.url`: PostgreSQL.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::warnings::warned;
use super::{check, load};

fn url(url: &str) -> String {
    format!("[storage]\nurl = '{url}'")
}

#[test]
fn invalid_urls_of_postgresql_are_reported() {
    for (text, expected) in [
        ("localhost", "postgres://USER@HOST:PORT/DATABASE …"),
        ("mysql://a@b/c", "postgres://USER@HOST:PORT/DATABASE …"),
        ("host=a user=b", "postgres://USER@HOST:PORT/DATABASE …"),
        ("postgres://host/database", "user … USER@HOST …"),
        ("postgres://@host/database", "user … USER@HOST …"),
        ("postgres://user@/database", "host … USER@HOST …"),
        ("postgres://user@host", "database … USER@HOST …"),
        ("postgres://user@host/", "database … USER@HOST …"),
        ("postgres://user@host:port/database", "port … USER@HOST …"),
        ("postgres://user@host:65536/database", "port … USER@HOST …"),
        ("postgres://user@a,b,c,d,e,f,g,h,i/database", "8 …"),
        ("postgres://user@a/database?host=b", "twice …"),
        ("postgres://user@/database?host=a,b&port=1,2,3", "2 … 3 …"),
        ("postgres://user@a/database?sslmode=prefer", "sslmode: \"prefer\" … verify-full …"),
        ("postgres://user@a/database?sslrootcert=ca.pem", "sslrootcert: \"ca.pem\" … absolute …"),
        ("postgres://user@a/database?target_session_attrs=read-only", "target_session_attrs: \"read-only\" …"),
        ("postgres://user@a/database?channel_binding=no", "channel_binding: \"no\" … require …"),
        ("postgres://user@a/database?ssl=on", "\"ssl\" … sslmode …"),
    ] {
        check(&url(text), &format!("site.toml: storage.url: … {expected}"));
    }
}

#[test]
fn password_in_the_url_is_refused_and_not_printed() {
    for text in [
        "postgres://user:hunter2@host/database",
        "postgresql://user:hunter2@host/database?sslmode=wrong",
        "postgres://user:hunter2%40x@a,b/database",
        "postgres://user:a/hunter2@host/database",
        "postgres://user:a?hunter2=b@host/database",
        "postgres://user:a@hunter2@host/database",
        "postgres://user@host/database?password=hunter2",
        "postgres://user@host/database?pass%77ord=hunter2",
        "mysql://user:hunter2@host/database",
        "user:hunter2@host",
    ] {
        let error = load("site.toml", &url(text), &[], &[]).unwrap_err();
        assert!(error.contains("storage.url: ") && !error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn server_is_named_by_hosts_and_database() {
    for (text, name) in [
        ("postgres://user@host/database", "host:5432/database"),
        ("postgresql://user@host:1/database?sslmode=disable", "host:1/database"),
        ("postgres://user@[::1]:7/database", "[::1]:7/database"),
        ("postgres://user@a:1,b,c:3/database?target_session_attrs=read-write", "a:1,b:5432,c:3/database"),
        ("postgres://user@/database?host=/run/postgresql", "/run/postgresql:5432/database"),
        ("postgres://user@/database?host=/run/a+b,other&port=7", "/run/a+b:7,other:7/database"),
        ("postgres://user@%2Frun%2Fpostgresql/database", "/run/postgresql:5432/database"),
    ] {
        let storage = load("site.toml", &url(text), &[], &[]).unwrap().storage;
        assert_eq!(storage.server().unwrap().to_string(), name);
    }
    assert_eq!(load("site.toml", "", &[], &[]).unwrap().storage.server(), None);
}

#[test]
fn unsafe_or_unused_settings_of_the_server_are_warned_of() {
    for (text, count) in [
        (url(""), 0),
        (format!("{}\nschema = 'x'\npassword_file = 'x'\nspool_max = 1", url("")), 3),
        (url("postgres://user@host/database"), 0),
        (url("postgres://user@host/database?sslmode=verify-ca"), 0),
        (url("postgres://user@host/database?sslmode=require&sslrootcert=/ca.pem"), 0),
        (url("postgres://user@host/database?sslmode=require"), 1),
        (url("postgres://user@host/database?sslmode=disable"), 1),
        (url("postgres://user@127.0.0.1,localhost/database?sslmode=disable"), 0),
        (url("postgres://user@127.0.0.1,host/database?sslmode=disable"), 1),
        (url("postgres://user@/database?host=/run&sslmode=disable"), 0),
    ] {
        assert_eq!(warned(&text).len(), count, "{text}");
    }
}

#[test]
fn password_file_that_others_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let text = format!("[storage]\npassword_file = {path:?}");
    let storage = load("site.toml", &text, &[], &[]).unwrap().storage;
    assert_eq!(storage.password_warnings().len(), 0, "a connection reports that it is missing");
    fs::write(&path, "secret").unwrap();
    for (mode, warned) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(storage.password_warnings().len(), warned, "{mode:o}");
    }
}
