//! Kafka on the command line: kcat's letters, resolved to settings.

use crate::given;
use crate::report::{self, Exit, Failure};
use adprof::bus::Settings;
use anyhow::Result;
use std::path::PathBuf;

// The heading stands at each flag: given once, above, it would go on over the flags of the command.
#[derive(clap::Args, Clone)]
pub struct KafkaArgs {
    /// The brokers to begin with
    #[arg(short, long, value_name = "HOST:PORT,...", requires = "topic", help_heading = "Kafka")]
    pub brokers: Option<String>,
    /// The topic
    #[arg(short, long, value_name = "TOPIC", help_heading = "Kafka")]
    pub topic: Option<String>,
    /// A librdkafka property; secrets go into a -F file or the environment (KAFKA_PASSWORD)
    #[arg(short = 'X', value_name = "KEY=VALUE", requires = "topic", help_heading = "Kafka")]
    pub properties: Vec<String>,
    /// A file of librdkafka properties, one key=value a line: the place for secrets; it may name the brokers
    #[arg(short = 'F', value_name = "FILE", requires = "topic", help_heading = "Kafka")]
    pub file: Option<PathBuf>,
}

impl KafkaArgs {
    /// The settings that are meant; `None` when no topic was given.
    pub fn settings(&self) -> Result<Option<Settings>> {
        let Some(topic) = &self.topic else { return Ok(None) };
        let mut settings = Settings::new(self.brokers.as_deref().unwrap_or_default(), topic).map_err(given::of_bus)?;
        if let Some(file) = &self.file {
            settings.file(file).map_err(given::of_bus)?;
        }
        for property in &self.properties {
            settings.property(property).map_err(given::of_bus)?;
        }
        settings.passwords(|name| std::env::var(name).ok().filter(|text| !text.is_empty())).map_err(given::of_bus)?;
        for path in settings.exposed() {
            let path = path.display();
            report::warn(format_args!(
                "a secret is in `{path}`, which every user of this machine can read: chmod o-r {path}"
            ));
        }
        if settings.brokers().is_empty() {
            let failure = Failure::new(Exit::Usage, format!("no broker given for topic `{topic}`"));
            return Err(failure.hint("give `-b HOST:PORT`, or `bootstrap.servers` in the `-F` file").into());
        }
        Ok(Some(settings))
    }
}

/// A reason with the brokers' name, which some have already.
pub fn at_brokers(settings: &Settings, why: &str) -> String {
    let why = given::of_kafka(why);
    if why.starts_with("kafka") { why } else { format!("kafka at {}: {why}", settings.brokers()) }
}
