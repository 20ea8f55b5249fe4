//! A push request of Loki's, in JSON or protobuf, whatever it is.

#![cfg_attr(fuzzing, no_main)]

mod door;

use door::loki::Push;

of_door!(|bytes: &[u8]| door::check(|arrival| {
    let pushes = [Push::from_json(bytes).ok(), Push::from_protobuf(bytes).ok()];
    pushes.into_iter().flatten().flat_map(|push| push.events(arrival)).collect()
}));
