//! Finds import cycles inside a crate. The files and subfolders of each folder of `src` are its rooms, and an import is
//! an edge between two of them. A cycle that includes a folder is a finding; a cycle of files only is accepted up to
//! [`MOST_FILES`].

mod graph;
mod mentions;
mod tree;

use super::Finding;
use crate::metadata::Metadata;
use graph::Graph;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tree::Tree;

/// Maximum number of files of one folder in a cycle.
const MOST_FILES: usize = 4;

/// Use of an item that another file of the crate defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: PathBuf,
    to: PathBuf,
    line: usize,
    name: String,
}

/// Returns the findings, and prints a line per crate.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.crates() {
        let source = package.folder().join("src");
        match Tree::read(&source) {
            Ok(tree) => {
                let found = circles(&tree.imports());
                println!("tidy: {}: {}", package.name, found.summary());
                findings.extend(found.findings(&source));
            }
            Err(message) => findings.push(Finding::new(source, 1, message)),
        }
    }
    findings
}

/// Import cycles of one crate.
#[derive(Default)]
struct Circles {
    between_folders: Vec<Circle>,
    among_files: Vec<Circle>,
}

/// Rooms of one folder that reach each other, with an import for each edge between them.
struct Circle {
    rooms: Vec<PathBuf>,
    arrows: Vec<Import>,
}

fn circles(imports: &[Import]) -> Circles {
    let mut rooms_of: BTreeMap<&Path, Graph> = BTreeMap::new();
    for import in imports {
        // the deepest common folder, and the room of each file in it
        let Some((folder, from, to)) = part(&import.from, &import.to) else {
            continue;
        };
        rooms_of.entry(folder).or_default().add(from, to, import);
    }
    let mut circles = Circles::default();
    for circle in rooms_of.values().flat_map(Graph::circles) {
        let passes_folder = circle.rooms.iter().any(|room| room.extension().is_none());
        if passes_folder {
            circles.between_folders.push(circle);
        } else {
            circles.among_files.push(circle);
        }
    }
    circles
}

/// Returns the deepest folder that contains both files, and the room of each in it.
fn part<'a>(from: &'a Path, to: &'a Path) -> Option<(&'a Path, PathBuf, PathBuf)> {
    let folder = from
        .ancestors()
        .skip(1)
        .find(|folder| to.starts_with(folder))?;
    let room = |file: &Path| {
        let first = file.strip_prefix(folder).ok()?.components().next()?;
        Some(folder.join(first))
    };
    Some((folder, room(from)?, room(to)?))
}

impl Circles {
    fn summary(&self) -> String {
        let most = self.among_files.iter().map(|circle| circle.rooms.len());
        format!(
            "{} circles between folders, at most {} files in a circle inside a folder",
            self.between_folders.len(),
            most.max().unwrap_or(0)
        )
    }

    fn findings(self, source: &Path) -> Vec<Finding> {
        let too_large = |circle: &Circle| circle.rooms.len() > MOST_FILES;
        let among_files = self.among_files.into_iter().filter(too_large);
        self.between_folders
            .into_iter()
            .map(|circle| circle.finding(source, "circle between folders"))
            .chain(among_files.map(|circle| circle.finding(source, "circle of files")))
            .collect()
    }
}

impl Circle {
    fn finding(&self, source: &Path, kind: &str) -> Finding {
        let rooms: Vec<_> = self
            .rooms
            .iter()
            .map(|room| room.display().to_string())
            .collect();
        let mut message = format!("{kind}: {}", rooms.join(", "));
        for arrow in &self.arrows {
            let (from, to) = (arrow.from.display(), arrow.to.display());
            message += &format!("\n    {from}:{} names {} of {to}", arrow.line, arrow.name);
        }
        let first = self.arrows.first();
        let file = first.map_or(source.to_owned(), |arrow| source.join(&arrow.from));
        Finding::new(file, first.map_or(1, |arrow| arrow.line), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the cycles of a crate with these files.
    fn found(files: &[(&str, &str)]) -> Circles {
        let texts = files
            .iter()
            .map(|(name, text)| (PathBuf::from(name), (*text).to_owned()))
            .collect();
        circles(&Tree::of(&texts).unwrap().imports())
    }

    fn rooms(circles: &[Circle]) -> Vec<Vec<&Path>> {
        let rooms = circles
            .iter()
            .map(|circle| circle.rooms.iter().map(PathBuf::as_path).collect());
        rooms.collect()
    }

    #[test]
    fn a_circle_between_folders_is_seen_through_re_exports() {
        let found = found(&[
            (
                "lib.rs",
                "mod render; mod level; pub use render::Line; pub(crate) use level::*;",
            ),
            ("render/mod.rs", "mod line; pub use line::Line;"),
            (
                "render/line.rs",
                "pub struct Line; fn f() { crate::enabled(); }",
            ),
            (
                "level/mod.rs",
                "mod filter; pub(crate) use filter::enabled;",
            ),
            (
                "level/filter.rs",
                "use crate::Line;\npub(crate) fn enabled() { let _ = Line; }",
            ),
        ]);
        assert_eq!(
            rooms(&found.between_folders),
            [[Path::new("level"), Path::new("render")]]
        );
        let finding = found.between_folders[0].finding(Path::new("src"), "circle");
        assert!(
            finding
                .message
                .contains("level/filter.rs:1 names crate::Line of render/line.rs")
        );
        assert!(
            finding
                .message
                .contains("render/line.rs:1 names crate::enabled of level/filter.rs")
        );
    }

    #[test]
    fn one_way_imports_and_re_exports_are_no_circle() {
        let found = found(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "pub struct A;"),
            (
                "b/mod.rs",
                "mod c; pub use c::B; #[cfg(test)] mod tests { use crate::A; }",
            ),
            ("b/c.rs", "use crate::A; pub struct B(A);"),
        ]);
        assert!(found.between_folders.is_empty() && found.among_files.is_empty());
    }

    #[test]
    fn glob_imports_aliases_macros_and_nested_modules_hide_nothing() {
        let found = found(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            (
                "a/mod.rs",
                "use super::b as other; fn f(_: other::B) {} pub(crate) struct A;",
            ),
            (
                "b/mod.rs",
                "pub(crate) struct B; mod inner { use super::super::*; fn f() { g!(c::C); } }",
            ),
            (
                "c/mod.rs",
                "pub(crate) struct C; #[macro_export] macro_rules! made { () => { $crate::d::D } }",
            ),
            ("d/mod.rs", "use crate::a::*; pub(crate) struct D(A);"),
        ]);
        assert_eq!(
            rooms(&found.between_folders),
            [["a", "b", "c", "d"].map(Path::new)],
            "a names b, b names c in a macro, c names d in a macro of its own, d names a by glob"
        );
    }

    #[test]
    fn a_planted_circle_of_five_files_is_one_too_many() {
        let names = ["a", "b", "c", "d", "e"];
        let mut files = vec![("lib.rs".to_owned(), "mod f;".to_owned())];
        let modules: String = names.iter().map(|name| format!("mod {name};")).collect();
        files.push(("f/mod.rs".to_owned(), modules));
        for (index, name) in names.iter().enumerate() {
            let next = names[(index + 1) % names.len()];
            let text = format!("use super::{next}::T as Next; pub(crate) struct T(Next);");
            files.push((format!("f/{name}.rs"), text));
        }
        let files: Vec<_> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let circles = found(&files);
        assert!(
            circles
                .summary()
                .starts_with("0 circles between folders, at most 5 files")
        );
        assert_eq!(circles.findings(Path::new("src")).len(), 1);
    }

    #[test]
    fn a_file_beside_folders_is_a_room_of_its_own() {
        let found = found(&[
            ("lib.rs", "mod error; mod a; pub use error::Error;"),
            ("error.rs", "pub struct Error(crate::a::A);"),
            (
                "a/mod.rs",
                "pub struct A; fn f() -> Result<(), crate::Error> { Ok(()) }",
            ),
        ]);
        assert_eq!(
            rooms(&found.between_folders),
            [["a", "error.rs"].map(Path::new)]
        );
    }
}
