//! Inserts and removes what lenient JSON allows: byte order marks, invalid UTF-8, trailing commas, comments and Unicode
//! white space. This follows the grammar only, so that the parser can be compared with it.

/// A token of a text that may be lenient JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    /// A string, number, literal, or anything that is not listed below.
    Word(&'a [u8]),
    /// One of `{}[]:,`.
    Mark(u8),
    Space(&'a [u8]),
    Comment,
}

/// The strict JSON for a lenient text.
pub fn strict(body: &[u8]) -> Vec<u8> {
    let text = decoded(body);
    let pieces = pieces(text.trim_start_matches('\u{feff}').as_bytes());
    let mut strict = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Mark(b',') if is_trailing(&pieces, index) => {}
            Piece::Mark(mark) => strict.push(*mark),
            Piece::Word(bytes) => bytes.iter().for_each(|byte| match byte {
                ..b' ' => strict.extend(format!("\\u{byte:04x}").bytes()),
                byte => strict.push(*byte),
            }),
            Piece::Space(_) | Piece::Comment => strict.push(b' '),
        }
    }
    strict
}

/// The text in the encoding that a byte order mark names, or in UTF-8.
fn decoded(body: &[u8]) -> String {
    let units = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = body[2..].chunks(2).map(|pair| pair.try_into().map_or(0xfffd, unit)).collect();
        String::from_utf16_lossy(&units)
    };
    match body {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Inserts trailing commas and comments into a strict text where `choices` says so. Also returns whether it inserted any.
pub fn lenient(text: &[u8], mut choices: impl FnMut() -> u8) -> (Vec<u8>, bool) {
    let (mut lenient, mut last) = (Vec::new(), b'{');
    let before = text.len();
    for piece in pieces(text) {
        let closes = matches!(piece, Piece::Mark(b'}' | b']'));
        if closes && !b"{[,".contains(&last) && choices().is_multiple_of(2) {
            lenient.push(b',');
        }
        match choices() % 8 {
            0 => lenient.extend_from_slice(b"/* } , \" */"),
            1 => lenient.extend_from_slice(b"// ] , \"\n"),
            _ => {}
        }
        match piece {
            Piece::Mark(mark) => lenient.push(mark),
            Piece::Word(bytes) | Piece::Space(bytes) => lenient.extend_from_slice(bytes),
            Piece::Comment => {}
        }
        last = match piece {
            Piece::Mark(mark) => mark,
            Piece::Word(_) => b'"',
            Piece::Space(_) | Piece::Comment => last,
        };
    }
    let differs = lenient.len() != before;
    (lenient, differs)
}

/// Whether this is a comma between a value and the end of its object or array.
fn is_trailing(pieces: &[Piece<'_>], index: usize) -> bool {
    let counts = |piece: &&Piece<'_>| !matches!(piece, Piece::Space(_) | Piece::Comment);
    let before = pieces[..index].iter().rev().find(counts);
    let after = pieces[index + 1..].iter().find(counts);
    let follows_a_value = before.is_some_and(|piece| !matches!(piece, Piece::Mark(b'{' | b'[' | b',' | b':')));
    follows_a_value && matches!(after, Some(Piece::Mark(b'}' | b']')))
}

fn pieces(text: &[u8]) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(&first) = rest.first() {
        let (piece, length) = match first {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => (Piece::Mark(first), 1),
            b'"' => (Piece::Word(&[]), string_length(rest)),
            b'/' if rest.starts_with(b"//") => (Piece::Comment, length_while(rest, |byte| !b"\r\n".contains(&byte))),
            // Without an end it is not a comment.
            b'/' if rest.starts_with(b"/*") && until(&rest[2..], b"*/").is_some() => {
                (Piece::Comment, until(&rest[2..], b"*/").map_or(0, |end| end + 4))
            }
            _ => match space_length(rest) {
                0 => (Piece::Word(&[]), word_length(rest)),
                length => (Piece::Space(&[]), length),
            },
        };
        let (bytes, remaining) = rest.split_at(length);
        pieces.push(match piece {
            Piece::Word(_) => Piece::Word(bytes),
            Piece::Space(_) => Piece::Space(bytes),
            Piece::Mark(_) | Piece::Comment => piece,
        });
        rest = remaining;
    }
    pieces
}

/// The length of the word at the beginning of the text, which has at least one byte.
fn word_length(text: &[u8]) -> usize {
    let ends = |at: &usize| b"{}[]:,\"/".contains(&text[*at]) || space_length(&text[*at..]) > 0;
    (1..text.len()).find(ends).unwrap_or(text.len())
}

/// The length of the white space character at the beginning of the text, or 0.
fn space_length(text: &[u8]) -> usize {
    let is_space = |length: &usize| {
        let character = text.get(..*length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        character.is_some_and(|character| character.chars().all(char::is_whitespace))
    };
    (1..=4).find(is_space).unwrap_or(0)
}

fn length_while(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !belongs(*byte)).unwrap_or(text.len())
}

fn until(text: &[u8], end: &[u8]) -> Option<usize> {
    text.windows(end.len()).position(|window| window == end)
}

/// The length of the string at the beginning of the text, including its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = true;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}
