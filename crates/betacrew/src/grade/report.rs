//! Reports of a grading run: terminal, JSON, JUnit XML, HTML, badge.

pub(crate) mod badge;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod live;
pub(crate) mod terminal;
pub(crate) mod timeline;
