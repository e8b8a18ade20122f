//! The table of sessions, and the views for Grafana and other readers: an interface, described in `docs/sql.md`.
//!
//! A column of a view keeps its name, type and meaning. Changes only add columns, at the end.

/// The sessions of all inputs, as the fold finds them. They are written with the rows of their inputs.
pub(super) const SESSIONS: &str = "
    CREATE TABLE input_sessions (
        input_id   text NOT NULL,
        started_at bigint NOT NULL,
        ended_at   bigint,
        reconnects bigint NOT NULL,
        PRIMARY KEY (input_id, started_at)
    );
    CREATE INDEX input_sessions_ended_at ON input_sessions (ended_at);
";

/// Microseconds since 1970 are exact in a double, and this conversion does not depend on the time zone: it can be
/// indexed. In a block-range index, which costs little, records are nearly in the order of all of their times.
macro_rules! timestamptz {
    ($column:literal) => {
        concat!("to_timestamp((", $column, " / 1000)::float8 / 1e6)")
    };
}

/// The indexes that filters by a range of time use.
pub(super) const TIME_INDEXES: &str = concat!(
    "CREATE INDEX records_times ON records USING brin ((",
    timestamptz!("updated_at"),
    "), (",
    timestamptz!("received_at"),
    "), (",
    timestamptz!("recorded_at"),
    ")) WITH (autosummarize = on);"
);

pub(super) const VIEWS: &str = concat!(
    "
    CREATE OR REPLACE VIEW events AS
        SELECT position, ",
    timestamptz!("updated_at"),
    " AS updated_at, ",
    timestamptz!("sent_at"),
    " AS sent_at, ",
    timestamptz!("received_at"),
    " AS received_at, ",
    timestamptz!("recorded_at"),
    " AS recorded_at, input_id, kind AS event, note, code, message, video_codec, audio_codec,
            coalesce(nullif(split_part(data, ' ', 3), ''), 'webhook') AS source,
            nullif(nullif(split_part(data, ' ', 1), '-'), '') AS account_id,
            nullif(nullif(split_part(data, ' ', 2), '-'), '') AS policy_id
        FROM records WHERE kind IN ('connected', 'disconnected', 'errored');
    CREATE OR REPLACE VIEW sessions AS
        SELECT input_id, ",
    timestamptz!("started_at"),
    " AS started_at, ",
    timestamptz!("ended_at"),
    " AS ended_at, reconnects, (ended_at - started_at) / 1e9::float8 AS duration_seconds
        FROM input_sessions;
"
);
