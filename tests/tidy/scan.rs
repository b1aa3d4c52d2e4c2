//! Just enough of Rust's grammar: comments and literals, test code, and paths.

/// The text with comments and the insides of literals blanked out. Lines and columns stay.
pub(crate) fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !is_word(previous) => raw_string(rest).unwrap_or(0),
            '\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if taken == 0 {
            out.push(c);
            previous = c;
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(
                rest[..taken]
                    .chars()
                    .map(|c| if c == '\n' { c } else { ' ' }),
            );
            previous = ' ';
            rest = &rest[taken..];
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `b"…"`, `c"…"`; `None` for a word that merely starts alike.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = text.find(|c| !matches!(c, 'r' | 'b' | 'c'))?;
    let body = &text[prefix..];
    if prefix > 2 || !body.starts_with(['"', '#']) {
        return None;
    }
    if !text[..prefix].contains('r') {
        return body.starts_with('"').then(|| prefix + string(body));
    }
    let hashes = body.find(|c| c != '#')?;
    let body = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)?;
    Some(prefix + hashes + 1 + length + end.len())
}

/// `'x'` or `'\n'`; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let end = text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'')?;
        return Some(2 + end.0 + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

const TEST_ATTRIBUTE: &str = "#[cfg(test)]";

/// Where the item under the attribute at `at` ends.
fn item_end(code: &str, at: usize) -> usize {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly <= 0 {
                    return at + offset + 1;
                }
            }
            ';' if round == 0 && curly == 0 => return at + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The code without what is compiled for tests only. Lines and columns stay.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut at = 0;
    while let Some(found) = code[at..].find(TEST_ATTRIBUTE) {
        let start = at + found;
        let end = item_end(code, start);
        out.push_str(&code[at..start]);
        out.extend(
            code[start..end]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' }),
        );
        at = end;
    }
    out.push_str(&code[at..]);
    out
}

/// The names of modules that are declared for tests only: `#[cfg(test)] mod name;`.
pub(crate) fn test_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices(TEST_ATTRIBUTE) {
        let item = &code[start..item_end(code, start)];
        let mut words = item
            .split(|c| !is_word(c))
            .skip_while(|word| *word != "mod");
        if item.ends_with(';')
            && let Some(name) = words.nth(1)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// A path such as `crate::store::Store`, and the line where it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CodePath {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

/// Every path in the code, with groups taken apart: `use a::{b, c::d}` is `a::b` and `a::c::d`.
/// Single words are left out, except inside groups.
pub(crate) fn paths(code: &str) -> Vec<CodePath> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find(is_word).map(|offset| at + offset) {
        at = take_path(code, start, &[], &mut found);
    }
    found
}

/// Takes the path that starts at `at`, behind `prefix`, and returns where it ends.
fn take_path(code: &str, mut at: usize, prefix: &[String], found: &mut Vec<CodePath>) -> usize {
    let start = at;
    let mut segments = prefix.to_vec();
    loop {
        let word = code[at..].find(|c| !is_word(c)).unwrap_or(code.len() - at);
        segments.push(code[at..at + word].to_owned());
        at += word;
        let Some(rest) = code[at..].strip_prefix("::") else {
            break;
        };
        let next = code.len() - rest.trim_start().len();
        if rest.trim_start().starts_with('{') {
            return take_group(code, next + 1, &segments, found);
        }
        if !rest.starts_with(is_word) {
            break;
        }
        at = next;
    }
    if segments.len() > 1 {
        let line = line_of(code, start);
        found.push(CodePath { line, segments });
    }
    at
}

fn take_group(code: &str, mut at: usize, prefix: &[String], found: &mut Vec<CodePath>) -> usize {
    while let Some(c) = code[at..].chars().next() {
        if c == '}' {
            return at + 1;
        }
        if let Some(rest) = code[at..].strip_prefix("as ") {
            // The new name of an import is no path.
            let name = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            at = code.len() - rest.len() + name;
        } else if is_word(c) {
            at = take_path(code, at, prefix, found);
        } else {
            at += c.len_utf8();
        }
    }
    at
}

/// The line of a position, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The lines on which `word` stands by itself, from 1.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let stands_alone = |at: usize| {
        !code[..at].chars().next_back().is_some_and(is_word)
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    };
    code.match_indices(word)
        .filter(|(at, _)| stands_alone(*at))
        .map(|(at, _)| line_of(code, at))
        .collect()
}
