//! The counters of a state, for whoever asks from outside: `scripts/soak.sh` compares them with the topic.

use adprof::ledger::Ledger;
use adprof::store::Embedded;
use std::path::Path;

#[test]
#[ignore = "a tool: prints the counters of the state in ADPROF_FAULT_STATE"]
fn of_a_state() {
    let state = std::env::var("ADPROF_FAULT_STATE").expect("ADPROF_FAULT_STATE names a state");
    let store = Embedded::open_existing(Path::new(&state)).expect("a store");
    let ledger = Ledger::read(&store.snapshot().expect("a snapshot")).expect("read").expect("a checkpoint");
    let c = ledger.progress.counts;
    let told = serde_json::json!({ "consumed": c.consumed, "absorbed": c.absorbed, "duplicates": c.duplicates,
                                   "covered": c.covered, "given": c.given, "refused": c.refused });
    println!("\n{told}");
}
