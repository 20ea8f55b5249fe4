//! A request of Elasticsearch's bulk API, whatever it is.

#![cfg_attr(fuzzing, no_main)]

mod door;

of_door!(|bytes: &[u8]| door::check(|arrival| {
    let items = door::bulk::items(bytes, "index", 100, arrival).unwrap_or_default();
    items.into_iter().map(|item| item.event).collect()
}));
