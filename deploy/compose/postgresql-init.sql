-- Executed once, when the volume of PostgreSQL is empty: a role that owns its database and can do nothing else.
\set password `cat /run/secrets/postgresql-password`
CREATE ROLE stream_live_exporter LOGIN PASSWORD :'password';
CREATE DATABASE stream_live_exporter OWNER stream_live_exporter ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE stream_live_exporter FROM PUBLIC;
