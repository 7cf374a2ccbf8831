//! Sentinels: they are asked who the primary is each time a connection is made, and that one is asked whether it is.
//!
//! One that was demoted breaks its connections or refuses writes: both end in asking again. That may take it ten seconds,
//! in which it takes writes that it will lose: so whoever writes asks each second, too. What was lost shows by the token.

use super::dial::Dialer;
use super::fault::{Fault, Retry};
use super::{Link, Patience, resp};
use crate::store::error::Kind;
use ::redis::{RedisConnectionInfo, Value};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// How long one of several sentinels is waited for.
const CONNECT: Duration = Duration::from_secs(1);

/// The sentinels of one primary.
pub(super) struct Sentinels {
    /// The name under which they know it.
    pub primary: String,
    pub at: Vec<(String, u16)>,
    /// User and password of the sentinels themselves.
    pub login: RedisConnectionInfo,
    /// The one that answered last is asked first.
    pub first: Cell<usize>,
    /// To whom the last connection was made.
    pub now: RefCell<Option<(String, u16)>>,
}

impl Sentinels {
    /// A connection to the primary.
    pub fn dial(&self, dialer: &Dialer, patience: Patience) -> Result<Link, Fault> {
        let mut last = None;
        for turn in 0..self.at.len() {
            let which = (self.first.get() + turn) % self.at.len();
            let fault = match self.ask(dialer, &self.at[which], patience) {
                Ok(Some((host, port))) => {
                    self.first.set(which);
                    let link = dialer.to(&host, port, patience).and_then(|mut link| link.check_role().map(|()| link));
                    match link {
                        Ok(link) => {
                            *self.now.borrow_mut() = Some((host, port));
                            return Ok(link);
                        }
                        Err(fault) => fault,
                    }
                }
                Ok(None) => Fault::new(
                    Kind::Usage,
                    Retry::Never,
                    format!("the sentinels know no primary of the name `{}`", self.primary),
                    "SENTINEL MASTERS names those they know",
                ),
                Err(fault) => fault,
            };
            // What another sentinel may know better does not end it; a refusal says more than a silence.
            match &last {
                Some(Fault { kind: Kind::Unavailable, .. }) | None => last = Some(fault),
                Some(_) => {}
            }
        }
        Err(last.expect("an address names a sentinel"))
    }

    /// Whether a sentinel names another primary than the one that the last connection was made to.
    pub fn name_another(&self, dialer: &Dialer, patience: Patience) -> bool {
        let which = self.first.get();
        match self.ask(dialer, &self.at[which], patience) {
            Ok(named) => named.is_some() && *self.now.borrow() != named,
            Err(_) => {
                // Another one the next time: this one may be gone.
                self.first.set((which + 1) % self.at.len());
                false
            }
        }
    }

    /// Where a sentinel says that the primary is; `None` when it knows none of this name.
    fn ask(
        &self,
        dialer: &Dialer,
        (host, port): &(String, u16),
        patience: Patience,
    ) -> Result<Option<(String, u16)>, Fault> {
        let quick = Patience { connect: patience.connect.min(CONNECT), reply: patience.reply.min(CONNECT), ..patience };
        let asked = dialer.with_login(host, *port, self.login.clone(), quick).and_then(|mut link| {
            resp::command(&mut link.buffer, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.primary.as_bytes()]);
            link.send()?;
            link.receive()
        });
        let told = asked.map_err(|fault| match fault.kind {
            Kind::Denied => Fault { hint: Some("REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD"), ..fault }
                .of(&format!("sentinel {host}:{port}")),
            _ => fault.of(&format!("sentinel {host}:{port}")),
        })?;
        match told {
            Value::Nil => Ok(None),
            Value::Array(parts) => {
                let mut texts = parts.into_iter().map(resp::text);
                let place = (texts.next().flatten(), texts.next().flatten().and_then(|port| port.parse().ok()));
                let (Some(host), Some(port)) = place else { return Err(Fault::unexpected("SENTINEL")) };
                Ok(Some((host, port)))
            }
            _ => Err(Fault::unexpected("SENTINEL")),
        }
    }
}

impl Link {
    /// A server that was the primary a moment ago may not be any more, or not yet.
    fn check_role(&mut self) -> Result<(), Fault> {
        resp::command(&mut self.buffer, &[b"ROLE"]);
        self.send()?;
        let Value::Array(role) = self.receive()? else { return Err(Fault::unexpected("ROLE")) };
        match role.into_iter().next().and_then(resp::text).as_deref() {
            Some("master") => Ok(()),
            _ => Err(Fault::new(
                Kind::Unavailable,
                Retry::Reconnect,
                "whom the sentinels name is not the primary".to_string(),
                "a failover takes some seconds; SENTINEL CKQUORUM says whether one is possible",
            )),
        }
    }
}
