//! A configuration made into a running line, watched over its HTTP port, and brought to a stop.

pub mod http;
pub mod lifecycle;
pub mod manifest;
pub mod service;
pub mod signals;
pub mod summary;
