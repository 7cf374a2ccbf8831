//! `adprof init nightly`: the script that runs a night, as it stands in `scripts/`.

use super::File;

pub const NAME: &str = "nightly.sh";

pub fn script() -> File {
    File { name: NAME, text: include_str!("../../../../../scripts/nightly.sh").into(), mode: 0o777 }
}
