//! `segment insight`: its figures are those of the profiles, it gives nobody away, and its page is harmless.

#[path = "insight/duckdb.rs"]
mod duckdb;
#[path = "insight/page.rs"]
mod page;
#[path = "insight/program.rs"]
mod program;
#[path = "insight/rfm.rs"]
mod rfm;
mod support;
#[path = "insight/world.rs"]
mod world;
