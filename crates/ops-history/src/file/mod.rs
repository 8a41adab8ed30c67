//! History files: names, content, writing, merging and removal.

pub(crate) mod cells;
pub(crate) mod directory;
pub(crate) mod merge;
pub(crate) mod name;
pub(crate) mod pieces;
pub(crate) mod publish;
pub(crate) mod requests;
pub(crate) mod stored;
