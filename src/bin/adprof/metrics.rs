//! `--metrics ADDR`: what a stream has done and where it stands, as Prometheus text over HTTP.
//!
//! The page is made by the stream a few times a second and only handed out here, so that
//! whoever asks, however often and however slowly, cannot hold the stream up.

use crate::report::{Exit, Failure};
use adprof::bus::LagGauge;
use adprof::run::stream::Report;
use adprof::time::Millis;
use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// How often the page is made anew.
const RENEW: Duration = Duration::from_millis(250);
/// A connection that takes longer is cut.
const LONGEST: Duration = Duration::from_secs(5);
/// So many connections are served at once.
const CONNECTIONS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;

/// The page, and who hands it out.
pub struct Metrics {
    page: Arc<Mutex<String>>,
    renewed: Option<Instant>,
    pub address: SocketAddr,
}

impl Metrics {
    /// Listens at `HOST:PORT`; of a port alone on this machine only.
    pub fn listen(address: &str) -> Result<Metrics> {
        let failed = |e: std::io::Error| {
            let failure = Failure::new(Exit::Io, format!("cannot listen for metrics at `{address}`: {e}"));
            failure.hint("name a free address of this machine: --metrics 127.0.0.1:9464")
        };
        let port = address.strip_prefix(':').unwrap_or(address);
        let listener = match port.parse::<u16>() {
            Ok(port) => TcpListener::bind(("127.0.0.1", port)),
            Err(_) => address.to_socket_addrs().and_then(|all| TcpListener::bind(&*all.collect::<Vec<_>>())),
        };
        let listener = listener.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let page = Arc::new(Mutex::new(String::new()));
        let shown = page.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        // It ends with the program.
        thread::spawn(move || runtime.block_on(serve(listener, shown)));
        Ok(Metrics { page, renewed: None, address })
    }

    /// Makes the page anew, when it is old enough.
    pub fn show(&mut self, report: &Report, lag: Option<&LagGauge>, now: Millis) {
        if self.renewed.is_some_and(|at| at.elapsed() < RENEW) {
            return;
        }
        self.renewed = Some(Instant::now());
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page(report, lag, now);
    }
}

async fn serve(listener: TcpListener, page: Arc<Mutex<String>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: it may pass.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        // Whoever has been silent for longest makes room: many who ask nothing must not keep out one who asks.
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let page = page.clone();
        let connection = tokio::spawn(async move {
            let answer = service_fn(|request| {
                let answer = answer(&request, &page);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(LONGEST).keep_alive(false).max_buf_size(HEAD_BYTES);
            // What goes wrong in one connection is that client's affair.
            let _ = tokio::time::timeout(LONGEST, http.serve_connection(TokioIo::new(stream), answer)).await;
        });
        open.push_back(connection.abort_handle());
    }
}

fn answer(request: &Request<Incoming>, page: &Mutex<String>) -> Response<Full<Bytes>> {
    let known = ["/", "/metrics"].contains(&request.uri().path());
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let (status, text) = match (known, reads) {
        (true, true) => (StatusCode::OK, page.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        (true, false) => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        (false, _) => (StatusCode::NOT_FOUND, "the metrics are at /metrics\n".to_string()),
    };
    let answer = Response::builder().status(status).header(ALLOW, "GET, HEAD");
    let answer = answer.header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    answer.body(Full::new(Bytes::from(text))).expect("the parts are constant")
}

/// The page in Prometheus' text format.
fn page(report: &Report, lag: Option<&LagGauge>, now: Millis) -> String {
    let mut page = String::with_capacity(4096);
    let mut family = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        if !values.is_empty() {
            let _ = writeln!(page, "# HELP adprof_{name} {help}\n# TYPE adprof_{name} {kind}");
        }
        for (labels, value) in values {
            let _ = writeln!(page, "adprof_{name}{labels} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let seconds = |at: Millis| at as f64 / 1000.0;
    let counts = &report.counts;
    family(
        "build_info",
        "gauge",
        "The version that runs.",
        &[(format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0)],
    );
    family(
        "consumed_total",
        "counter",
        "Lines or messages read: the sum of adprof_events_total.",
        &one(counts.consumed as f64),
    );
    let became = [
        ("absorbed", counts.absorbed),
        ("duplicate", counts.duplicates),
        ("in_base", counts.covered),
        ("given", counts.given),
        ("outside", report.outside),
        ("forgotten", counts.forgotten),
        ("refused", counts.refused),
    ];
    let became = became.map(|(what, n)| (format!("{{became=\"{what}\"}}"), n as f64));
    family("events_total", "counter", "What became of them in this run.", &became);
    family("unkeyed_total", "counter", "Messages whose key is not the userId in them.", &one(report.unkeyed as f64));
    family("patches_total", "counter", "Patches told.", &one(report.patches as f64));
    family("keys", "gauge", "Keys in memory: users, and keys of other entities.", &one(report.keys as f64));
    family("keys_waiting", "gauge", "Keys whose change is not told yet.", &one(report.waiting as f64));
    family("ids", "gauge", "Ids of events by which duplicates are noticed.", &one(report.ids as f64));
    family("horizon_seconds", "gauge", "How far back every duplicate is noticed.", &one(seconds(report.horizon)));
    if report.now > Millis::MIN {
        family("as_of_seconds", "gauge", "The instant of the values, in Unix time.", &one(seconds(report.now)));
    }
    if let Some(saved) = report.saved {
        family(
            "checkpoint_seconds",
            "gauge",
            "When the state was last on the disk, in Unix time.",
            &one(seconds(saved)),
        );
    }
    family(
        "standby",
        "gauge",
        "1 while another stream publishes and this one stands by.",
        &one(f64::from(u8::from(report.stands_by))),
    );
    family("redis_down", "gauge", "1 while Redis cannot be reached.", &one(f64::from(u8::from(report.redis_down))));
    let lag = lag.map(|gauge| (gauge.topic(), gauge.lag())).unwrap_or_default();
    let labelled = |value: fn(&adprof::bus::Lag) -> i64| -> Vec<(String, f64)> {
        let label = |l: &adprof::bus::Lag| format!("{{topic=\"{}\",partition=\"{}\"}}", lag.0, l.partition);
        lag.1.iter().map(|l| (label(l), value(l) as f64)).collect()
    };
    family("lag_messages", "gauge", "Messages of the partition that are not read yet.", &labelled(|l| l.behind()));
    family("position", "gauge", "The offset read next.", &labelled(|l| l.position));
    if let Some(bytes) = resident() {
        family("resident_bytes", "gauge", "Memory of this process.", &one(bytes));
    }
    family("page_seconds", "gauge", "When this page was made, in Unix time.", &one(seconds(now)));
    page
}

/// Resident memory, where the system tells (Linux).
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0)
}
