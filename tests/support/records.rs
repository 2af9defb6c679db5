//! Records as tests write and read them.

use std::time::UNIX_EPOCH;

use rdkafka::Message;
use rdkafka::message::{OwnedHeaders, OwnedMessage};

/// A timestamp. The broker deletes what is old, and refuses what is of the future.
pub fn a_minute_ago() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() - 60_000
}

/// The last header of that name.
pub fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let value = tagbert::record::headers::last(record.headers()?, name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Adds a header that other clients can write.
#[expect(unsafe_code, reason = "the client library can't write a header name that is not UTF-8")]
pub fn header_that_is_not_utf8(headers: OwnedHeaders) -> OwnedHeaders {
    let native = std::ptr::from_ref(headers.as_borrowed()).cast_mut().cast();
    // SAFETY: a reference to borrowed headers is librdkafka's pointer; name and value are copied.
    let result =
        unsafe { rdkafka::bindings::rd_kafka_header_add(native, c"bad\xff".as_ptr(), -1, c"1".as_ptr().cast(), 1) };
    assert_eq!(result, rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    headers
}
