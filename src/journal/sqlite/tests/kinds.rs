//! Rolling upgrades: the records that this version writes can be read by the release before it, which may share the
//! journal. `tests/fixtures/record-kinds` has, for each release, records of every form that it reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::*;
use crate::journal::columns::{Columns, read_record};
use crate::journal::sqlite::rows::{INSERT_RECORD, insert_record};

/// Version of a release: its numbers, and the file with its forms.
type Release = (Vec<u64>, PathBuf);

/// The columns of a record that have something else than ids, times and texts of others.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    kind: Option<String>,
    note: Option<String>,
    data: Option<String>,
}

impl Form {
    /// A line of a fixture: three columns, separated by tabs.
    fn from_line(line: &str) -> Self {
        let mut columns = line.split('\t').map(|column| Some(column.to_owned()).filter(|column| !column.is_empty()));
        let mut next = || columns.next().unwrap_or_else(|| panic!("not three columns: {line}"));
        Self { kind: next(), note: next(), data: next() }
    }

    fn line(&self) -> String {
        [&self.kind, &self.note, &self.data].map(|column| column.as_deref().unwrap_or_default()).join("\t")
    }

    /// What a reader must know: kind, note, source, version and members of the data, and words with a meaning.
    fn facts(&self) -> Vec<String> {
        let kind = self.kind.as_deref().unwrap();
        let mut facts = vec![format!("kind {kind}")];
        facts.extend(self.note.iter().map(|note| format!("note {note}")));
        let Some(data) = &self.data else { return facts };
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(data) {
            Ok(members) => {
                let names: Vec<&str> = members.keys().map(String::as_str).collect();
                facts.push(format!("{kind} {} with {names:?}", members["version"]));
                let words = ["to", "found"].iter().filter_map(|name| members.get(*name));
                facts.extend(words.map(|word| format!("{kind} {word}")));
            }
            Err(_) => facts.extend(data.split(' ').skip(2).map(|source| format!("source {source}"))),
        }
        facts
    }
}

impl Columns for Form {
    fn integer(&self, _: usize) -> Result<Option<i64>, &'static str> {
        Ok(Some(1))
    }

    fn text(&self, column: usize) -> Result<Option<&str>, &'static str> {
        Ok(match column {
            6 => Some("2c28dd2cc444cb77578c4840b51e43a8"),
            7 => self.kind.as_deref(),
            8 => self.note.as_deref(),
            13 => self.data.as_deref(),
            _ => None,
        })
    }
}

/// A number for each kind of record, so that a new kind does not compile until [`written`] has it.
fn number(kind: &RecordKind) -> usize {
    match kind {
        RecordKind::Event(..) => 0,
        RecordKind::Forgotten(_) => 1,
        RecordKind::Correction(_) => 2,
        RecordKind::Exception(_) => 3,
        RecordKind::Observation(_) => 4,
        RecordKind::Rules(_) => 5,
        RecordKind::ClockSetBack => 6,
    }
}

/// Records of every form that this version writes. A kind that it only reads so far is missing here.
fn written() -> Vec<RecordKind> {
    let detail = ErrorDetail { code: ErrorCode::from(None), message: None, video_codec: None, audio_codec: None };
    let event = |kind: EventKind| Event { kind, ..event(0) };
    let kinds = [EventKind::Connected, EventKind::Disconnected, EventKind::Errored(Box::new(detail))];
    let mut records: Vec<_> = kinds.into_iter().map(|kind| RecordKind::Event(event(kind), None)).collect();
    records.extend(Note::ALL.map(|note| RecordKind::Event(event(EventKind::Connected), Some(note))));
    records.extend(EventSource::ALL.map(|source| {
        let account_id = Some(AccountId::from_bytes([0xac; 16]));
        let origin = Origin { source, account_id, policy_id: None };
        RecordKind::Event(Event { origin, ..event(EventKind::Connected) }, None)
    }));
    records.push(RecordKind::Forgotten(input_id(0)));
    records.extend(Corrected::ALL.map(|to| RecordKind::Correction(Correction { to, ..correction(0) })));
    records.push(RecordKind::Exception(exception(0)));
    records.extend(Observed::ALL.map(|found| RecordKind::Observation(Observation { found, ..observation(0) })));
    records.extend([RecordKind::Rules(Arc::new(rules(0))), RecordKind::ClockSetBack]);
    records
}

fn form(kind: RecordKind) -> Form {
    let database = Connection::open_in_memory().unwrap();
    let columns = &INSERT_RECORD[INSERT_RECORD.find('(').unwrap()..INSERT_RECORD.find(" VALUES").unwrap()];
    database.execute(&format!("CREATE TABLE records {columns}"), ()).unwrap();
    insert_record(&mut database.prepare_cached(INSERT_RECORD).unwrap(), &Record::new(kind)).unwrap();
    let select = "SELECT kind, note, data FROM records";
    let form = |row: &rusqlite::Row<'_>| Ok(Form { kind: row.get(0)?, note: row.get(1)?, data: row.get(2)? });
    database.query_row(select, (), form).unwrap()
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|number| number.parse().unwrap()).collect()
}

/// The releases, the oldest first. The last one is that of Cargo.toml, which may not be published yet.
fn releases() -> Vec<Release> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/record-kinds");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut releases: Vec<_> = files.map(|file| (numbers(file.file_stem().unwrap().to_str().unwrap()), file)).collect();
    releases.sort();
    let this = numbers(env!("CARGO_PKG_VERSION"));
    assert!(releases.last().is_some_and(|(version, _)| *version == this), "no file for version {this:?}");
    releases
}

fn forms((_, file): &Release) -> Vec<Form> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(Form::from_line).collect()
}

/// Fails unless the release reads everything that this version writes.
fn check_reads(release: &Release) {
    let read: BTreeSet<String> = forms(release).iter().flat_map(Form::facts).collect();
    let unread = written().into_iter().map(form).filter(|form| !form.facts().iter().all(|fact| read.contains(fact)));
    let lines: Vec<String> = unread.map(|form| form.line()).collect();
    assert!(lines.is_empty(), "{} does not read:\n{}", release.1.display(), lines.join("\n"));
}

#[test]
fn every_kind_of_record_is_checked() {
    let numbers: BTreeSet<usize> = written().iter().map(number).collect();
    assert_eq!(numbers, (0..7).collect());
}

#[test]
fn records_that_this_version_writes_are_read_by_the_release_before_it() {
    let releases = releases();
    check_reads(releases.iter().rev().nth(1).unwrap_or_else(|| releases.last().unwrap()));
}

#[test]
fn records_that_this_version_writes_are_in_its_own_list() {
    check_reads(releases().last().unwrap());
}

#[test]
fn records_of_every_release_are_read() {
    for form in releases().iter().flat_map(forms) {
        assert!(read_record(1, &form).is_ok(), "{form:?}");
    }
}
