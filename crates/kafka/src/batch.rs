//! Records taken from librdkafka many at a time: less than two thirds of the work of taking them one by one.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::time::Duration;

/// Room for a batch of records, reused; the records are given back to librdkafka when it is cleared or dropped.
#[derive(Default)]
pub struct Batch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
}

impl Batch {
    /// Takes what waits in `queue`, up to `most` messages; waits up to `wait` for so many.
    ///
    /// An error, or an end of partition, comes as a message, too, and moves the partition's position past it: whoever goes
    /// on from a position, as after a pause, must not ask for ends of partitions.
    pub(super) fn take(
        &mut self,
        queue: NonNull<sys::rd_kafka_queue_t>,
        wait: Duration,
        most: usize,
    ) -> impl Iterator<Item = Record<'_>> {
        self.clear();
        self.messages.resize(most, ptr::null_mut());
        // SAFETY: `messages` has room for `most` pointers; what is returned is owned by us until destroyed.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(queue.as_ptr(), wait.as_millis() as i32, self.messages.as_mut_ptr(), most)
        };
        self.messages.truncate(taken.max(0) as usize);
        self.iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.messages.iter().map(|&message| Record { message, _batch: PhantomData })
    }

    /// Gives the records back.
    pub fn clear(&mut self) {
        for message in self.messages.drain(..).filter(|message| !message.is_null()) {
            // SAFETY: each came from the batch call and is destroyed once, here.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One record of a [`Batch`], or an error that came in its place.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    message: *mut sys::rd_kafka_message_t,
    _batch: PhantomData<&'a Batch>,
}

impl<'a> Record<'a> {
    fn raw(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: valid until the batch is cleared, which its borrow forbids while this lives.
        unsafe { &*self.message }
    }

    /// The error this message stands for, if it is no record.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let code: RDKafkaErrorCode = self.raw().err.into();
        (code != RDKafkaErrorCode::NoError).then_some(code)
    }

    /// What librdkafka says about the error; empty for a record.
    pub fn error_text(&self) -> std::borrow::Cow<'a, str> {
        match self.error() {
            Some(_) => String::from_utf8_lossy(self.payload().unwrap_or_default()),
            None => "".into(),
        }
    }

    /// The log was cut below the position that it was to be read from. librdkafka says so within the text of another
    /// error: there is no policy for where to go on.
    pub fn is_truncation(&self) -> bool {
        // SAFETY: librdkafka's descriptions are static, and end with NUL.
        let said = unsafe {
            CStr::from_ptr(sys::rd_kafka_err2str(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__LOG_TRUNCATION))
        };
        said.to_str().is_ok_and(|said| self.error_text().contains(said))
    }

    /// Leader epoch that the record was written under; `None` from brokers that do not tell.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: valid message.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }

    /// A number that is the same for records of the same topic while the consumer lives.
    pub fn topic_handle(&self) -> usize {
        self.raw().rkt as usize
    }

    pub fn topic(&self) -> &'a str {
        // SAFETY: librdkafka's topic names are NUL-terminated and live as long as the topic handle.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw().rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub fn partition(&self) -> i32 {
        self.raw().partition
    }

    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The record's value; `None` for a tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        bytes(self.raw().payload, self.raw().len)
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        bytes(self.raw().key, self.raw().key_len)
    }

    /// The value of the last header of this name; one without a value is empty.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut headers = ptr::null_mut();
        // SAFETY: valid message; the headers stay the message's, and are read once, on first use.
        let code = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let mut found = None;
        for at in 0.. {
            let (mut key, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: valid headers, valid places for the answers, which live as long as the headers.
            let code = unsafe { sys::rd_kafka_header_get_all(headers, at, &mut key, &mut value, &mut length) };
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a header's name ends with NUL.
            if unsafe { CStr::from_ptr(key) }.to_bytes() == name.as_bytes() {
                found = Some(bytes(value.cast_mut(), length).unwrap_or_default());
            }
        }
        found
    }

    /// The record's Kafka timestamp, Unix milliseconds.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: valid message, valid place for the answer.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        (time >= 0).then_some(time)
    }
}

fn bytes<'a>(start: *mut std::ffi::c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka gives a pointer to `length` bytes that live as long as the message.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start as *const u8, length) })
}
