//! The journal as tests read it: with the commands of the binary, or directly in its database.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::daemon::run;

/// The exported events, oldest first. `journal verify` must pass before.
pub fn exported(folder: &Path, storage: &str) -> Vec<Value> {
    let storage = format!("--storage.path={storage}");
    let [_, exported] = ["verify", "export"].map(|command| {
        let ran = run(folder, &[&storage, "journal", command]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "journal {command}");
        ran.stdout
    });
    let lines = exported.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
    lines.filter(|line: &Value| line["record"] == "event").collect()
}

/// A separate connection to the database in the data folder.
pub fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("data/journal.db")).unwrap()
}

/// The number of events in the database.
pub fn count_events(database: &Connection) -> f64 {
    database.query_one("SELECT count(*) FROM records WHERE received_at IS NOT NULL", [], |row| row.get(0)).unwrap()
}
