//! Redis as it is typed: the flags that every command shares that may meet one, and where its password comes from.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::store::{Access, Location, RedisUrl, Secret};
use anyhow::Result;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest password, in bytes.
const PASSWORD_MAX: u64 = 4096;

#[derive(clap::Args, Clone, Default)]
pub struct RedisArgs {
    /// The first line of this file is the password [default: the one in REDIS_URL, or REDIS_PASSWORD]
    #[arg(long, value_name = "FILE", help_heading = "Redis")]
    redis_password_file: Option<PathBuf>,
    /// Trust the certificates in this file, for rediss:// [default: those of the system]
    #[arg(long, value_name = "FILE", env = "REDIS_CACERT", hide_env_values = true, help_heading = "Redis")]
    redis_cacert: Option<PathBuf>,
    /// The client's certificate, where the server wants one
    #[arg(long, value_name = "FILE", env = "REDIS_CERT", hide_env_values = true, help_heading = "Redis")]
    redis_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", env = "REDIS_KEY", hide_env_values = true, help_heading = "Redis")]
    redis_key: Option<PathBuf>,
    /// Do not check who the server is: whoever stands between reads and changes everything
    #[arg(long, help_heading = "Redis")]
    redis_insecure: bool,
}

impl RedisArgs {
    /// What is said beside the address: by flags, by the environment, and in files.
    pub fn access(&self) -> Result<Access> {
        let said = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let password = match &self.redis_password_file {
            Some(path) => Some(password(path)?),
            None => said("REDIS_PASSWORD"),
        };
        let path = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        Ok(Access {
            password: password.map(Secret),
            sentinel_user: said("REDIS_SENTINEL_USERNAME"),
            sentinel_password: said("REDIS_SENTINEL_PASSWORD").map(Secret),
            ca: path(&self.redis_cacert),
            certificate: path(&self.redis_cert),
            key: path(&self.redis_key),
            insecure: self.redis_insecure,
        })
    }

    /// The location with what is said beside its address.
    pub fn reach(&self, location: Location) -> Result<Location> {
        Ok(match location {
            Location::Redis(_) => location.with(self.access()?),
            file => file,
        })
    }

    /// The store that a flag names, `redis` for the address in the environment.
    pub fn locate(&self, text: &str) -> Result<Location> {
        let location = match text {
            // From the environment, where a password is not shown to everyone.
            "redis" => given::redis_of_environment(),
            text => Location::parse(text),
        };
        let location = location.map_err(given::of_store)?;
        if let (Location::Redis(url), true) = (&location, text != "redis") {
            without_password(url)?;
        }
        self.reach(location)
    }
}

/// Refuses an address that was typed with a password in it.
pub fn without_password(url: &RedisUrl) -> Result<()> {
    if !url.has_password() {
        return Ok(());
    }
    let message = format!("a password on the command line, where every user of this machine can read it: {url}");
    Err(Failure::new(Exit::Usage, message).hint("put the address into the environment: REDIS_URL").into())
}

/// The first line of a file.
fn password(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).map_err(|e| report::io(path, &e))?;
    let mut bytes = Vec::new();
    file.take(PASSWORD_MAX + 1).read_to_end(&mut bytes).map_err(|e| report::io(path, &e))?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= PASSWORD_MAX);
    let first = text.as_deref().and_then(|text| text.lines().next()).filter(|line| !line.is_empty());
    first.map(str::to_string).ok_or_else(|| {
        let failure = Failure::new(Exit::Usage, format!("no password in {}", path.display()));
        failure.hint("its first line is taken, as it is").into()
    })
}
