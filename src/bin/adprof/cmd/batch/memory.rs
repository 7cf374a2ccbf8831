//! How much memory the rows of a log may take, and where they go beyond it.

use crate::given;
use adprof::run::batch::Budget;
use std::fs;
use std::path::PathBuf;

/// What a run needs besides the rows: buffers, the states of the keys it folds, patches on their way out.
const BESIDES: u64 = 48 << 20;

#[derive(clap::Args)]
pub struct MemoryArgs {
    /// Memory to get along with: rows beyond it go to a file [default: half of what is free]
    #[arg(long, value_name = "SIZE", value_parser = given::size)]
    memory: Option<u64>,
    /// Where that file is made; it has no name there [default: TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

impl MemoryArgs {
    /// Half of the memory is for rows, the rest for what is made of them.
    pub fn budget(&self) -> Budget {
        let memory = self.memory.or_else(|| free().map(|free| free / 2)).unwrap_or(u64::MAX);
        Budget {
            bytes: (memory / 2).saturating_sub(BESIDES).max(memory / 8),
            spill: self.temp_dir.clone().unwrap_or_else(std::env::temp_dir),
        }
    }
}

/// Memory that is free, as the kernel counts it, within the limit of the control group; `None` where nobody tells.
fn free() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = available.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10;
    Some(limit().map_or(available, |limit| limit.min(available)))
}

/// The limit of the control group, either version; the strictest of those above it.
fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = |line: &str| -> Option<(PathBuf, &'static str)> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kind, group) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        match kind {
            "" => Some((PathBuf::from("/sys/fs/cgroup").join(group), "memory.max")),
            "memory" => Some((PathBuf::from("/sys/fs/cgroup/memory").join(group), "memory.limit_in_bytes")),
            _ => None,
        }
    };
    let limits = groups.lines().filter_map(path).flat_map(|(group, file)| {
        let files: Vec<PathBuf> = group.ancestors().map(|group| group.join(file)).collect();
        files.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
    });
    limits.min()
}
