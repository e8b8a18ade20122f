//! Compares pages and rows with SQLite's reading of the same files.

use super::*;

const FRAME_SIZE: usize = 24 + PAGE_SIZE;

/// A change of a WAL.
type Change = fn(&mut Vec<u8>);

/// Converts the WAL to this byte order, and updates its checksums.
fn sum_up(wal: &mut [u8], big_endian: bool) {
    wal[3] = wal[3] & !1 | u8::from(big_endian);
    let mut sum = (0, 0);
    let mut add = |bytes: &[u8]| {
        let order = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for pair in bytes.chunks_exact(8) {
            let [first, second] = [0, 4].map(|at| order(pair[at..at + 4].try_into().unwrap()));
            sum.0 = first.wrapping_add(sum.0).wrapping_add(sum.1);
            sum.1 = second.wrapping_add(sum.1).wrapping_add(sum.0);
        }
        [sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat()
    };
    let header = add(&wal[..24]);
    wal[24..32].copy_from_slice(&header);
    for frame in wal[32..].chunks_exact_mut(FRAME_SIZE) {
        add(&frame[..8]);
        let sum = add(&frame[24..]);
        frame[16..24].copy_from_slice(&sum);
    }
}

/// A frame of the WAL, counted from the end: 0 is the last.
fn frame(wal: &mut [u8], from_the_end: usize) -> &mut [u8] {
    wal.rchunks_exact_mut(FRAME_SIZE).nth(from_the_end).unwrap()
}

/// The database after SQLite has transferred the WAL to it.
fn transferred(database: &[u8], wal: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE_FILE);
    fs::write(&path, database).unwrap();
    fs::write(wal_file(&path), wal).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.query_one("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn wal_is_read_as_sqlite_reads_it_and_other_frames_are_kept_separately() {
    let (folder, _) = journal(120, true);
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    // At the end, each frame is a transaction.
    (0..9).for_each(|_| journal.probe().unwrap());
    drop(journal);
    let path = folder.path().join(DATABASE_FILE);
    let (database, wal) = (fs::read(&path).unwrap(), fs::read(wal_file(&path)).unwrap());
    let frames = wal.len() / FRAME_SIZE;
    assert!(frames > 18);
    // The changes before and after the checksums are updated, and the number of frames that SQLite would not read.
    let cases: [(&str, Change, Change, usize); 9] = [
        ("whole", |_| {}, |_| {}, 0),
        ("not committed", |wal| frame(wal, 0)[4..8].fill(0), |_| {}, 1),
        ("damaged at the end", |_| {}, |wal| frame(wal, 0)[99] ^= 1, 1),
        ("damaged in the middle", |_| {}, |wal| frame(wal, 5)[99] ^= 1, 6),
        ("a frame of an earlier WAL", |_| {}, |wal| frame(wal, 0)[8] ^= 1, 0),
        ("another earlier frame", |_| {}, |wal| frame(wal, 0)[15] ^= 1, 0),
        ("no end", |_| {}, |wal| wal.truncate(wal.len() - 1), 0),
        ("damaged header", |_| {}, |wal| wal[20] ^= 1, usize::MAX),
        ("not a WAL", |wal| wal[2] ^= 1, |_| {}, usize::MAX),
    ];
    for big_endian in [false, true] {
        for (name, before, after, unseen) in cases {
            let mut wal = wal.clone();
            before(&mut wal);
            sum_up(&mut wal, big_endian);
            after(&mut wal);
            let whole = transferred(&database, &wal);
            let pages = Pages::new(database.clone(), wal.clone());
            assert_eq!(pages.count() as usize, whole.len() / PAGE_SIZE, "{name}");
            for (number, page) in (1..).zip(whole.chunks_exact(PAGE_SIZE)) {
                assert!(pages.current(number) == Some(page), "{name}: page {number}");
            }
            let unseen = frames.min(unseen);
            assert_eq!(pages.uncommitted().count(), unseen, "{name}");
            // As overflow of an uncommitted page, the newest uncommitted version is read.
            for number in 1..=pages.count() {
                let mut newest_first = (0..unseen).map(|index| frame(&mut wal, index).to_vec());
                let loose = newest_first.find(|frame| frame[..4] == number.to_be_bytes());
                let expected = loose.as_deref().map(|frame| &frame[24..]).or(pages.current(number));
                assert!(pages.uncommitted_or_current(number) == expected, "{name}: page {number}");
            }
        }
    }
}

#[test]
fn uncommitted_event_is_found_with_its_overflow_pages() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let mut written = [long(1), long(47)];
    written.chunks_mut(1).for_each(|batch| journal.append(batch).unwrap());
    drop(journal);
    let path = folder.path().join(DATABASE_FILE);
    let (database, mut wal) = (fs::read(&path).unwrap(), fs::read(wal_file(&path)).unwrap());
    frame(&mut wal, 0)[4..8].fill(0);
    sum_up(&mut wal, false);
    let pages = Pages::new(database, wal);
    assert!(pages.uncommitted().count() > 3);
    assert_eq!(records(&pages), written);
}

#[test]
fn wal_without_a_complete_header_is_empty() {
    for wal in [vec![], vec![0x37; 31], vec![0x37; 32 + FRAME_SIZE - 1]] {
        let pages = Pages::new(vec![7; PAGE_SIZE], wal);
        assert_eq!((pages.count(), pages.uncommitted().count(), pages.current(0)), (1, 0, None));
        assert!(pages.current(1) == Some(&[7; PAGE_SIZE]) && pages.current(2).is_none());
    }
}

/// The records that are found in a journal after these statements, without an unchanged one.
fn found_after(statements: &str) -> Vec<Record> {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.append(&mut [long(7)]).unwrap();
    journal.database.connection.execute_batch(statements).unwrap();
    journal.recover_wal().unwrap();
    drop(journal);
    let mut found = records(&Pages::new(fs::read(folder.path().join(DATABASE_FILE)).unwrap(), Vec::new()));
    let whole = found.iter().position(|record| (record.position, content(record)) == (1, content(&long(7)))).unwrap();
    found.remove(whole);
    found
}

#[test]
fn row_with_invalid_values_is_not_a_record() {
    let add = |wider: &str, change: &str| {
        found_after(&format!(
            "{wider}; CREATE TEMP TABLE more AS SELECT * FROM records; UPDATE more SET position = 2; UPDATE more SET {change}; \
             INSERT INTO records SELECT * FROM more"
        ))
    };
    let largest = "recorded_at = 9223372036854775807, shown_until = 140737488355328, updated_at = 2147483648";
    for (change, number) in [(largest, 2), ("position = 9223372036854775807", i64::MAX.cast_unsigned())] {
        let found = add("", change);
        assert_eq!(found.iter().map(|record| record.position).collect::<Vec<_>>(), [number], "{change}");
    }
    for change in [
        "position = 0",
        "position = -1",
        "recorded_at = -1",
        "shown_until = -5000000000",
        "received_at = -300",
        "sent_at = -1",
        "updated_at = -9223372036854775808",
        "kind = 'exploded'",
        "input_id = 'none'",
        "note = 'odd'",
        "kind = 'rules', input_id = NULL, data = '{}'",
        "kind = 'rules', input_id = NULL",
    ] {
        assert_eq!(add("", change), [], "{change}");
    }
    assert_eq!(add("ALTER TABLE records ADD COLUMN one_more TEXT", "one_more = NULL"), []);
}

/// The positions of the records on a page that has only this row.
fn positions(seq: &[u8], types: &[u8], values: &[u8]) -> Vec<u64> {
    let size = |bytes: usize| u8::try_from(bytes).unwrap();
    let header = [size(1 + types.len())];
    let cell = [&[size(1 + types.len() + values.len())], seq, &header, types, values].concat();
    let mut page = [&[0x0d, 0, 0, 0, 1, 0, 0, 0, 0, 10], cell.as_slice()].concat();
    page.resize(PAGE_SIZE, 0);
    cells::records(&page, |_| None).iter().map(|record| record.position).collect()
}

#[test]
fn row_is_a_record_only_if_every_byte_fits() {
    const TYPES: [u8; 13] = [0, 1, 1, 1, 0, 1, 13 + 2 * 32, 13 + 2 * 9, 0, 0, 0, 0, 0];
    let values = [b"\x01\x02\x03\x04".as_slice(), b"2c28dd2cc444cb77578c4840b51e43a8", b"connected"].concat();
    // Variable-length integers, also longer than necessary.
    for (seq, number) in [
        (b"\x01".as_slice(), 1),
        (b"\x7f", 127),
        (b"\x81\x00", 128),
        (b"\x80\x01", 1),
        (b"\x81\x80\x02", 16386),
        (b"\x81\x80\x80\x80\x80\x80\x80\x80\x05", (1 << 57) + 5),
        (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff", i64::MAX.cast_unsigned()),
    ] {
        assert_eq!(positions(seq, &TYPES, &values), [number], "{seq:?}");
    }
    assert_eq!(positions(&[0xff; 9], &TYPES, &values), [0; 0], "a negative number");
    let with_last = |types: &[u8]| [&TYPES[..12], types].concat();
    assert_eq!(positions(&[1], &with_last(&[13]), &values), [1], "an empty text");
    // Blobs, floating-point numbers, and reserved types.
    for last in [12, 14, 7, 10, 11] {
        for more in [0, 1, 8] {
            let values = [values.as_slice(), &[b'x'; 8][..more]].concat();
            assert_eq!(positions(&[1], &with_last(&[last]), &values), [0; 0], "{last} with {more}");
        }
    }
    assert_eq!(positions(&[1], &TYPES, &[values.as_slice(), &[0]].concat()), [0; 0], "a byte too many");
    assert_eq!(positions(&[1], &TYPES, &values[..values.len() - 1]), [0; 0], "a byte too few");
    assert_eq!(positions(&[1], &with_last(&[0, 0]), &values), [1], "the last column, which is newer");
    assert_eq!(positions(&[1], &with_last(&[0, 0, 0]), &values), [0; 0], "a column too many");
    assert_eq!(positions(&[1], &with_last(&[]), &values), [0; 0], "a column too few");
}
