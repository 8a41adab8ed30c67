//! Checks law 7 of docs/architecture.md: the crates whose types occur in public signatures, so that a new major version
//! of such a crate does not force one here. Covers functions, fields, variants, aliases, traits, `impl From<..>` and
//! re-exports, but not derives.

use super::Finding;
use crate::metadata::{Metadata, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// Crates that may occur in every signature.
const EVERYWHERE: [&str; 3] = ["http", "serde", "slog"];

/// Crates that may occur in the signatures of one file or folder below `src` (a folder ends with `/`; empty: all).
const ADAPTERS: [(&str, &str, &[&str]); 12] = [
    ("data-cache", "", &["arrow"]),
    ("ops-admin", "router.rs", &["axum"]),
    ("ops-layer", "", &["tokio"]),
    ("ops-layer", "serve/", &["axum"]),
    ("ops-layer", "serve/mod.rs", &["tonic", "tower_service"]),
    ("ops-log", "bridge/", &["tracing", "tracing_subscriber"]),
    ("ops-log", "context/carry.rs", &["tokio"]),
    ("ops-metrics", "scrape/service.rs", &["bytes"]),
    ("ops-trace", "axum.rs", &["axum"]),
    ("ops-trace", "context.rs", &["tokio"]),
    (
        "ops-trace",
        "otel.rs",
        &["opentelemetry", "opentelemetry_sdk"],
    ),
    (
        "ops-trace",
        "tracing_spans/",
        &["tracing", "tracing_subscriber"],
    ),
];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ours: BTreeSet<String> = metadata
        .members()
        .iter()
        .map(|package| package.name.replace('-', "_"))
        .collect();
    for package in metadata.crates() {
        if !package.is_published() {
            continue;
        }
        let foreign = foreign_names(package, &ours);
        for file in sources(&package.folder().join("src")) {
            let inside = file.strip_prefix(package.folder()).unwrap_or(&file);
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let Ok(found) = exposed(&text, &foreign) else {
                findings.push(Finding::new(&file, 1, "article 7: cannot be parsed"));
                continue;
            };
            for exposed in found {
                if !is_allowed(&package.name, inside, &exposed.krate) {
                    let message = format!(
                        "article 7: {} of {} is in a public signature; move it to an adapter module, or extend the law and `ADAPTERS`",
                        exposed.name, exposed.krate
                    );
                    findings.push(Finding::new(&file, exposed.line, message));
                }
            }
        }
    }
    findings
}

fn is_allowed(package: &str, file: &Path, krate: &str) -> bool {
    EVERYWHERE.contains(&krate)
        || ADAPTERS.iter().any(|(of, place, crates)| {
            let place = Path::new("src").join(place);
            *of == package && file.starts_with(place) && crates.contains(&krate)
        })
}

/// Returns the crates that a package depends on, in their spelling in code, without those of this workspace.
fn foreign_names(package: &Package, ours: &BTreeSet<String>) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|d| d.kind.is_none());
    let names = normal.map(|dependency| dependency.name.replace('-', "_"));
    names.filter(|name| !ours.contains(name)).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A type of another crate in a public signature.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Exposed {
    line: usize,
    krate: String,
    name: String,
}

fn exposed(text: &str, foreign: &BTreeSet<String>) -> syn::Result<BTreeSet<Exposed>> {
    let file = syn::parse_file(text)?;
    let mut reader = Reader {
        foreign,
        imported: BTreeMap::new(),
        found: BTreeSet::new(),
    };
    reader.imports(&file.items);
    reader.items(&file.items);
    Ok(reader.found)
}

struct Reader<'a> {
    foreign: &'a BTreeSet<String>,
    /// Imported names of the file, each with its crate.
    imported: BTreeMap<String, String>,
    found: BTreeSet<Exposed>,
}

impl Reader<'_> {
    fn imports(&mut self, items: &[syn::Item]) {
        for item in items {
            match item {
                syn::Item::Use(item) => {
                    for (krate, name, _) in self.named_by(item) {
                        self.imported.insert(name, krate);
                    }
                }
                syn::Item::Mod(item) => {
                    if let Some((_, items)) = &item.content {
                        self.imports(items);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns crate, name and line of each foreign name that a declaration imports.
    fn named_by(&self, item: &syn::ItemUse) -> Vec<(String, String, usize)> {
        let mut found = Vec::new();
        let mut left = vec![(None::<String>, &item.tree)];
        while let Some((krate, tree)) = left.pop() {
            let mut add = |ident: &syn::Ident, name: &syn::Ident| {
                let krate = krate.clone().unwrap_or_else(|| ident.to_string());
                found.push((krate, name.to_string(), name.span().start().line));
            };
            match tree {
                syn::UseTree::Path(path) => {
                    let krate = krate.clone().unwrap_or_else(|| path.ident.to_string());
                    left.push((Some(krate), &path.tree));
                }
                syn::UseTree::Name(name) => add(&name.ident, &name.ident),
                syn::UseTree::Rename(name) => add(&name.ident, &name.rename),
                syn::UseTree::Glob(_) => {}
                syn::UseTree::Group(group) => {
                    left.extend(group.items.iter().map(|tree| (krate.clone(), tree)));
                }
            }
        }
        found.retain(|(krate, _, _)| self.foreign.contains(krate));
        found
    }

    fn items(&mut self, items: &[syn::Item]) {
        for item in items {
            match item {
                syn::Item::Fn(item) if is_public(&item.vis) => self.visit_signature(&item.sig),
                syn::Item::Struct(item) if is_public(&item.vis) => {
                    self.visit_generics(&item.generics);
                    self.fields(&item.fields);
                }
                syn::Item::Enum(item) if is_public(&item.vis) => {
                    for variant in &item.variants {
                        self.visit_fields(&variant.fields);
                    }
                }
                syn::Item::Type(item) if is_public(&item.vis) => self.visit_type(&item.ty),
                syn::Item::Const(item) if is_public(&item.vis) => self.visit_type(&item.ty),
                syn::Item::Static(item) if is_public(&item.vis) => self.visit_type(&item.ty),
                syn::Item::Trait(item) if is_public(&item.vis) => self.visit_item_trait(item),
                syn::Item::Use(item) if is_public(&item.vis) => {
                    for (krate, name, line) in self.named_by(item) {
                        self.found.insert(Exposed { line, krate, name });
                    }
                }
                syn::Item::Impl(item) => self.implementation(item),
                syn::Item::Mod(item) if !is_test(&item.attrs) => {
                    if let Some((_, items)) = &item.content {
                        self.items(items);
                    }
                }
                _ => {}
            }
        }
    }

    fn fields(&mut self, fields: &syn::Fields) {
        for field in fields.iter().filter(|field| is_public(&field.vis)) {
            self.visit_type(&field.ty);
        }
    }

    fn implementation(&mut self, item: &syn::ItemImpl) {
        if let Some((_, path, _)) = &item.trait_ {
            // the trait itself is the purpose of the implementation; its arguments are a choice
            let arguments = path.segments.last().map(|segment| &segment.arguments);
            if let Some(arguments) = arguments {
                self.visit_path_arguments(arguments);
            }
            return;
        }
        for member in &item.items {
            if let syn::ImplItem::Fn(member) = member
                && is_public(&member.vis)
            {
                self.visit_signature(&member.sig);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let written = first.ident.to_string();
            let krate = match self.foreign.contains(&written) && path.segments.len() > 1 {
                true => Some(written),
                false => self.imported.get(&written).cloned(),
            };
            if let (Some(krate), Some(last)) = (krate, path.segments.last()) {
                self.found.insert(Exposed {
                    line: first.ident.span().start().line,
                    krate,
                    name: last.ident.to_string(),
                });
            }
        }
        visit::visit_path(self, path);
    }

    fn visit_block(&mut self, _: &'ast syn::Block) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

fn is_public(visibility: &syn::Visibility) -> bool {
    // `unreachable_pub` is denied, so `pub` items are public
    matches!(visibility, syn::Visibility::Public(_))
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let foreign = ["axum", "duckdb"].map(str::to_owned).into();
        let found = exposed(text, &foreign).unwrap().into_iter();
        found
            .map(|exposed| format!("{}::{}", exposed.krate, exposed.name))
            .collect()
    }

    #[test]
    fn foreign_types_are_found_wherever_a_signature_names_them() {
        for text in [
            "use axum::Router as R; pub fn f(r: R) {}",
            "pub fn f() -> Option<axum::R> { None }",
            "use axum::{b::C, R}; pub struct S { pub r: R, c: C }",
            "pub enum E { V(axum::R) }",
            "pub type T = Vec<axum::R>;",
            "pub trait T { fn f(&self, r: &axum::R); }",
            "pub use axum::R;",
            "impl From<axum::R> for S {}",
            "impl S { pub fn f<T: axum::R>(t: T) {} }",
            "pub mod m { pub fn f(r: axum::R) {} }",
        ] {
            assert_eq!(names(text), ["axum::R"], "{text}");
        }
    }

    #[test]
    fn what_nobody_outside_can_name_is_left_alone() {
        for text in [
            "pub(crate) fn f(r: axum::R) {}",
            "pub fn f() { let r = axum::R; }",
            "pub struct S { r: axum::R }",
            "impl S { fn f(r: axum::R) {} }",
            "impl axum::R for S {}",
            "#[cfg(test)] mod tests { pub fn f(r: axum::R) {} }",
            "use crate::R; pub fn f(r: R) {}",
        ] {
            assert!(names(text).is_empty(), "{text}: {:?}", names(text));
        }
    }

    #[test]
    fn an_adapter_may_name_its_crate_and_no_other() {
        let allowed = |file: &str, krate: &str| is_allowed("ops-trace", Path::new(file), krate);
        assert!(allowed("src/axum.rs", "axum") && allowed("src/tracing_spans/mod.rs", "tracing"));
        assert!(allowed("src/span.rs", "http"));
        assert!(!allowed("src/span.rs", "axum") && !allowed("src/axum.rs", "tokio"));
    }
}
