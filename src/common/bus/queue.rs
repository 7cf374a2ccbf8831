//! The queue of a consumer's partitions, from which messages are taken many at a time.
//!
//! Taken one by one, through the client's queue of events, each message costs three looks at the clock, an event and an
//! `Arc`: more than half of all that the reading thread does.
#![allow(unsafe_code)] // librdkafka gives out batches in C alone.

use super::batch::Message;
use super::link::Watch;
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{IsError as _, KafkaError};
use rdkafka::types::RDKafkaRespErr as Answer;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Where the messages of some partitions come in, and their errors. Whatever else there is comes by the client's `poll`.
pub(super) struct Queue {
    queue: NonNull<c::rd_kafka_queue_t>,
    /// The queue has to go before it does.
    _client: Arc<BaseConsumer<Watch>>,
}

// SAFETY: queues of librdkafka may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Leads partitions to a queue of their own. Before they are assigned: what has come in elsewhere stays there. `None`:
    /// librdkafka knows no such partition, or the topic's name holds a NUL.
    pub fn new(
        client: &Arc<BaseConsumer<Watch>>,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Option<Queue> {
        let (rk, topic) = (client.client().native_ptr(), CString::new(topic).ok()?);
        // SAFETY: the client lives as long as the queue; a queue is given out with a reference that is ours.
        let queue = NonNull::new(unsafe { c::rd_kafka_queue_new(rk) })?;
        let queue = Queue { queue, _client: client.clone() };
        for partition in partitions {
            // SAFETY: as above; the text ends in NUL, and a queue that others lead to is kept by them.
            unsafe {
                let own = NonNull::new(c::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition))?;
                c::rd_kafka_queue_forward(own.as_ptr(), queue.queue.as_ptr());
                c::rd_kafka_queue_destroy(own.as_ptr());
            }
        }
        Some(queue)
    }

    /// What is there, up to `most`. It waits until there are so many, but no longer than `wait`: for the first message alone
    /// ask for one.
    pub fn take(&self, wait: Duration, most: usize) -> Vec<Taken<'_>> {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut taken: Vec<Taken<'_>> = Vec::with_capacity(most);
        // SAFETY: there is room for so many pointers, and as many as it says are written, none of them NULL; a `Taken` is
        // such a pointer.
        unsafe {
            let n = c::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, taken.as_mut_ptr().cast(), most);
            taken.set_len(usize::try_from(n).unwrap_or(0));
        }
        taken
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: no message that was taken is left, since each borrows the queue.
        unsafe { c::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A message, or an error in its place.
#[repr(transparent)]
pub(super) struct Taken<'q>(NonNull<c::rd_kafka_message_t>, PhantomData<&'q Queue>);

impl Taken<'_> {
    fn message(&self) -> &c::rd_kafka_message_t {
        // SAFETY: it is ours until it is dropped, and nobody changes it.
        unsafe { self.0.as_ref() }
    }

    pub fn partition(&self) -> i32 {
        self.message().partition
    }

    /// # Errors
    /// `PartitionEOF` at the end of a partition, `MessageConsumption` for anything else.
    pub fn read(&self) -> Result<Message<'_>, KafkaError> {
        let message = self.message();
        match message.err {
            Answer::RD_KAFKA_RESP_ERR__PARTITION_EOF => return Err(KafkaError::PartitionEOF(message.partition)),
            answer if answer.is_error() => return Err(KafkaError::MessageConsumption(answer.into())),
            _ => {}
        }
        // SAFETY: it may be asked without being told the kind: without a time of either kind it gives -1.
        let timestamp = unsafe { c::rd_kafka_message_timestamp(self.0.as_ptr(), std::ptr::null_mut()) };
        // SAFETY: a pointer that is not NULL leads to so many bytes, for as long as the message is there.
        let bytes = |at: *mut std::ffi::c_void, len: usize| {
            (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>().cast_const(), len) })
        };
        Ok(Message {
            offset: message.offset,
            timestamp: (timestamp != -1).then_some(timestamp),
            key: bytes(message.key, message.key_len),
            payload: bytes(message.payload, message.len),
        })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // SAFETY: it is given back once.
        unsafe { c::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}
