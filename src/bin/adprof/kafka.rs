//! Kafka on the command line: kcat's letters, resolved to settings.

use crate::given;
use crate::report::{Exit, Failure};
use adprof::bus::Settings;
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// The brokers
    #[arg(short, long, value_name = "HOST:PORT,...", requires = "topic")]
    pub brokers: Option<String>,
    /// The topic
    #[arg(short, long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// A librdkafka property; secrets go into a -F file
    #[arg(short = 'X', value_name = "KEY=VALUE", requires = "topic")]
    pub properties: Vec<String>,
    /// A file of librdkafka properties, for TLS, SASL and secrets; it may name the brokers
    #[arg(short = 'F', value_name = "FILE", requires = "topic")]
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
        if settings.brokers().is_empty() {
            let failure = Failure::new(Exit::Usage, format!("no broker given for topic `{topic}`"));
            return Err(failure.hint("give `-b HOST:PORT`, or `bootstrap.servers` in the `-F` file").into());
        }
        Ok(Some(settings))
    }
}
