//! Language of the project: first words of doc comments, titles of their sections, US spelling of identifiers and
//! prose.

use super::{Finding, lines_of};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Words for which the field has others: log, report, notify, return, state.
const VAGUE: [&str; 6] = ["tell", "tells", "told", "say", "says", "said"];

/// Words that must not start a doc comment, which starts with a verb or a noun.
const NO_OPENING: [&str; 10] = [
    "What", "Whether", "How", "Where", "Who", "Whose", "Why", "That", "Of", "When",
];
/// Maximum share of such first words in a crate, in percent.
const MOST_PERCENT: f64 = 1.0;

/// Section titles to avoid, and the title to use instead.
const TITLES: [(&str, &str); 9] = [
    ("Features", "Feature flags"),
    ("Guarantee", "Guarantees"),
    ("What is promised", "Guarantees"),
    ("Promises", "Guarantees"),
    ("When not to use", "When not to use it"),
    ("When not to use this", "When not to use it"),
    ("Error", "Errors"),
    ("Panic", "Panics"),
    ("Example", "Examples"),
];

/// Parts of words in British spelling, and their US spelling.
const BRITISH: [(&str, &str); 17] = [
    ("artefact", "artifact"),
    ("catalogue", "catalog"),
    ("colour", "color"),
    ("behaviour", "behavior"),
    ("favour", "favor"),
    ("honour", "honor"),
    ("neighbour", "neighbor"),
    ("sanitise", "sanitize"),
    ("normalise", "normalize"),
    ("serialise", "serialize"),
    ("materialise", "materialize"),
    ("initialise", "initialize"),
    ("optimise", "optimize"),
    ("recognise", "recognize"),
    ("synchronise", "synchronize"),
    ("licence", "license"),
    ("labelled", "labeled"),
];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut openings: BTreeMap<String, Openings> = BTreeMap::new();
    for file in files.iter().filter(|file| is_prose(file)) {
        findings.extend(prose(file, &lines_of(&root.join(file))));
    }
    for file in files.iter().filter(|file| is_rust_of_a_crate(file)) {
        let lines = lines_of(&root.join(file));
        if file
            .components()
            .nth(2)
            .is_some_and(|part| part.as_os_str() == "src")
        {
            openings
                .entry(crate_of(file))
                .or_default()
                .read(file, &lines);
            findings.extend(titles(file, &lines));
            findings.extend(vague_words(file, &lines));
        }
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        findings.extend(identifiers(file, &text.join("\n")));
    }
    let mut all = Openings::default();
    for (name, found) in openings {
        all.odd.extend(found.odd.iter().cloned());
        all.total += found.total;
        if found.percent() >= MOST_PERCENT {
            println!("tidy: {name}: {}", found.summary());
            let message = |(file, line, text): (PathBuf, usize, String)| {
                Finding::new(
                    file,
                    line,
                    format!("opens with neither a verb nor a noun: {text}"),
                )
            };
            findings.extend(found.odd.into_iter().map(message));
        }
    }
    println!("tidy: {}", all.summary());
    findings
}

/// Returns `true` for pages and sources, except this file, which lists the words to avoid.
fn is_prose(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("md" | "rs")) && !file.ends_with("tidy/language.rs")
}

fn prose(file: &Path, lines: &[(usize, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines {
        let line = line.to_lowercase();
        // names of other projects' files keep their spelling
        if line.contains("\"licence\"") {
            continue;
        }
        for (british, american) in BRITISH {
            if line.contains(british) {
                let message = format!("`{british}` is spelled `{american}`");
                findings.push(Finding::new(file, *number, message));
            }
        }
    }
    findings
}

fn is_rust_of_a_crate(file: &Path) -> bool {
    file.starts_with("crates") && file.extension().is_some_and(|extension| extension == "rs")
}

fn crate_of(file: &Path) -> String {
    let name = file.components().nth(1);
    name.map_or(String::new(), |name| {
        name.as_os_str().to_string_lossy().into_owned()
    })
}

/// Number of doc comments, and those that start with one of [`NO_OPENING`].
#[derive(Default)]
struct Openings {
    total: usize,
    odd: Vec<(PathBuf, usize, String)>,
}

impl Openings {
    fn read(&mut self, file: &Path, lines: &[(usize, String)]) {
        let mut inside = false;
        for (number, line) in lines {
            let text = doc_text(line);
            if let Some(text) = text.filter(|text| !inside && !text.is_empty()) {
                self.total += 1;
                let first = text.split(|c: char| !c.is_alphanumeric()).next();
                if first.is_some_and(|first| NO_OPENING.contains(&first)) {
                    self.odd.push((file.to_owned(), *number, text.to_owned()));
                }
            }
            inside = text.is_some();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of lines")]
    fn percent(&self) -> f64 {
        100.0 * self.odd.len() as f64 / self.total.max(1) as f64
    }

    fn summary(&self) -> String {
        let (odd, total, percent) = (self.odd.len(), self.total, self.percent());
        format!(
            "{odd} of {total} doc comments ({percent:.1} %) open with neither a verb nor a noun"
        )
    }
}

/// Returns the text of a line of a doc comment.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then(|| text.trim())
}

fn titles(file: &Path, lines: &[(usize, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines {
        let Some(title) = doc_text(line).and_then(|text| text.strip_prefix("# ")) else {
            continue;
        };
        if let Some((_, ours)) = TITLES.iter().find(|(other, _)| *other == title) {
            let message = format!("section `{title}` is called `{ours}` in every crate");
            findings.push(Finding::new(file, *number, message));
        }
    }
    findings
}

fn vague_words(file: &Path, lines: &[(usize, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines {
        let text = doc_text(line).unwrap_or_default().to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        if let Some(word) = words.find(|word| VAGUE.contains(word)) {
            let message = format!("`{word}`: log, report, notify, return and state are clearer");
            findings.push(Finding::new(file, *number, message));
        }
    }
    findings
}

fn identifiers(file: &Path, text: &str) -> Vec<Finding> {
    let mut found = BTreeMap::new();
    if let Ok(tokens) = text.parse::<TokenStream>() {
        collect(tokens, &mut found);
    }
    found
        .into_iter()
        .filter_map(|(name, line)| {
            let lower = name.to_lowercase();
            let (british, american) = BRITISH.iter().find(|(word, _)| lower.contains(word))?;
            let message =
                format!("`{name}`: identifiers have US spelling, {american} not {british}");
            Some(Finding::new(file, line, message))
        })
        .collect()
}

fn collect(tokens: TokenStream, found: &mut BTreeMap<String, usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Ident(ident) => {
                let line = ident.span().start().line;
                found.entry(ident.to_string()).or_insert(line);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &str) -> Vec<(usize, String)> {
        let lines = text.lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect()
    }

    #[test]
    fn prose_is_spelled_as_in_the_us() {
        let lines = [
            (7, "/// Licences of all.".to_owned()),
            (8, "a color".to_owned()),
        ];
        let found = prose(Path::new("docs/data.md"), &lines);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("`licence` is spelled `license`"));
        assert!(is_prose(Path::new("docs/data.md")));
    }

    #[test]
    fn the_opening_of_each_doc_comment_is_counted_once() {
        let mut openings = Openings::default();
        let text = "//! Sources.\n\n/// Returns it.\n/// Where it is absent, nothing.\nfn a() {}\n\
                    /// Where it is absent, nothing.\nfn b() {}\n/// Whatever.\n//// What\n// What\n";
        openings.read(Path::new("a.rs"), &numbered(text));
        assert_eq!(openings.total, 4);
        assert_eq!(openings.odd.len(), 1);
        assert_eq!(openings.odd[0].1, 6);
        assert_eq!(openings.percent(), 25.0);
    }

    #[test]
    fn vague_words_of_doc_comments_are_found() {
        let text = "/// Says nothing.\n// says\nfn says() {}\n/// Essays, soothsayers.\n";
        let found = vague_words(Path::new("a.rs"), &numbered(text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 1);
        assert!(found[0].message.contains("`says`"));
    }

    #[test]
    fn titles_of_sections_and_british_identifiers_are_found() {
        let found = titles(
            Path::new("a.rs"),
            &numbered("//! # Features\n/// # Errors\n"),
        );
        assert_eq!(found.len(), 1);
        let text = "/// A colour.\nfn catalogue_of() { let text = \"colour\"; }";
        let found = identifiers(Path::new("a.rs"), text);
        assert_eq!(found.len(), 1, "text and comments are free: {found:?}");
        assert!(found[0].message.contains("catalogue_of"));
        assert_eq!(found[0].line, 2);
    }
}
