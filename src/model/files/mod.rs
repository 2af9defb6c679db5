//! The files of a model: fetched, found, and read for what they say of it.

pub mod fetch;
pub mod json;
mod labels;
pub mod layout;
pub mod manifest;
pub mod stamp;
pub mod token_label;
pub mod version;
