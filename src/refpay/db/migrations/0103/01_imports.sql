-- The import of one revision of a report, part by part: its lines are stored, it comes into force with its entries, its
-- keys are compared. Each part is a transaction, so a process that dies loses one part at most.
CREATE TABLE reconciliation.import (
    provider   text NOT NULL REFERENCES reconciliation.progress,
    sequence   bigint NOT NULL CHECK (sequence >= 0),
    -- Never used again, also if the import is given up: its lines stay, and are never in force.
    revision   integer NOT NULL CHECK (revision > 0),
    -- The revision that it takes the place of; 0 if none was ever accepted.
    replaces   integer NOT NULL CHECK (replaces >= 0 AND replaces < revision),
    digest     text NOT NULL CHECK (length(digest) = 64),
    begun_at   timestamptz NOT NULL,
    -- How many of its lines are stored, and how many of them, and then of the replaced ones, are compared.
    stored     integer NOT NULL DEFAULT 0 CHECK (stored >= 0),
    compared   integer NOT NULL DEFAULT 0 CHECK (compared >= 0),
    ended_at   timestamptz,
    PRIMARY KEY (provider, sequence, revision)
);

CREATE UNIQUE INDEX import_open ON reconciliation.import (provider, sequence) WHERE ended_at IS NULL;

INSERT INTO reconciliation.import (
    provider, sequence, revision, replaces, digest, begun_at, stored, compared, ended_at)
SELECT provider, sequence, revision, revision - 1, digest, received_at, lines, lines, received_at
FROM reconciliation.revision, LATERAL (
    SELECT count(*) AS lines FROM reconciliation.line
    WHERE line.provider = revision.provider AND line.sequence = revision.sequence AND line.revision = revision.revision
) AS counted;

-- Lines are stored before their revision is: it is written when they are whole, with the entries of the same instant.
ALTER TABLE reconciliation.line
    DROP CONSTRAINT line_provider_sequence_revision_fkey,
    ADD CONSTRAINT line_of_import FOREIGN KEY (provider, sequence, revision) REFERENCES reconciliation.import;
ALTER TABLE reconciliation.revision
    ADD CONSTRAINT revision_of_import FOREIGN KEY (provider, sequence, revision) REFERENCES reconciliation.import;

GRANT SELECT, INSERT ON reconciliation.import TO refpay_app;
GRANT UPDATE (stored, compared, ended_at) ON reconciliation.import TO refpay_app;

-- Awaited lines are looked up by their keys; the other index begins with the report.
CREATE INDEX awaited_of_key ON reconciliation.awaited (provider, key) WHERE ended_at IS NULL;
