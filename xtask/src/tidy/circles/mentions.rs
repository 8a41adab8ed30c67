//! Paths mentioned in the code of a module: in signatures, bodies, private imports and the tokens of macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A path as written, such as `["super", "Line"]`, and its line.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// A call such as `line!(..)`: macros are also looked up by name in the whole crate.
    pub(super) is_macro: bool,
}

/// Name under which a module imports an item.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    /// `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) line: usize,
    /// A public `use` re-exports a name; only a private one is an import of its file.
    pub(super) is_private: bool,
}

/// Returns the mentions of an item, except those in nested modules, which are collected separately.
pub(super) fn of_item(item: &syn::Item) -> Vec<Mention> {
    let mut collector = Collector::default();
    collector.visit_item(item);
    collector.mentions
}

/// Returns the names that a `use` declaration imports into its module.
pub(super) fn uses(item: &syn::ItemUse) -> Vec<Use> {
    let mut found = Vec::new();
    if item.leading_colon.is_none() {
        let is_private = matches!(item.vis, syn::Visibility::Inherited);
        flatten(&item.tree, &mut Vec::new(), is_private, &mut found);
    }
    found
}

fn flatten(tree: &syn::UseTree, prefix: &mut Vec<String>, is_private: bool, found: &mut Vec<Use>) {
    let mut add = |last: Option<String>, name: Option<String>, line| {
        let mut path = prefix.clone();
        path.extend(last);
        found.push(Use {
            path,
            name,
            line,
            is_private,
        });
    };
    match tree {
        syn::UseTree::Path(tree) => {
            prefix.push(tree.ident.to_string());
            flatten(&tree.tree, prefix, is_private, found);
            prefix.pop();
        }
        syn::UseTree::Name(tree) => {
            let name = tree.ident.to_string();
            let line = line_of(&tree.ident);
            if name == "self" {
                let parent = prefix.last().cloned();
                add(None, parent, line);
            } else {
                add(Some(name.clone()), Some(name), line);
            }
        }
        syn::UseTree::Rename(tree) => {
            let original = tree.ident.to_string();
            let last = (original != "self").then_some(original);
            add(last, Some(tree.rename.to_string()), line_of(&tree.ident));
        }
        syn::UseTree::Glob(tree) => add(None, None, line_of(tree)),
        syn::UseTree::Group(tree) => {
            for tree in &tree.items {
                flatten(tree, prefix, is_private, found);
            }
        }
    }
}

/// Returns `true` for items compiled only for tests.
pub(super) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        let condition = condition.trim();
        list.path.is_ident("cfg")
            && (condition == "test"
                || condition == "doctest"
                || condition.starts_with("all (test")
                || condition.starts_with("all (doctest"))
    })
}

#[derive(Default)]
struct Collector {
    mentions: Vec<Mention>,
}

impl Collector {
    fn add(&mut self, path: Vec<String>, line: usize, is_macro: bool) {
        self.mentions.push(Mention {
            path,
            line,
            is_macro,
        });
    }

    /// Collects the paths in the tokens of a macro, which are not parsed as Rust syntax.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let Some(next) = segment_after(&tokens[at..]) {
                        path.push(next);
                        at += 3;
                    }
                    let is_macro = is_punctuation(tokens.get(at), '!');
                    let is_type = path[0].starts_with(|c: char| c.is_ascii_uppercase());
                    if path.len() > 1 || is_macro || is_type {
                        self.add(path, first.span().start().line, is_macro);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

fn segment_after(tokens: &[TokenTree]) -> Option<String> {
    let colons = is_punctuation(tokens.first(), ':') && is_punctuation(tokens.get(1), ':');
    match tokens.get(2) {
        Some(TokenTree::Ident(ident)) if colons => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punctuation(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == sign)
}

fn line_of(part: &impl Spanned) -> usize {
    part.span().start().line
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|part| part.ident.to_string());
            self.add(names.collect(), line_of(path), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.leading_colon.is_none() {
            let names = call.path.segments.iter().map(|part| part.ident.to_string());
            self.add(names.collect(), line_of(&call.path), true);
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // inside a function: an import like any other
        for import in uses(item) {
            self.add(import.path, import.line, false);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}
}

/// Returns the attributes of an item of any kind.
pub(super) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
