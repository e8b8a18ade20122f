//! gzip for lines that hardly differ from each other: RFC 1951 and RFC 1952.
//!
//! What a general compressor has to look for is known here. The line of a sample is that of the same series of the input
//! before, but for the id and the value; so whoever writes it says what is a repetition, and of what ([`Mark`]).
//! Everything else is a literal. The Huffman codes are as fixed: digits, also hexadecimal ones, have the short ones. That
//! takes a sixth of the time of the fastest level of a general compressor, for an answer half as large again.
//!
//! ```text
//! header │ one block: the lines of all inputs │ an empty block, to the next byte │ the rest, by flate2 │ checksum, length
//! ```

use std::cell::Cell;
use std::io::Write;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// Without a file name, a time or a system: RFC 1952, section 2.3.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How far back a repetition may reach, in bytes.
const WINDOW: u32 = 32 << 10;
/// How long a repetition may be, in bytes. 258 has a symbol of its own, which nobody needs.
const LENGTHS: RangeInclusive<u32> = 3..=257;

/// Symbols: literals, the end of the block, and lengths; and those of distances. RFC 1951, section 3.2.5.
const SYMBOLS: usize = 286;
const END_OF_BLOCK: usize = 256;
const FIRST_LENGTH: usize = 257;
const DISTANCE_SYMBOLS: usize = 30;
/// The lengths of codes are themselves coded; the lengths of those codes come in this order: RFC 1951, section 3.2.7.
const CODE_LENGTH_ORDER: [usize; 13] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12];
/// The lengths that codes have here, and two more, so that each is coded with three bits.
const CODE_LENGTHS: [usize; 8] = [4, 5, 6, 7, 8, 9, 11, 12];
const CODE_LENGTH_BITS: u32 = 3;

static LITERAL_CODES: LazyLock<[Code; SYMBOLS]> = LazyLock::new(|| codes(literal_code_length));
static DISTANCE_CODES: LazyLock<[Code; DISTANCE_SYMBOLS]> = LazyLock::new(|| codes(distance_code_length));

/// Where in the text something was written last.
#[derive(Debug, Default)]
pub(super) struct Mark(Cell<Option<u64>>);

/// A text on its way through gzip.
#[derive(Debug)]
pub(super) struct Gzip {
    bits: Bits,
    checksum: Crc,
    /// So much text has been taken.
    taken: u64,
    /// So many bytes of the text since then are compressed already.
    compressed: usize,
}

/// Bits, packed from the lowest on.
#[derive(Debug, Default)]
struct Bits {
    output: Vec<u8>,
    held: u64,
    count: u32,
}

/// The bits of a symbol, the first of them lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Code {
    bits: u32,
    count: u32,
}

impl Gzip {
    pub(super) fn new() -> Self {
        let mut bits = Bits { output: HEADER.into(), ..Bits::default() };
        bits.begin_block();
        Self { bits, checksum: Crc::new(), taken: 0, compressed: 0 }
    }

    /// Says that the text goes on with what was written at this mark last, and how long that is.
    pub(super) fn repeat(&mut self, text: &[u8], length: usize, mark: &Mark) {
        let at = self.taken + text.len() as u64;
        let Some(last) = mark.0.replace(Some(at)) else { return };
        let (Ok(part), Ok(distance)) = (u32::try_from(length), u32::try_from(at - last)) else { return };
        if LENGTHS.contains(&part) && distance <= WINDOW {
            self.bits.literals(&text[self.compressed..]);
            self.bits.back_reference(part, distance);
            self.compressed = text.len() + length;
        }
    }

    /// Takes the text; returns as much as is compressed.
    pub(super) fn take(&mut self, text: &mut Vec<u8>) -> Vec<u8> {
        self.bits.literals(&text[std::mem::take(&mut self.compressed)..]);
        self.checksum.update(text);
        self.taken += text.len() as u64;
        text.clear();
        let capacity = self.bits.output.capacity();
        std::mem::replace(&mut self.bits.output, Vec::with_capacity(capacity))
    }

    /// Takes the last of the text, what does not repeat itself; returns the end.
    pub(super) fn finish(mut self, text: &[u8]) -> Vec<u8> {
        self.checksum.update(text);
        // Of few inputs little is a repetition: a text that fits into one piece is left to flate2 as a whole.
        let (begun, rest) =
            if self.taken == 0 { (HEADER.into(), text) } else { (self.bits.end_block(), &text[self.compressed..]) };
        let mut encoder = DeflateEncoder::new(begun, Compression::fast());
        encoder.write_all(rest).expect("a Vec takes everything");
        let mut output = encoder.finish().expect("a Vec takes everything");
        output.extend_from_slice(&self.checksum.sum().to_le_bytes());
        output.extend_from_slice(&self.checksum.amount().to_le_bytes());
        output
    }
}

impl Bits {
    fn put(&mut self, bits: u32, count: u32) {
        self.held |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= u32::BITS {
            let [a, b, c, d, ..] = self.held.to_le_bytes();
            self.output.extend_from_slice(&[a, b, c, d]);
            self.held >>= u32::BITS;
            self.count -= u32::BITS;
        }
    }

    fn put_code(&mut self, code: Code) {
        self.put(code.bits, code.count);
    }

    /// Begins a block that is not the last, and says what its codes are: RFC 1951, section 3.2.7.
    fn begin_block(&mut self) {
        self.put(0b100, 3);
        // How many there are of each, from the fewest on that there may be.
        self.put(286 - 257, 5);
        self.put(30 - 1, 5);
        self.put(13 - 4, 4);
        for length in CODE_LENGTH_ORDER {
            self.put(code_length_code_length(length), 3);
        }
        let codes: [Code; 13] = codes(code_length_code_length);
        let lengths = (0..SYMBOLS).map(literal_code_length).chain((0..DISTANCE_SYMBOLS).map(distance_code_length));
        lengths.for_each(|length| self.put_code(codes[length as usize]));
    }

    /// Ends the block, and fills up the last byte with an empty block that is not compressed: RFC 1951, section 3.2.4.
    fn end_block(mut self) -> Vec<u8> {
        self.put_code(LITERAL_CODES[END_OF_BLOCK]);
        self.put(0b000, 3);
        self.put(0, (8 - self.count % 8) % 8);
        self.output.extend_from_slice(&self.held.to_le_bytes()[..self.count as usize / 8]);
        self.output.extend_from_slice(&[0, 0, 0xff, 0xff]);
        self.output
    }

    fn literals(&mut self, bytes: &[u8]) {
        let codes = &*LITERAL_CODES;
        for byte in bytes {
            self.put_code(codes[usize::from(*byte)]);
        }
    }

    /// What was there so many bytes before, for so many bytes.
    fn back_reference(&mut self, length: u32, distance: u32) {
        let (length_symbol, length_rest) = length_symbol(length);
        let (distance_symbol, distance_rest) = distance_symbol(distance);
        let (length, distance) = (LITERAL_CODES[length_symbol], DISTANCE_CODES[distance_symbol]);
        for code in [length, length_rest, distance, distance_rest] {
            self.put_code(code);
        }
    }
}

/// The symbol of a length, and the bits that follow it: RFC 1951, section 3.2.5.
fn length_symbol(length: u32) -> (usize, Code) {
    let (range, count, rest) = split(length - 3, 2);
    (FIRST_LENGTH + range as usize, Code { bits: rest, count })
}

/// The symbol of a distance, and the bits that follow it.
fn distance_symbol(distance: u32) -> (usize, Code) {
    let (range, count, rest) = split(distance - 1, 1);
    (range as usize, Code { bits: rest, count })
}

/// The value's range, every power of two being `1 << parts` of them; and the count of bits that tell it from others of its
/// range, and they.
fn split(value: u32, parts: u32) -> (u32, u32, u32) {
    let count = value.checked_ilog2().unwrap_or(0).saturating_sub(parts);
    let above = value >> count;
    ((count << parts) + above, count, value - (above << count))
}

fn code_length_code_length(length: usize) -> u32 {
    if CODE_LENGTHS.contains(&length) { CODE_LENGTH_BITS } else { 0 }
}

/// How long the code of a byte, of the end, or of a length is, in bits.
fn literal_code_length(symbol: usize) -> u32 {
    const OTHERS: &[u8] = b"ghijklmnopqrstuvwxyz _\"{}=,ER";
    match symbol {
        0x30..=0x39 => 4,
        0x61..=0x66 | 0x0a => 5,
        0x2e => 6,
        // Lengths from 31 to 130, of everything that lines repeat.
        272..=280 => 7,
        _ if OTHERS.iter().any(|byte| usize::from(*byte) == symbol) => 11,
        _ => 12,
    }
}

/// How long the code of a distance is, in bits: shorter for that from one line to the next of a family with one series for
/// every input, and with seven.
fn distance_code_length(symbol: usize) -> u32 {
    if matches!(symbol, 13 | 19) { 4 } else { 5 }
}

/// The codes that their lengths stand for: RFC 1951, section 3.2.2.
fn codes<const COUNT: usize>(length: impl Fn(usize) -> u32) -> [Code; COUNT] {
    let mut codes = [Code::default(); COUNT];
    let mut next = 0_u32;
    for count in 1..=15 {
        next <<= 1;
        for symbol in (0..COUNT).filter(|symbol| length(*symbol) == count) {
            codes[symbol] = Code { bits: next.reverse_bits() >> (u32::BITS - count), count };
            next += 1;
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// Writes pieces, those with a mark as repetitions of the piece before with this mark.
    fn compressed(pieces: &[(Vec<u8>, Option<usize>)], taken_at: usize) -> Vec<u8> {
        let marks: [Mark; 3] = Default::default();
        let (mut gzip, mut text, mut output) = (Gzip::new(), Vec::new(), Vec::new());
        for (piece, mark) in pieces {
            if let Some(mark) = mark {
                gzip.repeat(&text, piece.len(), &marks[*mark]);
            }
            text.extend_from_slice(piece);
            if text.len() >= taken_at {
                output.extend(gzip.take(&mut text));
            }
        }
        output.extend(gzip.finish(&text));
        output
    }

    fn read(compressed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn codes_are_complete() {
        let complete =
            |lengths: Vec<u32>| assert_eq!(lengths.iter().map(|length| 1 << (15 - length)).sum::<u32>(), 1 << 15);
        complete((0..SYMBOLS).map(literal_code_length).collect());
        complete((0..DISTANCE_SYMBOLS).map(distance_code_length).collect());
        complete(CODE_LENGTHS.iter().map(|_| CODE_LENGTH_BITS).collect());
    }

    #[test]
    fn lengths_and_distances_have_the_symbols_of_the_rfc() {
        for (length, symbol, bits, count) in
            [(3, 257, 0, 0), (10, 264, 0, 0), (11, 265, 0, 1), (12, 265, 1, 1), (130, 280, 15, 4), (257, 284, 30, 5)]
        {
            assert_eq!(length_symbol(length), (symbol, Code { bits, count }), "{length}");
        }
        for (distance, symbol, bits, count) in
            [(1, 0, 0, 0), (4, 3, 0, 0), (5, 4, 0, 1), (128, 13, 31, 5), (1024, 19, 255, 8), (32_768, 29, 8191, 13)]
        {
            assert_eq!(distance_symbol(distance), (symbol, Code { bits, count }), "{distance}");
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_read_back(
            repeated in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..300)),
            others in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..2000), 0..4_usize), 0..60),
            taken_at in 1..40_000_usize,
        ) {
            let pieces: Vec<_> = others
                .into_iter()
                .flat_map(|(other, mark)| {
                    let repeated = repeated.get(mark).map(|piece| (piece.clone(), Some(mark)));
                    [(other, None)].into_iter().chain(repeated)
                })
                .collect();
            let text: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
            prop_assert_eq!(read(&compressed(&pieces, taken_at)), text);
        }
    }
}
