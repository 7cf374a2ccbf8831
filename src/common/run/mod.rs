//! The two paths, put together from carriers, engine and stores: batch over a log, stream as events come.

pub mod base;
pub mod batch;
pub mod emit;
pub mod feed;
pub mod filter;
pub mod forget;
pub mod history;
pub mod imports;
pub mod key_rows;
pub mod keep;
pub mod outbox;
mod projection;
mod publish;
pub mod rebuild;
mod saver;
mod standby;
pub mod stream;
pub mod verify;
