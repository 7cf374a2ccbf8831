//! The queue of a consumer's partitions, from which messages are taken many at a time.
//!
//! Taken one by one, through the client's queue of events, each message costs three looks at the clock, an event and an
//! `Arc`: more than half of all that the reading thread does.
#![allow(unsafe_code)] // librdkafka gives out many at a time in C alone.

use super::batch::Message;
use super::link::Watch;
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{IsError as _, KafkaError};
use rdkafka::types::RDKafkaRespErr as Answer;
use std::ffi::{CString, c_void};
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::time::Duration;

/// Where the messages of some partitions come in, and their errors. Whatever else there is comes by the client's `poll`.
pub(super) struct Queue {
    queue: NonNull<c::rd_kafka_queue_t>,
    /// What the client polls.
    beside: NonNull<c::rd_kafka_queue_t>,
    /// The queues have to go before it does.
    client: BaseConsumer<Watch>,
}

// SAFETY: queues of librdkafka may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Leads partitions to a queue of their own. Before they are assigned: what has come in elsewhere stays there. `None`:
    /// librdkafka knows no such partition, or the topic's name holds a NUL.
    pub fn new(client: BaseConsumer<Watch>, topic: &str, partitions: impl Iterator<Item = i32>) -> Option<Queue> {
        let (rk, topic) = (client.client().native_ptr(), CString::new(topic).ok()?);
        // SAFETY: the client lives as long as its queues; a queue is given out with a reference that is ours.
        let (queue, beside) = unsafe { (c::rd_kafka_queue_new(rk), c::rd_kafka_queue_get_consumer(rk)) };
        let queue = Queue { queue: NonNull::new(queue)?, beside: NonNull::new(beside)?, client };
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

    /// Hands over what is there, in the order of each partition, until it is told that this is enough; the rest stays. When
    /// there is nothing it waits that long for something. Gives whether there was anything.
    ///
    /// librdkafka has two ways to give out many. The other one, by arrays, keeps the errors of a topic that is gone to itself.
    pub fn take<F: FnMut(Taken<'_>) -> ControlFlow<()>>(&self, wait: Duration, with: F) -> bool {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut call = Call { rk: self.client.client().native_ptr(), with };
        // SAFETY: `answer` is called only before this returns, and gets what it is made for.
        let n = unsafe {
            let call = (&raw mut call).cast::<c_void>();
            c::rd_kafka_consume_callback_queue(self.queue.as_ptr(), wait, Some(answer::<F>), call)
        };
        n > 0
    }

    pub fn client(&self) -> &BaseConsumer<Watch> {
        &self.client
    }

    /// How many events wait for the client's `poll`, which takes one at a time and does not tell an event from none.
    pub fn beside(&self) -> usize {
        // SAFETY: the queue is there as long as this is.
        unsafe { c::rd_kafka_queue_length(self.beside.as_ptr()) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: no message that was taken is left, since each is there for a call only.
        unsafe {
            c::rd_kafka_queue_destroy(self.queue.as_ptr());
            c::rd_kafka_queue_destroy(self.beside.as_ptr());
        }
    }
}

struct Call<F> {
    rk: *mut c::rd_kafka_t,
    with: F,
}

/// # Safety
/// `call` leads to a `Call<F>` that nobody else uses, `message` to a message of librdkafka's.
unsafe extern "C" fn answer<F: FnMut(Taken<'_>) -> ControlFlow<()>>(
    message: *mut c::rd_kafka_message_t,
    call: *mut c_void,
) {
    // SAFETY: as promised; a message that is not NULL stays until this returns.
    let (Some(message), Some(call)) = (unsafe { (message.as_ref(), call.cast::<Call<F>>().as_mut()) }) else { return };
    if (call.with)(Taken(message)).is_break() {
        // SAFETY: the client lives longer than its queue. It is for the loop that calls us, on this thread alone.
        unsafe { c::rd_kafka_yield(call.rk) }
    }
}

/// A message, or an error in its place.
pub(super) struct Taken<'m>(&'m c::rd_kafka_message_t);

impl<'m> Taken<'m> {
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    /// # Errors
    /// `PartitionEOF` at the end of a partition, `MessageConsumption` for anything else; with the reason in librdkafka's words.
    pub fn read(&self) -> Result<Message<'m>, (KafkaError, String)> {
        let message = self.0;
        // SAFETY: a pointer that is not NULL leads to so many bytes, for as long as the message is there.
        let bytes = |at: *mut c_void, len: usize| {
            (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>().cast_const(), len) })
        };
        let payload = bytes(message.payload, message.len);
        if message.err.is_error() {
            let reason = String::from_utf8_lossy(payload.unwrap_or_default());
            let e = match message.err {
                Answer::RD_KAFKA_RESP_ERR__PARTITION_EOF => KafkaError::PartitionEOF(message.partition),
                other => KafkaError::MessageConsumption(other.into()),
            };
            return Err((e, reason.into_owned()));
        }
        // SAFETY: it may be asked without being told the kind: without a time of either kind it gives -1.
        let timestamp = unsafe { c::rd_kafka_message_timestamp(message, std::ptr::null_mut()) };
        Ok(Message {
            offset: message.offset,
            timestamp: (timestamp != -1).then_some(timestamp),
            key: bytes(message.key, message.key_len),
            payload,
        })
    }
}
