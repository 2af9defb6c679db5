//! What the cluster says of topics: their ids (KIP-516) above all. A topic that was deleted and made again has another
//! one, though its name and its offsets may be the same. The client library tells ids in C only.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// A topic as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id; `None` from brokers that know none.
    pub id: Option<(i64, i64)>,
    /// How many partitions it has.
    pub partitions: usize,
}

/// Topics by name; `None` for one that is not there.
pub type Topics = HashMap<String, Option<Topic>>;

/// How long the cluster may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks through a consumer, which need not be polled for it.
pub struct Describe<C: ConsumerContext + 'static> {
    queue: *mut native::rd_kafka_queue_t,
    names: Vec<CString>,
    waits: bool,
    /// The queue is a part of it, and must go before.
    consumer: Arc<BaseConsumer<C>>,
}

#[expect(unsafe_code, reason = "a queue of librdkafka may be used by any thread")]
// SAFETY: the pointer is owned, and librdkafka locks its queues.
unsafe impl<C: ConsumerContext + 'static> Send for Describe<C> {}

#[expect(unsafe_code, reason = "the client library describes topics in C only")]
impl<C: ConsumerContext + 'static> Describe<C> {
    /// Will ask about these topics.
    pub fn new<'t>(consumer: &Arc<BaseConsumer<C>>, topics: impl IntoIterator<Item = &'t String>) -> Self {
        // SAFETY: the client lives as long as `consumer`.
        let queue = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let mut describe = Self { queue, names: Vec::new(), waits: false, consumer: Arc::clone(consumer) };
        describe.about(topics);
        describe
    }

    /// Will ask about these topics from now on.
    pub fn about<'t>(&mut self, topics: impl IntoIterator<Item = &'t String>) {
        self.names = topics.into_iter().filter_map(|topic| CString::new(topic.as_str()).ok()).collect();
    }

    /// Asks, unless an answer is still waited for.
    pub fn ask(&mut self) {
        if self.waits || self.names.is_empty() {
            return;
        }
        self.waits = true;
        let client = self.consumer.client().native_ptr();
        let mut names: Vec<*const c_char> = self.names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: names, client and queue outlive the call, which copies what it needs; what is made here is destroyed here.
        unsafe {
            let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = native::rd_kafka_AdminOptions_new(client, operation);
            let millis = TIMEOUT.as_millis() as i32;
            let (error, size) = (&mut [0; 128], 128);
            native::rd_kafka_AdminOptions_set_request_timeout(options, millis, error.as_mut_ptr(), size);
            native::rd_kafka_DescribeTopics(client, topics, options, self.queue);
            native::rd_kafka_AdminOptions_destroy(options);
            native::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// The answer, once there is one.
    pub fn answer(&mut self, patience: Duration) -> Option<KafkaResult<Topics>> {
        if !self.waits {
            return None;
        }
        // SAFETY: the queue is ours; the event is destroyed after all that is read of it.
        unsafe {
            let event = native::rd_kafka_queue_poll(self.queue, patience.as_millis() as i32);
            if event.is_null() {
                return None;
            }
            self.waits = false;
            let error = native::rd_kafka_event_error(event);
            let result = native::rd_kafka_event_DescribeTopics_result(event);
            let answer = if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
                Err(KafkaError::AdminOp(error.into()))
            } else {
                let mut count = 0;
                let topics = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
                let topics = if count == 0 { &[] } else { slice::from_raw_parts(topics, count) };
                topics.iter().map(|topic| read(*topic)).collect()
            };
            native::rd_kafka_event_destroy(event);
            Some(answer)
        }
    }
}

/// Reads one description. What the brokers can't say for now is an error.
#[expect(unsafe_code, reason = "the client library describes topics in C only")]
unsafe fn read(topic: *const native::rd_kafka_TopicDescription_t) -> KafkaResult<(String, Option<Topic>)> {
    // SAFETY: the caller's event, of which these are parts, is alive.
    unsafe {
        let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let error = native::rd_kafka_TopicDescription_error(topic);
        let code = if error.is_null() { RDKafkaErrorCode::NoError } else { native::rd_kafka_error_code(error).into() };
        match code {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => return Ok((name, None)),
            code => return Err(KafkaError::AdminOp(code)),
        }
        let mut partitions = 0;
        native::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        let bits =
            |id| (native::rd_kafka_Uuid_most_significant_bits(id), native::rd_kafka_Uuid_least_significant_bits(id));
        let id = if id.is_null() { None } else { Some(bits(id)).filter(|bits| *bits != (0, 0)) };
        Ok((name, Some(Topic { id, partitions })))
    }
}

impl<C: ConsumerContext + 'static> Drop for Describe<C> {
    #[expect(unsafe_code, reason = "the queue was made in C")]
    fn drop(&mut self) {
        // SAFETY: it is not used any more.
        unsafe { native::rd_kafka_queue_destroy(self.queue) };
    }
}
