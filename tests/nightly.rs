//! The nightly run: `scripts/nightly.sh` under bash with the program as built, crashed at each call, beside another, over
//! days that are missing, unsealed, bad, late, or not of 24 hours.

#[path = "nightly/base.rs"]
mod base;
#[path = "nightly/crash.rs"]
mod crash;
#[path = "nightly/days.rs"]
mod days;
#[path = "nightly/init.rs"]
mod init;
#[path = "nightly/night.rs"]
mod night;
#[path = "nightly/publish.rs"]
mod publish;
#[path = "nightly/rollups.rs"]
mod rollups;
#[path = "nightly/seal.rs"]
mod seal;
mod support;
