//! Series and their metrics: definitions, values, the limits of their number, and the registry of all families.

mod buckets;
pub(crate) mod cardinality;
pub(crate) mod define;
pub(crate) mod definition;
pub(crate) mod distribution;
pub(crate) mod exemplar;
pub(crate) mod facade;
pub(crate) mod family;
pub(crate) mod guard;
pub(crate) mod label;
pub(crate) mod refusals;
pub(crate) mod registry;
pub(crate) mod rejected;
pub(crate) mod scope;
mod table;
pub(crate) mod value;
