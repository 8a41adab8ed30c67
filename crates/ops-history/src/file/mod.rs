//! Files: their names, their bytes, and how they come and go.

pub(crate) mod cells;
pub(crate) mod directory;
pub(crate) mod merge;
pub(crate) mod name;
pub(crate) mod pieces;
pub(crate) mod publish;
pub(crate) mod requests;
pub(crate) mod stored;
