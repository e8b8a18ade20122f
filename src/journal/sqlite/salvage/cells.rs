//! Finds records on a page without using the rest of the database.
//!
//! A row counts as a record only if all of its columns have values that the table `records` allows. No row of another
//! table has, and random bytes hardly ever. Up to schema version 2 the table was `events`, without the last column.

use super::pages::{PAGE_SIZE, word};
use crate::event::Record;
use crate::journal::columns::{self, read_record};

/// The type of a page that holds rows of a table.
const TABLE_LEAF: u8 = 0x0d;
const COLUMNS: usize = 14;
/// Number of columns up to schema version 2.
const COLUMNS_BEFORE_3: usize = 13;
/// Largest part of a row that stays on its page.
const LARGEST_LOCAL: usize = PAGE_SIZE - 35;
const SMALLEST_LOCAL: usize = (PAGE_SIZE - 12) * 32 / 255 - 23;
/// A record is far smaller.
const LARGEST_ROW: usize = 16 << 20;

/// Every record on a page. `page` gives the overflow pages of long rows.
pub(super) fn records<'a>(bytes: &[u8], page: impl Fn(u32) -> Option<&'a [u8]>) -> Vec<Record> {
    if bytes.first() != Some(&TABLE_LEAF) {
        return Vec::new();
    }
    let count = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
    let pointers = bytes[8..].chunks_exact(2).take(count);
    let cells = pointers.filter_map(|pointer| bytes.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..));
    cells.filter_map(|cell| record(cell, &page)).collect()
}

fn record<'a>(cell: &[u8], page: &impl Fn(u32) -> Option<&'a [u8]>) -> Option<Record> {
    let (length, rest) = varint(cell)?;
    let (position, rest) = varint(rest)?;
    let row = row(usize::try_from(length).ok().filter(|length| *length <= LARGEST_ROW)?, rest, page)?;
    let columns = columns(&row).filter(|columns| matches!(columns.0[0], Column::Null))?;
    read_record(u64::try_from(position).ok().filter(|position| *position > 0)?, &columns).ok()
}

/// A row's bytes: those on the page, and those on its overflow pages.
fn row<'a>(length: usize, rest: &[u8], page: &impl Fn(u32) -> Option<&'a [u8]>) -> Option<Vec<u8>> {
    let spilled = SMALLEST_LOCAL + (length.saturating_sub(SMALLEST_LOCAL)) % (PAGE_SIZE - 4);
    let local = match length {
        ..=LARGEST_LOCAL => return rest.get(..length).map(<[u8]>::to_vec),
        _ if spilled <= LARGEST_LOCAL => spilled,
        _ => SMALLEST_LOCAL,
    };
    let mut row = rest.get(..local)?.to_vec();
    let mut next = word(rest.get(local..local + 4)?, 0);
    while row.len() < length {
        let bytes = page(next)?;
        next = word(bytes, 0);
        row.extend_from_slice(&bytes[4..PAGE_SIZE.min(4 + length - row.len())]);
    }
    Some(row)
}

#[derive(Clone, Copy)]
enum Column<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
}

/// The columns of a row, the first of which SQLite leaves to the row's number.
struct Columns<'a>([Column<'a>; COLUMNS]);

impl columns::Columns for Columns<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, &'static str> {
        match self.0[column] {
            Column::Null => Ok(None),
            Column::Integer(integer) => Ok(Some(integer)),
            Column::Text(_) => Err("a number is a text"),
        }
    }

    fn text(&self, column: usize) -> Result<Option<&str>, &'static str> {
        match self.0[column] {
            Column::Null => Ok(None),
            Column::Text(text) => Ok(Some(text)),
            Column::Integer(_) => Err("a text is a number"),
        }
    }
}

/// The columns of a row, if their number and types are those of a record.
fn columns(row: &[u8]) -> Option<Columns<'_>> {
    // With so few columns, the header is shorter than 128 bytes, so its size is one byte.
    let (header_size, mut types) = row.split_first()?;
    let header_size = usize::from(*header_size);
    let mut left_of_header = header_size.checked_sub(1)?;
    let mut values = row.get(header_size..)?;
    let mut columns = [Column::Null; COLUMNS];
    for (index, column) in columns.iter_mut().enumerate() {
        if index == COLUMNS_BEFORE_3 && left_of_header == 0 {
            break;
        }
        let (kind, rest) = varint(types)?;
        left_of_header = left_of_header.checked_sub(types.len() - rest.len())?;
        types = rest;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 => 8,
            13.. if kind % 2 == 1 => usize::try_from((kind - 13) / 2).ok()?,
            _ => return None,
        };
        let (value, rest) = values.split_at_checked(size)?;
        values = rest;
        *column = match kind {
            0 => Column::Null,
            8 | 9 => Column::Integer(kind - 8),
            1..=6 => Column::Integer(integer(value)),
            _ => Column::Text(std::str::from_utf8(value).ok()?),
        };
    }
    (left_of_header == 0 && values.is_empty()).then_some(Columns(columns))
}

/// A variable-length integer of up to nine bytes, and the bytes after it.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value: u64 = 0;
    for index in 0..8 {
        let byte = *bytes.get(index)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value.cast_signed(), &bytes[index + 1..]));
        }
    }
    let value = value << 8 | u64::from(*bytes.get(8)?);
    Some((value.cast_signed(), &bytes[9..]))
}

/// A big-endian signed integer of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}
