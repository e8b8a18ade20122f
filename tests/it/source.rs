//! As much of Rust's syntax as it takes to find out what a source uses.

/// The code without comments, and with nothing between the quotes of its texts.
pub fn without_comments_and_texts(code: &str) -> String {
    let mut output = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = match opaque(rest, output.chars().next_back()) {
            Some((replacement, length)) => {
                output.push_str(replacement);
                length
            }
            None => {
                output.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    output
}

/// When a comment, text or character begins here: what takes its place, and its length in bytes.
fn opaque(rest: &str, before: Option<char>) -> Option<(&'static str, usize)> {
    let until = |opening: usize, end: &str| rest[opening..].find(end).map_or(rest.len(), |at| opening + at + end.len());
    if rest.starts_with("//") {
        return Some(("\n", until(2, "\n")));
    }
    if rest.starts_with("/*") {
        return Some((" ", until(2, "*/")));
    }
    let in_word = before.is_some_and(|c| c != 'b' && (c.is_alphanumeric() || c == '_'));
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word) {
        let fence = raw.len() - raw.trim_start_matches('#').len();
        if raw[fence..].starts_with('"') {
            return Some(("\"\"", until(fence + 2, &format!("\"{}", "#".repeat(fence)))));
        }
    }
    // What has no closing quote after one character is a lifetime.
    let is_character = rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\''));
    match rest.chars().next()? {
        '"' => Some(("\"\"", quoted(rest, '"'))),
        '\'' if is_character => Some(("' '", quoted(rest, '\''))),
        _ => None,
    }
}

/// The length of a text or character in bytes, quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The code without the items under `#[cfg(test)]`. It must be without comments and texts already.
pub fn without_tests(code: &str) -> String {
    let (mut output, mut rest) = (String::new(), code);
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        output.push_str(before);
        rest = &after[item(after)..];
    }
    output + rest
}

/// The length of the item that begins here, in bytes: up to its semicolon or its closing brace.
fn item(code: &str) -> usize {
    let is_import = code.trim_start().starts_with("use");
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        if depth == 0 && (c == ';' || (c == '}' && !is_import)) {
            return at + 1;
        }
    }
    code.len()
}
