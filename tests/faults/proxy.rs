//! A TCP proxy with faults: all its connections follow one rule, which a test changes while they live.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// To the server, or back from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// So many bytes more pass this way, then every connection is cut; after that there is no fault.
    CutAfter(Way, usize),
    /// What goes this way vanishes.
    Drop(Way),
    /// So many bytes a second, each way.
    Slow(usize),
    /// New connections are closed at once.
    Refuse,
    /// One bit of about so many bytes that go this way is another.
    Flip(Way, usize),
    /// A bit is another in the next bytes that hold this text, once.
    FlipIn(&'static str),
}

struct Shared {
    fault: Fault,
    /// Of the random numbers.
    seed: u64,
    pairs: Vec<(TcpStream, TcpStream)>,
    cuts: usize,
    flips: usize,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

impl Proxy {
    /// In front of what listens on `server`, on a free port of its own.
    pub fn new(server: u16, seed: u64) -> Proxy {
        Proxy::on(0, server, seed)
    }

    pub fn on(port: u16, server: u16, seed: u64) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Shared { fault: Fault::None, seed, pairs: Vec::new(), cuts: 0, flips: 0 };
        let shared = Arc::new(Mutex::new(shared));
        let of_all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let refuses = matches!(of_all.lock().expect("no panic").fault, Fault::Refuse);
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                if !refuses {
                    connect(&of_all, client, server);
                }
            }
        });
        Proxy { port, shared }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        self.shared.lock().expect("no panic").fault = fault;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shared.lock().expect("no panic").cut();
    }

    /// How often connections were cut by a rule.
    pub fn cuts(&self) -> usize {
        self.shared.lock().expect("no panic").cuts
    }

    /// How many bits were changed.
    pub fn flips(&self) -> usize {
        self.shared.lock().expect("no panic").flips
    }
}

fn connect(shared: &Arc<Mutex<Shared>>, client: TcpStream, server: TcpStream) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a copy");
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    for (way, from, to) in [(Way::Up, copy(&client), copy(&server)), (Way::Down, copy(&server), copy(&client))] {
        let shared = shared.clone();
        thread::spawn(move || pump(&shared, way, from, to));
    }
    shared.lock().expect("no panic").pairs.push((client, server));
}

/// What to do with the next bytes.
struct Verdict {
    pass: usize,
    cut: bool,
    pause: Duration,
}

fn pump(shared: &Mutex<Shared>, way: Way, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let verdict = shared.lock().expect("no panic").judge(way, &mut buffer[..n]);
        thread::sleep(verdict.pause);
        if to.write_all(&buffer[..verdict.pass]).is_err() {
            break;
        }
        if verdict.cut {
            shared.lock().expect("no panic").cut();
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl Shared {
    fn cut(&mut self) {
        for (client, server) in self.pairs.drain(..) {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }

    fn judge(&mut self, way: Way, bytes: &mut [u8]) -> Verdict {
        let n = bytes.len();
        let mut verdict = Verdict { pass: n, cut: false, pause: Duration::ZERO };
        match self.fault {
            Fault::CutAfter(of, left) if of == way => {
                if n < left {
                    self.fault = Fault::CutAfter(of, left - n);
                } else {
                    (verdict.pass, verdict.cut) = (left, true);
                    self.fault = Fault::None;
                    self.cuts += 1;
                }
            }
            Fault::Drop(of) if of == way => verdict.pass = 0,
            Fault::Slow(rate) => verdict.pause = Duration::from_micros((n * 1_000_000 / rate) as u64),
            Fault::Flip(of, every) if of == way => {
                for byte in bytes {
                    if self.random().is_multiple_of(every as u64) {
                        *byte ^= 1 << (self.random() % 8);
                        self.flips += 1;
                    }
                }
            }
            Fault::FlipIn(text) if way == Way::Down => {
                if let Some(at) = bytes.windows(text.len()).position(|part| part == text.as_bytes()) {
                    bytes[at] ^= 1;
                    self.flips += 1;
                    self.fault = Fault::None;
                }
            }
            _ => {}
        }
        verdict
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }
}
