//! The layout holds: arrows of knowledge point one way, files stay small and say what they are for.
//!
//! Each check reads the sources as text (`layers/tokens.rs`) and is itself tested on small bad examples.

#[path = "layers/arrows.rs"]
mod arrows;
#[path = "layers/source.rs"]
mod source;
#[path = "layers/tokens.rs"]
mod tokens;

use std::path::Path;

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

#[test]
fn a_module_names_only_modules_above_it() {
    let library = source::read(&src().join("common"));
    let lib = library.iter().find(|source| source.path == "lib.rs").expect("src/common/lib.rs");
    let modules = arrows::modules(&lib.text);
    assert!(modules.len() >= 10 && modules.iter().all(|module| !module.group.is_empty()), "{modules:?}");
    let faults = arrows::faults(&modules, &library);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_has_a_header_a_bounded_length_and_no_loose_ends() {
    let faults = source::faults(&source::read(src()));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
