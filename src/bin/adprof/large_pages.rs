//! Large pages for a process whose memory is many small things far apart.
//!
//! A live state of a million users has its keys, states and ids all over a gigabyte, and with pages of 4 KiB most looks at
//! them miss the processor's table of pages. With large ones 5 M events of 1 M users take 15 % less CPU, for 7 % more
//! memory. The allocator learns of that by its environment alone, when a process begins. A `batch` gains nothing: it lays
//! its memory out itself.

/// Begins this process anew, with large pages, where Linux gives them to those who ask. Call it before anything is read or
/// opened. It comes back where there is nothing to gain, and where that fails.
#[cfg(all(target_os = "linux", not(target_env = "msvc")))]
pub fn ask() {
    use std::os::unix::process::CommandExt as _;

    /// What jemalloc reads; somebody who has set it knows better.
    const SETTINGS: &str = "_RJEM_MALLOC_CONF";
    let given = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if !given.is_ok_and(|text| text.contains("[madvise]")) || std::env::var_os(SETTINGS).is_some() {
        return;
    }
    // By its own path, since a process goes by the name of the file.
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let mut command = std::process::Command::new(program);
    command.arg0(words.next().unwrap_or_default()).args(words).env(SETTINGS, "thp:always,dirty_decay_ms:60000");
    // It comes back with an error alone; small pages do as well.
    let _ = command.exec();
}

#[cfg(not(all(target_os = "linux", not(target_env = "msvc"))))]
pub fn ask() {}
