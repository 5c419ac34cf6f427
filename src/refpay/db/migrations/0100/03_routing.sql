CREATE SCHEMA routing;

CREATE TABLE routing.provider (
    provider   text PRIMARY KEY CHECK (provider IN ('north', 'south')),
    active     boolean NOT NULL,
    changed_by text,
    changed_at timestamptz,
    reason     text
);

INSERT INTO routing.provider (provider, active) VALUES ('north', true), ('south', true);
