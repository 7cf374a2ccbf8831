//! Being told to stop: SIGINT and SIGTERM ask for an orderly end, a second one ends at once.
//!
//! The flag goes up once and never down; whoever waits looks at it at least every 50 ms.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};

static STOP: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The flag that the first signal raises. The first call takes the signals over, for the rest of the program's life.
pub fn flag() -> &'static AtomicBool {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(install);
    &STOP
}

/// Whether the program was told to stop.
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The exit code of a program that ends because it was told to: 128 and the signal, as a shell has it.
pub fn code() -> i32 {
    128 + SIGNAL.load(Ordering::SeqCst)
}

/// Without a runtime or a thread the signals keep their usual effect: the program ends, and the log is healed by the next.
fn install() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    let (Ok(interrupt), Ok(terminate)) = signals else { return };
    let _ = thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watch(interrupt, terminate)));
}

async fn watch(mut interrupt: Signal, mut terminate: Signal) {
    loop {
        let kind = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        // The signal first: who sees the flag may ask for the code.
        SIGNAL.store(kind.as_raw_value(), Ordering::SeqCst);
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(code());
        }
    }
}
