//! The HTTP server, its routes, and who may ask for what.

pub(crate) mod answer;
pub(crate) mod events;
pub(crate) mod guard;
pub(crate) mod openapi;
pub(crate) mod routes;
pub(crate) mod server;
