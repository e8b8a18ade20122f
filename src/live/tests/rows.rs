//! The checkpoint's format of an input.

use super::*;

#[test]
fn checkpoint_format_of_an_input_is_stable() {
    let stored = r#"{"known_since":1795000001000000000,"events":[2,1],"last_event":[1795000003000000000,1795000002000000000],"errors":{"errors":[0,0,0,0,0,0,1],"last_error":[null,null,null,null,null,null,1795000004000000000],"last_other_code":"ERR_NEW"},"base":{"connection":{"connected":true,"since":1795000001000000000,"confirmed":true,"counted":false},"newest":1795000001000000000,"session":1795000001000000000,"closed":0,"counts":{"sessions":1,"reconnects":0,"inconsistent":[0,0]}},"list":[[1795000002000000000,2],[1795000003000000000,7]],"now":{"connection":{"connected":true,"since":1795000003000000000,"confirmed":true,"counted":true},"newest":1795000003000000000,"session":1795000001000000000,"closed":1000000000,"counts":{"sessions":1,"reconnects":1,"inconsistent":[0,0]}},"recorded_at":1795000004000000000,"shown_until":1795000005000000000,"shown":{"counts":{"sessions":1,"reconnects":1,"inconsistent":[0,0]},"connected":4000000000}}"#;
    let (input, exception) = Input::decode(Input::VERSION, stored).unwrap();
    assert_eq!(exception, None);
    assert_eq!(input.encode(None), stored);
    assert_eq!((input.events(), input.evidence().unwrap().since), ([2, 1, 1], at(3)));
    let default = Input::default();
    assert_eq!(Input::decode(Input::VERSION, &default.encode(None)).unwrap(), (default, None));
}

#[test]
fn checkpoint_format_of_an_exception_is_stable() {
    let stored = r#"{"exception":{"expected":true,"from":1795000001000000000,"until":1795000002000000000},"user":"anna","reason":null}"#;
    let entry: ExceptionEntry = serde_json::from_str(stored).unwrap();
    assert_eq!(serde_json::to_string(&entry).unwrap(), stored);
    let exception = Exception { expected: true, from: at(1), until: at(2) };
    assert_eq!((entry.exception, entry.user.as_deref()), (exception, Some("anna")));
    let row = Input::default().encode(Some(&entry));
    assert_eq!(Input::decode(Input::VERSION, &row).unwrap(), (Input::default(), Some(entry)));
}

#[test]
fn rows_of_the_first_format_are_read() {
    let disconnected = r#"{"known_since":1795197964000000000,"evidence":{"connected":false,"updated_at":1795197960000000000,"since":1795197960000000000,"unseen_until":0},"events":[1,1,2],"last_event":[1795197950000000000,1795197960000000000,1795197970000000000],"sessions":1,"reconnects":0,"inconsistent":[0,0],"session":{"started_at":1795197950000000000,"ended_at":1795197960000000000},"banked":{"secs":10,"nanos":0},"shown":{"secs":0,"nanos":0},"errors":[1,0,0,0,0,0,1],"last_error":[1795197970000000000,null,null,null,null,null,1795197965000000000],"last_other_code":"ERR_NEW"}"#;
    let (input, _) = Input::decode(1, disconnected).unwrap();
    assert_eq!((input.events(), input.errors.counts()), ([1, 1, 2], [1, 0, 0, 0, 0, 0, 1]));
    let counters = input.counters(Timestamp::MAX, &rules());
    assert_eq!((counters.sessions, counters.connected_time), (1, Duration::from_secs(10)));
    let mut sessions = Vec::new();
    input.durations(Timestamp::MAX, &rules(), |duration| sessions.push(duration));
    assert_eq!(sessions, [changes::CountedDuration::Session(Duration::from_secs(10))]);

    let connected = r#"{"known_since":1795197964000000000,"evidence":{"connected":true,"updated_at":1795197980000000000,"since":1795197970000000000,"unseen_until":1795197970000000000},"events":[3,1,0],"last_event":[1795197980000000000,1795197960000000000,null],"sessions":1,"reconnects":1,"inconsistent":[1,0],"session":{"started_at":1795197950000000000,"ended_at":null},"banked":{"secs":10,"nanos":1},"shown":{"secs":9,"nanos":2},"errors":[0,0,0,0,0,0,0],"last_error":[null,null,null,null,null,null,null],"last_other_code":null}"#;
    let (input, _) = Input::decode(1, connected).unwrap();
    let evidence = input.evidence().unwrap();
    assert_eq!((evidence.connected, evidence.updated_at.as_millis()), (true, 1_795_197_980_000));
    let counters = input.counters(evidence.since.plus(Duration::from_secs(7)), &rules());
    assert_eq!((counters.reconnects, counters.inconsistent), (1, [1, 0]));
    assert_eq!(counters.connected_time, Duration::from_nanos(17_000_000_001));
    input.durations(Timestamp::MAX, &rules(), |duration| panic!("{duration:?}"));

    let unknown = r#"{"known_since":null,"evidence":null,"events":[0,0,0],"last_event":[null,null,null],"sessions":0,"reconnects":0,"inconsistent":[0,0],"session":null,"banked":{"secs":0,"nanos":0},"shown":{"secs":0,"nanos":0},"errors":[0,0,0,0,0,0,0],"last_error":[null,null,null,null,null,null,null],"last_other_code":null}"#;
    assert_eq!(Input::decode(1, unknown).unwrap(), (Input::default(), None));
}
