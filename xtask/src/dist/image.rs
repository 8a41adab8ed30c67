//! Parses the last stage of a Dockerfile, as far as a trial without Docker needs it.

use crate::Result;

/// Process started by the image.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Image {
    /// Sources and destinations of copied files.
    pub(super) copies: Vec<(String, String)>,
    pub(super) environment: Vec<(String, String)>,
    /// `uid:gid`.
    pub(super) user: String,
    /// Folders that remain writable when the root file system is read-only.
    pub(super) volumes: Vec<String>,
    pub(super) health: Vec<String>,
    /// Entry point and command.
    pub(super) words: Vec<String>,
}

impl Image {
    /// Parses the instructions after the last `FROM`.
    ///
    /// # Errors
    ///
    /// Fails if an instruction is not supported, and names it.
    pub(super) fn read(dockerfile: &str) -> Result<Self> {
        let mut image = Self::default();
        for line in instructions(dockerfile) {
            let (instruction, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            let rest = rest.trim();
            match instruction {
                "FROM" => image = Self::default(),
                "COPY" => image.copies.push(copied(rest)?),
                "ENV" => image.environment.extend(variables(rest)),
                "USER" => rest.clone_into(&mut image.user),
                "VOLUME" => image.volumes.push(rest.to_owned()),
                "HEALTHCHECK" => {
                    let command = rest.split_once("CMD ").map(|(_, words)| words);
                    image.health = words(command.unwrap_or_default())?;
                }
                "ENTRYPOINT" | "CMD" => image.words.extend(words(rest)?),
                "WORKDIR" | "EXPOSE" | "RUN" => {}
                other => {
                    return Err(format!(
                        "unsupported instruction in the Dockerfile: {other}"
                    ));
                }
            }
        }
        Ok(image)
    }
}

/// Joins continued lines, and removes comments.
fn instructions(dockerfile: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for line in dockerfile.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        let (text, continues) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        if let Some(last) = lines.last_mut() {
            last.push_str(text);
        }
        if !continues {
            lines.push(String::new());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn copied(rest: &str) -> Result<(String, String)> {
    let mut paths = rest.split(' ').filter(|word| !word.starts_with("--"));
    match (paths.next(), paths.next(), paths.next()) {
        (Some(from), Some(to), None) => Ok((from.to_owned(), to.to_owned())),
        _ => Err(format!(
            "expected COPY with one source and one destination, got {rest}"
        )),
    }
}

fn variables(rest: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = rest.split(' ').filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn words(list: &str) -> Result<Vec<String>> {
    serde_json::from_str(list).map_err(|e| format!("{list} in the Dockerfile is not a list: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_counts() {
        let text = "FROM a AS build\nENV A=1\nRUN x \\\n && y\nFROM b\n# a comment\nCOPY --from=build --chown=1:2 /a /b\n\
                    ENV B=2 C=3\nUSER 1:2\nVOLUME /data\nHEALTHCHECK --retries=3 \\\n  CMD [\"/b\", \"h\"]\nENTRYPOINT [\"/b\"]\nCMD [\"serve\"]\n";
        let image = Image::read(text).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(image.copies, [pair("/a", "/b")]);
        assert_eq!(image.environment, [pair("B", "2"), pair("C", "3")]);
        assert_eq!(image.user, "1:2");
        assert_eq!(image.volumes, ["/data"]);
        assert_eq!(image.health, ["/b", "h"]);
        assert_eq!(image.words, ["/b", "serve"]);
    }

    #[test]
    fn an_unknown_instruction_is_named() {
        let complaint = Image::read("FROM a\nSHELL [\"x\"]\n").unwrap_err();
        assert!(complaint.contains("SHELL"), "{complaint}");
    }
}
