//! Modules of a crate; resolves a path to the file that defines it.

use super::Import;
use super::mentions::{self, Mention, Use};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files of a crate by their path below `src`.
type Texts = BTreeMap<PathBuf, String>;

pub(super) struct Tree {
    modules: Vec<Module>,
    /// Files of the crate's `macro_rules!` macros by name.
    macros: BTreeMap<String, PathBuf>,
}

struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// Files that define the items of this module: its own, except for exported macros.
    items: BTreeMap<String, PathBuf>,
    uses: Vec<Use>,
    mentions: Vec<Mention>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    File(PathBuf),
}

impl Tree {
    /// Parses all modules of a crate below its `src`.
    pub(super) fn read(source: &Path) -> Result<Self, String> {
        let mut texts = Texts::new();
        collect(source, source, &mut texts)
            .map_err(|error| format!("cannot read {}: {error}", source.display()))?;
        Self::of(&texts)
    }

    pub(super) fn of(texts: &Texts) -> Result<Self, String> {
        let root = ["lib.rs", "main.rs"].map(PathBuf::from);
        let root = root
            .into_iter()
            .find(|root| texts.contains_key(root))
            .ok_or("neither lib.rs nor main.rs")?;
        let mut tree = Self {
            modules: Vec::new(),
            macros: BTreeMap::new(),
        };
        tree.add_file(texts, root, PathBuf::new(), None)?;
        Ok(tree)
    }

    /// Adds the module of a file whose child modules are in `folder`.
    fn add_file(
        &mut self,
        texts: &Texts,
        file: PathBuf,
        folder: PathBuf,
        parent: Option<usize>,
    ) -> Result<usize, String> {
        let text = texts.get(&file).map_or("", String::as_str);
        let parsed =
            syn::parse_file(text).map_err(|error| format!("{}: {error}", file.display()))?;
        self.add_module(texts, file, folder, parent, &parsed.items)
    }

    fn add_module(
        &mut self,
        texts: &Texts,
        file: PathBuf,
        folder: PathBuf,
        parent: Option<usize>,
        items: &[syn::Item],
    ) -> Result<usize, String> {
        let index = self.modules.len();
        self.modules.push(Module {
            file: file.clone(),
            parent,
            children: BTreeMap::new(),
            items: BTreeMap::new(),
            uses: Vec::new(),
            mentions: Vec::new(),
        });
        for item in items {
            if mentions::is_test_only(mentions::attributes(item)) {
                continue;
            }
            match item {
                syn::Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let child = match &item.content {
                        Some((_, items)) => {
                            let folder = folder.join(&name);
                            self.add_module(texts, file.clone(), folder, Some(index), items)?
                        }
                        None => {
                            let beside = folder.join(format!("{name}.rs"));
                            let inside = folder.join(&name).join("mod.rs");
                            let child = [beside, inside]
                                .into_iter()
                                .find(|file| texts.contains_key(file))
                                .ok_or_else(|| {
                                    format!("{}: no file of mod {name}", file.display())
                                })?;
                            self.add_file(texts, child, folder.join(&name), Some(index))?
                        }
                    };
                    self.modules[index].children.insert(name, child);
                }
                syn::Item::Use(item) => self.modules[index].uses.extend(mentions::uses(item)),
                other => {
                    if let Some(name) = name_of(other) {
                        self.define(index, name, other, &file);
                    }
                    self.modules[index]
                        .mentions
                        .extend(mentions::of_item(other));
                }
            }
        }
        Ok(index)
    }

    fn define(&mut self, module: usize, name: String, item: &syn::Item, file: &Path) {
        if let syn::Item::Macro(item) = item {
            self.macros.insert(name.clone(), file.to_owned());
            if item.attrs.iter().any(|a| a.path().is_ident("macro_export")) {
                let root = &mut self.modules[0].items;
                root.insert(name.clone(), file.to_owned());
            }
        }
        self.modules[module].items.insert(name, file.to_owned());
    }

    /// Returns every import of the crate, sorted, except imports from the same file.
    pub(super) fn imports(&self) -> Vec<Import> {
        let mut imports = BTreeSet::new();
        for (index, module) in self.modules.iter().enumerate() {
            let private = module.uses.iter().filter(|import| import.is_private);
            let private = private.map(|import| (&import.path, import.line, false));
            let mentioned = module.mentions.iter();
            let mentioned = mentioned.map(|found| (&found.path, found.line, found.is_macro));
            for (path, line, is_macro) in private.chain(mentioned) {
                for to in self.files_of(index, path, is_macro) {
                    if to != module.file {
                        imports.insert(Import {
                            from: module.file.clone(),
                            to,
                            line,
                            name: path.join("::"),
                        });
                    }
                }
            }
        }
        imports.into_iter().collect()
    }

    /// Returns the files that define the item of a path; empty for modules and for items of other crates.
    fn files_of(&self, module: usize, path: &[String], is_macro: bool) -> BTreeSet<PathBuf> {
        let found = self.resolve(module, path, &mut BTreeSet::new());
        let mut files: BTreeSet<_> = found
            .into_iter()
            .filter_map(|target| match target {
                Target::File(file) => Some(file),
                Target::Module(_) => None,
            })
            .collect();
        if let ([name], true, true) = (path, is_macro, files.is_empty()) {
            files.extend(self.macros.get(name).cloned());
        }
        files
    }

    /// Resolves a path as written in a module.
    fn resolve(
        &self,
        module: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> BTreeSet<Target> {
        let mut start = module;
        let mut left = path;
        while let Some((first, rest)) = left.split_first() {
            match first.as_str() {
                "crate" => start = 0,
                "self" => {}
                "super" => match self.modules[start].parent {
                    Some(parent) => start = parent,
                    None => return BTreeSet::new(),
                },
                _ => break,
            }
            left = rest;
        }
        self.follow(start, left, seen)
    }

    /// Resolves the rest of a path from a module, through its children, items and imports.
    fn follow(
        &self,
        module: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> BTreeSet<Target> {
        let Some((name, rest)) = path.split_first() else {
            return BTreeSet::from([Target::Module(module)]);
        };
        let mut found = BTreeSet::new();
        if !seen.insert((module, path.join("::"))) {
            return found;
        }
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            found.extend(self.follow(*child, rest, seen));
            if !rest.is_empty() {
                // a function with the name of a module has no children
                return found;
            }
        }
        if let Some(file) = here.items.get(name) {
            found.insert(Target::File(file.clone()));
        }
        for import in here
            .uses
            .iter()
            .filter(|import| import.name.as_ref() == Some(name))
        {
            for target in self.resolve(module, &import.path, seen) {
                match target {
                    Target::Module(module) => found.extend(self.follow(module, rest, seen)),
                    file => _ = found.insert(file),
                }
            }
        }
        if found.is_empty() {
            for import in here.uses.iter().filter(|import| import.name.is_none()) {
                for target in self.resolve(module, &import.path, seen) {
                    if let Target::Module(module) = target {
                        found.extend(self.follow(module, path, seen));
                    }
                }
            }
        }
        found
    }
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn collect(source: &Path, folder: &Path, texts: &mut Texts) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(source, &path, texts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(source).unwrap_or(&path).to_owned();
            texts.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
