//! Facts: what the brokers say of a topic that bears on whether its messages last.

use super::error::BusError;
use super::link::Watch;
use super::settings::Settings;
use super::topic::{Topic, UNKNOWN_GRACE};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SETTINGS_WAIT: Duration = Duration::from_secs(5);

/// A topic as its brokers describe it.
#[derive(Clone, Debug)]
pub struct TopicFacts {
    /// Brokers of the cluster that are up.
    pub brokers: usize,
    pub partitions: Vec<PartitionFacts>,
    /// The topic's settings by name, defaults of the brokers included; why not, where they are not told.
    pub settings: Result<BTreeMap<String, String>, String>,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFacts {
    pub number: i32,
    /// Copies there should be, and those that are up to date.
    pub replicas: usize,
    pub in_sync: usize,
    /// The oldest offset left, and the one after the newest; `None` without a leader.
    pub ends: Option<(i64, i64)>,
}

impl TopicFacts {
    /// Asks the brokers, as long as the settings say for the first answer.
    ///
    /// # Errors
    /// `Unavailable`, `Forbidden`, `TopicMissing`, a setting that is wrong.
    pub fn ask(settings: &Settings) -> Result<TopicFacts, BusError> {
        let mut config = settings.config(&[], &[])?;
        config.set("group.id", settings.group_or_none());
        let client: BaseConsumer<Watch> =
            config.create_with_context(Watch::new(settings)).map_err(|e| settings.refused(&e))?;
        // Long enough for several callbacks: before the reason of a failure come lines of the log.
        let pump = || while client.poll(Duration::from_millis(20)).is_some() {};
        let topic = Topic {
            settings,
            watch: client.context(),
            client: client.client(),
            pump: &pump,
            deadline: Instant::now() + settings.connect_wait(),
            grace: UNKNOWN_GRACE,
        };
        topic.partitions()?;
        let name = settings.topic();
        let metadata = topic.ask(&format!("topic `{name}`"), |wait| client.fetch_metadata(Some(name), wait))?;
        let described = metadata.topics().iter().find(|topic| topic.name() == name);
        let mut partitions = Vec::new();
        for partition in described.map(|topic| topic.partitions()).unwrap_or_default() {
            let ends = if partition.leader() < 0 { None } else { Some(topic.ends(partition.id())?) };
            partitions.push(PartitionFacts {
                number: partition.id(),
                replicas: partition.replicas().len(),
                in_sync: partition.isr().len(),
                ends,
            });
        }
        partitions.sort_by_key(|partition| partition.number);
        Ok(TopicFacts { brokers: metadata.brokers().len(), partitions, settings: topic_settings(&config, settings) })
    }

    /// A setting as a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.as_ref().ok()?.get(name)?.parse().ok()
    }
}

fn topic_settings(config: &ClientConfig, settings: &Settings) -> Result<BTreeMap<String, String>, String> {
    let client: AdminClient<DefaultClientContext> = config.create().map_err(|e| settings.mask(&e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| e.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(SETTINGS_WAIT));
    let topic = ResourceSpecifier::Topic(settings.topic());
    let answer = runtime.block_on(client.describe_configs([&topic], &options));
    let resource = answer.map_err(|e| settings.mask(&e.to_string()))?.into_iter().next();
    match resource {
        // Without the right to see them there are none.
        Some(Ok(ConfigResource { entries, .. })) if entries.is_empty() => Err("not allowed".into()),
        Some(Ok(ConfigResource { entries, .. })) => {
            Ok(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
        }
        Some(Err(code)) => Err(code.to_string()),
        None => Err("no answer".into()),
    }
}
