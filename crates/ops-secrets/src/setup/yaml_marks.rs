//! Positions and styles in a catalog file, which the parser of its values does not keep.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Positions in the text of a catalog.
#[derive(Default)]
pub(crate) struct Marks {
    /// Line of each secret's name, counted from 1; for a duplicate, the last one.
    pub(crate) lines: HashMap<String, usize>,
    /// First unquoted default that other YAML parsers do not read as its text: YAML 1.1 reads `no` as
    /// false and `0123` as 83. The parser used here reads the text, but other tools may read the file too.
    pub(crate) unquoted_default: Option<(usize, String)>,
}

/// Open mapping or list.
enum Frame {
    /// Key whose value is being read; `None` if a key comes next.
    Mapping(Option<String>),
    Sequence,
}

impl Marks {
    /// Reads the text as far as it is valid YAML. The parser of the values refuses the rest.
    pub(crate) fn read(text: &str) -> Self {
        let mut marks = Self::default();
        let mut frames = Vec::new();
        // scalars that aliases refer to, with their positions
        let mut anchored = HashMap::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            match event {
                Event::MappingStart(..) => frames.push(Frame::Mapping(None)),
                Event::SequenceStart(..) => frames.push(Frame::Sequence),
                Event::MappingEnd | Event::SequenceEnd => {
                    frames.pop();
                    end_value(&mut frames);
                }
                Event::Scalar(word, style, anchor, _) => {
                    let line = span.start.line();
                    marks.scalar(&mut frames, &word, style, line);
                    if anchor > 0 {
                        anchored.insert(anchor, (word, style, line));
                    }
                }
                Event::Alias(anchor) => match anchored.get(&anchor) {
                    // the quotes belong at the anchor: quotes around an alias turn it into text
                    Some((word, style, line)) => marks.scalar(&mut frames, word, *style, *line),
                    None => end_value(&mut frames),
                },
                _ => {}
            }
        }
        marks
    }

    fn scalar(&mut self, frames: &mut [Frame], word: &str, style: ScalarStyle, line: usize) {
        let is_secret = is_secrets(frames) && frames.len() == 2;
        match frames.last_mut() {
            Some(Frame::Mapping(key @ None)) => {
                *key = Some(word.to_owned());
                if is_secret {
                    self.lines.insert(word.to_owned(), line);
                }
                return;
            }
            Some(Frame::Mapping(Some(key))) if key == "default" => {
                let is_default = is_secrets(frames) && frames.len() == 3;
                if is_default && style == ScalarStyle::Plain && is_ambiguous(word) {
                    self.unquoted_default.get_or_insert((line, word.to_owned()));
                }
            }
            _ => {}
        }
        end_value(frames);
    }
}

fn is_secrets(frames: &[Frame]) -> bool {
    matches!(frames.first(), Some(Frame::Mapping(Some(key))) if key == "secrets")
}

/// Ends a value. A key comes next: also after a key without a value, or a mapping used as a key.
fn end_value(frames: &mut [Frame]) {
    if let Some(Frame::Mapping(key)) = frames.last_mut() {
        *key = None;
    }
}

fn is_ambiguous(word: &str) -> bool {
    let truth = ["no", "yes", "on", "off", "y", "n"];
    truth.contains(&word.to_ascii_lowercase().as_str()) || is_number(word) || is_time(word)
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the word is a number in a form that YAML 1.1 has and the parser
/// used here does not: `0123`, `0b101`, `1_000.5`, and `1:30:00`, which is 5400.
fn is_number(word: &str) -> bool {
    let number = word.strip_prefix(['+', '-']).unwrap_or(word);
    let in_base = |prefix: &str, is_digit: fn(char) -> bool| {
        let digits = number
            .strip_prefix(prefix)
            .map(|digits| digits.replace('_', ""));
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(is_digit))
    };
    if in_base("0b", |digit| matches!(digit, '0' | '1'))
        || in_base("0x", |digit| digit.is_ascii_hexdigit())
    {
        return true;
    }
    let plain = number.replace('_', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let fraction = match fraction.split_once(['e', 'E']) {
        Some((digits, exponent)) if are_digits(exponent.trim_start_matches(['+', '-'])) => digits,
        _ => fraction,
    };
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let is_sixtieth = |part: &str| are_digits(part) && part.parse().is_ok_and(|part: u8| part < 60);
    let is_octal = number.len() > 1 && number.starts_with('0') && are_digits(number);
    (is_octal || number.contains(['_', ':']))
        && number.starts_with(|first: char| first.is_ascii_digit())
        && are_digits(first)
        && parts.all(is_sixtieth)
        && are_digits(fraction)
}

/// Returns whether the word is a date like `2025-01-15`, with or without a time.
fn is_time(word: &str) -> bool {
    let (day, time) = word.split_once(['T', 't', ' ']).unwrap_or((word, "0:"));
    let is_day = match day.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => [year, month, day].map(str::len) == [4, 2, 2],
        _ => false,
    };
    is_day
        && are_digits(&day.replace('-', ""))
        && time.starts_with(|first: char| first.is_ascii_digit())
        && time.contains(':')
}
