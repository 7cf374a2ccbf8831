//! The two paths, put together from carriers, engine and stores: batch over a log, stream as events come.

pub mod batch;
